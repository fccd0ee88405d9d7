"""Follow the hints on scripts that only psql can run."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest
from tests.formats.sqitch.cases import ADOPTED, DEPLOYED, deploy

from lockgate.core.request import Action
from lockgate.report.report import Status
from lockgate.terminal import cli

if TYPE_CHECKING:
    from tests.support.project import Project


@pytest.fixture
def plan(project: Project) -> Project:
    """Give a project with two planned changes, the first of them in the registry."""
    project.settings["LOCKGATE_FORMAT"] = "sqitch"
    project.write(ADOPTED)
    project.database.run(DEPLOYED)
    return project


def test_hint_on_a_script_of_psql_adopts_what_sqitch_did(
    plan: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hint's command adopts what Sqitch deployed, and the change is not run again."""
    plan.write({"deploy/b.sql": "\\i other.sql\n"})
    refused = plan.run()
    assert refused.error is not None
    hint = refused.error.hint or ""
    plan.database.run(deploy("b", "\\i other.sql\n"))
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
