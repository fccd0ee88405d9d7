"""Read Sqitch's registry as a history, and adopt it."""

from __future__ import annotations

import hashlib
import shlex
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from tests.support.project import Project
from tests.support.tables import find_table, make_ask

from lockgate.core.request import Action
from lockgate.formats.sqitch import table as sqitch
from lockgate.formats.sqitch.plan import read_plan
from lockgate.formats.sqitch.reader import read_folder
from lockgate.formats.tool import ForeignHistory, ForeignRow
from lockgate.report.report import Status
from lockgate.terminal import cli

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.database import Database

SETUP = """
CREATE SCHEMA registry;
CREATE TABLE registry.changes (
    change_id text PRIMARY KEY,
    script_hash text,
    change text NOT NULL,
    project text NOT NULL,
    committed_at timestamptz NOT NULL,
    planned_at timestamptz NOT NULL
);
INSERT INTO registry.changes
VALUES ('f0', 'abc', 'users', 'flipr', '2024-01-02 00:00:01Z', '2024-01-01 00:00:00Z'),
       ('a1', 'a1', 'lists', 'other', '2024-01-02 00:00:00Z', '2024-01-01 00:00:00Z')
"""
PLAN = "%project=p\n\na 2026-01-01T12:00:00Z P <p@example.com>\n"


def test_changes_of_all_projects_are_read_in_the_order_of_deployment(database: Database) -> None:
    """The registry's schema may have any name, and a script hash equal to the id is ignored."""
    database.run(SETUP)
    ask = make_ask(database, setup="SET TIME ZONE 'UTC'")
    table = find_table(sqitch.SHAPE, ask)
    assert table is not None
    first = datetime(2024, 1, 2, tzinfo=UTC)
    rows = (
        ForeignRow("a1", "lists", first, group="other"),
        ForeignRow("f0", "users", first.replace(second=1), "abc", group="flipr"),
    )
    assert ForeignHistory("registry.changes", rows) == sqitch.read_table(ask, table)


def test_checksum_is_that_of_the_deploy_script(tmp_path: Path) -> None:
    """The checksum is the SHA-1 of the script's bytes."""
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy/a.sql").write_bytes(b"abc")
    (tmp_path / "sqitch.plan").write_text(PLAN)
    (migration,) = read_folder(tmp_path, {}).migrations
    expected = "a9993e364706816aba3e25717850c26c9cd0d89d"
    assert expected == sqitch.file_checksum(tmp_path, migration)


def test_database_without_a_registry_has_none(database: Database) -> None:
    """A table with that name but other columns is not used."""
    database.run("CREATE TABLE changes (change_id text)")
    assert find_table(sqitch.SHAPE, make_ask(database)) is None


@pytest.fixture
def plan(database: Database, tmp_path: Path) -> Project:
    """Give a project with two planned changes, the first of them in the registry."""
    (tmp_path / "deploy").mkdir()
    for name in ("a", "b"):
        (tmp_path / f"deploy/{name}.sql").write_text(f"CREATE TABLE {name} ();")
    (tmp_path / "sqitch.plan").write_text(PLAN + PLAN.splitlines()[-1].replace("a", "b", 1) + "\n")
    database.run(f"{SETUP}; DELETE FROM registry.changes WHERE project = 'flipr'")
    deploy(database, tmp_path, "a")
    return Project(tmp_path, database, {"LOCKGATE_FORMAT": "sqitch"})


def deploy(database: Database, folder: Path, name: str) -> None:
    """Record a planned change as deployed in the registry."""
    changes = read_plan((folder / "sqitch.plan").read_text(), "sqitch.plan").changes
    change = next(one for one in changes if one.name == name)
    digest = hashlib.sha1((folder / f"deploy/{name}.sql").read_bytes(), usedforsecurity=False)
    database.run(
        f"INSERT INTO registry.changes VALUES ('{change.change_id}', '{digest.hexdigest()}', '{name}',"
        " 'p', now(), now())"
    )


def test_adoption_takes_the_projects_changes_by_their_ids(plan: Project) -> None:
    """Only deployed changes of this project are adopted, and the rest stays pending."""
    adopted = plan.do(Action.ADOPT, source="sqitch", reason="we move")
    finished = plan.run()
    expected = (Status.APPLIED, ["b"], [("a", "applied"), ("b", "applied")])
    assert expected == (adopted.status, [e.version for e in finished.applied], plan.history())


def test_adoption_refuses_a_change_whose_plan_was_edited(plan: Project) -> None:
    """A change with an edited plan line has another id, so its adoption is refused."""
    text = (plan.folder / "sqitch.plan").read_text()
    plan.write({"sqitch.plan": text.replace("<p@example.com>", "<p@example.com> # new")})
    report = plan.do(Action.ADOPT, source="sqitch", reason="we move")
    assert report.error is not None
    assert (Status.REFUSED, True) == (
        report.status,
        "which the plan of p does not have" in report.error.message,
    )


def test_hint_on_a_script_of_psql_adopts_what_sqitch_did(
    plan: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hint's command adopts what Sqitch deployed, and the change is not run again."""
    plan.write({"deploy/b.sql": "\\i other.sql\n"})
    refused = plan.run()
    assert refused.error is not None
    hint = refused.error.hint or ""
    deploy(plan.database, plan.folder, "b")
    for name, value in plan.database.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LOCKGATE_MIGRATIONS", str(plan.folder))
    assert 0 == cli.main(shlex.split(hint[hint.index("lockgate adopt") :])[1:])
    assert Status.UP_TO_DATE == plan.run().status
    assert [("a", "applied"), ("b", "applied")] == plan.history()


def test_hint_on_a_script_of_psql_behind_an_adoption_leads_past_it(
    plan: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an adoption, the hint's command records a change that was run with psql."""
    plan.do(Action.ADOPT, source="sqitch", reason="we move")
    plan.write({"deploy/b.sql": "\\i other.sql\n"})
    refused = plan.run()
    assert refused.error is not None
    hint = refused.error.hint or ""
    assert "adopt" not in hint
    plan.database.run("CREATE TABLE b ()")
    for name, value in plan.database.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LOCKGATE_MIGRATIONS", str(plan.folder))
    monkeypatch.setenv("LOCKGATE_FORMAT", "sqitch")
    assert 0 == cli.main(shlex.split(hint[hint.index("lockgate repair") :])[1:])
    assert Status.UP_TO_DATE == plan.run().status
