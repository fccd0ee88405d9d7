"""Run scripts that leave the transaction which their tool opens around them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lockgate.core.analysis import analyse_script
from lockgate.core.migration import Version
from lockgate.core.request import Action
from lockgate.core.transaction_mode import Mode, UnitMode
from lockgate.formats.shared.scripts import make_script, make_versioned

if TYPE_CHECKING:
    from tests.support.project import Project

WRAPPED, BLOCK, ALONE = UnitMode.WRAPPED, UnitMode.BLOCK, UnitMode.ALONE


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("COMMIT;\nVACUUM;\nBEGIN;", [(ALONE, "VACUUM")]),
        ("COMMIT;\nSELECT 1;", [(WRAPPED, "SELECT 1")]),
        (
            "SELECT 1;\nCOMMIT;\nVACUUM;\nBEGIN;\nSELECT 2;\nSAVEPOINT s;",
            [(WRAPPED, "SELECT 1"), (ALONE, "VACUUM"), (WRAPPED, "SELECT 2")],
        ),
        (
            "COMMIT;\nBEGIN;\nSELECT 1;\nSELECT 2;\nCOMMIT;\nVACUUM;\nBEGIN",
            [(BLOCK, "BEGIN"), (ALONE, "VACUUM")],
        ),
    ],
)
def test_script_that_ends_its_tools_transaction_runs_in_steps(
    text: str, expected: list[tuple[UnitMode, str]]
) -> None:
    """The first COMMIT and the last BEGIN belong to the tool's transaction, others to the script."""
    script = make_versioned(Version.parse("1"), "", make_script(text, "1.sql"), None).up
    found = analyse_script(script)
    units = [
        (
            unit.mode,
            script.sql[found.statements[unit.first].start : found.statements[unit.first].end],
        )
        for unit in found.units
    ]
    assert (Mode.STATEMENTS, text) == (found.mode, script.text)
    assert expected == [unit for unit in units if not unit[1].startswith("SAVEPOINT")]


@pytest.mark.parametrize("text", ["BEGIN;\nSELECT 1;\nCOMMIT;", "SELECT 'a\nCOMMIT;'", "COMMIT; ("])
def test_script_with_its_own_transaction_or_none_is_left_as_it_is(text: str) -> None:
    """A script is left unchanged if its transactions are complete or its SQL cannot be parsed."""
    script = make_script(text, "1.sql")
    assert script == make_versioned(Version.parse("1"), "", script, None).up


def test_new_enum_value_is_used_behind_its_commit(project: Project) -> None:
    """A new enum value can be used after the commit, and a failure names the line of the file."""
    project.settings["LOCKGATE_FORMAT"] = "sqlx"
    text = (
        "COMMIT;\nALTER TYPE m ADD VALUE 'b';\nBEGIN;\n"
        "CREATE TABLE t (m m DEFAULT 'b');\nDROP TABLE u;"
    )
    project.write({"1_a.sql": "CREATE TYPE m AS ENUM ('a');", "2_b.sql": text})
    failed = project.run(Action.UP)
    assert failed.error is not None
    assert ("2_b.sql", 5) == (failed.error.file, failed.error.line)
    project.write({"2_b.sql": text.replace("DROP TABLE", "DROP TABLE IF EXISTS")})
    assert ("applied", "up_to_date") == (
        project.run(Action.UP).status,
        project.run(Action.UP).status,
    )


COMMITS = (
    "CREATE TABLE t (id int);"
    " CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN INSERT INTO t VALUES (1); COMMIT;"
    " INSERT INTO t VALUES (2); END $$;"
)
PLAN = "%syntax-version=1.0.0\n%project=p\n\n"
SIGNED = "2026-01-01T12:00:00Z P <p@example.com>"
FOLDERS = {
    "golang-migrate": {"1_a.up.sql": COMMITS, "2_b.up.sql": "{}"},
    "prisma": {"1_a/migration.sql": COMMITS, "2_b/migration.sql": "{}"},
    "sqitch": {
        "sqitch.plan": f"{PLAN}a {SIGNED}\nb {SIGNED}\n",
        "deploy/a.sql": COMMITS,
        "deploy/b.sql": "{}",
    },
}


@pytest.mark.parametrize("name", FOLDERS)
@pytest.mark.parametrize("call", ["-- why\nCALL p();\n", "DO $$ BEGIN CALL p(); END $$"])
def test_call_that_commits_runs_alone_in_its_file(project: Project, name: str, call: str) -> None:
    """A procedure call alone in its file runs outside a transaction, so it may commit."""
    project.settings["LOCKGATE_FORMAT"] = name
    files = FOLDERS[name].items()
    project.write({path: call if text == "{}" else text for path, text in files})
    report = project.run(Action.UP)
    assert ("applied", None) == (report.status, report.error)
    assert [[2]] == project.database.run("SELECT count(*) FROM t")
    assert "up_to_date" == project.run(Action.UP).status


@pytest.mark.parametrize("name", ["golang-migrate", "prisma"])
def test_call_that_commits_beside_others_is_refused_by_the_server(
    project: Project, name: str
) -> None:
    """A procedure that commits, called beside other statements, fails as in the tool, with a hint."""
    project.settings["LOCKGATE_FORMAT"] = name
    files = FOLDERS[name].items()
    project.write({p: "SELECT 1;\nCALL p();" if text == "{}" else text for p, text in files})
    report = project.run(Action.UP)
    assert report.error is not None
    assert "2D000" == report.error.sqlstate
    hint = "Put the statement alone in a file, so that it runs outside a transaction."
    assert hint == report.error.hint


def test_call_beside_others_runs_as_by_psql(project: Project) -> None:
    """Sqitch files run through psql, so each statement commits by itself."""
    project.settings["LOCKGATE_FORMAT"] = "sqitch"
    files = FOLDERS["sqitch"].items()
    project.write({p: "SELECT 1;\nCALL p();" if text == "{}" else text for p, text in files})
    report = project.run(Action.UP)
    assert ("applied", None) == (report.status, report.error)
