"""`status` for rows that no run applied, and for partly applied migrations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lockgate.core.request import Action, Repair
from lockgate.report.report import Status
from lockgate.terminal.report import describe_report

if TYPE_CHECKING:
    from tests.support.project import Project

OPERATOR: dict[str, Any] = {"reason": "r", "requested_by": "me"}
FILES = {f"{number}_x.sql": "SELECT 1;" for number in (1, 2)}
PARTIAL = (
    "-- migrate:up transaction:false\n"
    "CREATE TABLE a (id int);\nCREATE INDEX CONCURRENTLY ON a (id);\nSELECT nothing;\nSELECT 2;\n"
)


def show(project: Project) -> tuple[dict[str, Any], str]:
    """Return the last entry of the history as JSON, and its line in a terminal."""
    report = project.run(Action.STATUS).to_json()
    lines = ["".join(span.text for span in line) for line in describe_report(report, 200)]
    version = report["history"][-1]["version"]
    found = [line for line in lines if line.strip().startswith(f"{version} ")]
    return report["history"][-1], found[-1]


@pytest.mark.parametrize(
    ("action", "word"), [("baseline", "baselined"), ("adopt", "adopted"), ("repair", "marked")]
)
def test_row_recorded_without_a_run_is_marked(project: Project, action: str, word: str) -> None:
    """A row that was baselined, adopted or marked is shown as such, without a duration."""
    project.write(FILES)
    if action == "baseline":
        report = project.do(Action.BASELINE, target="2", **OPERATOR)
    elif action == "adopt":
        project.database.run(
            "CREATE TABLE schema_migrations (version varchar); INSERT INTO schema_migrations"
            " VALUES ('1'), ('2')"
        )
        report = project.do(Action.ADOPT, source="dbmate", **OPERATOR)
    else:
        assert Status.APPLIED == project.run(target="1").status
        report = project.do(Action.REPAIR, repair=Repair.MARK, version="2", **OPERATOR)
    assert Status.APPLIED == report.status
    entry, line = show(project)
    assert ("applied", action, None) == (
        entry["state"],
        entry["recorded_by"],
        entry["duration_ms"],
    )
    assert line.rstrip().endswith(word)
    assert " ms" not in line


def test_row_that_a_run_applied_has_its_duration(project: Project) -> None:
    """A row that a run applied shows its duration, before and after an accepted edit."""
    project.write(FILES)
    assert Status.APPLIED == project.run().status
    for _ in range(2):
        entry, line = show(project)
        assert (None, True) == (entry["recorded_by"], entry["duration_ms"] is not None)
        assert line.rstrip().endswith(" ms")
        project.write({"2_x.sql": "SELECT 1, 2;"})
        project.do(Action.REPAIR, repair=Repair.ACCEPT, version="2", dry_run=False, **OPERATOR)


def test_partly_applied_migration_shows_how_far_it_came(project: Project) -> None:
    """A partly applied migration shows the number of applied and of all statements."""
    project.write({"1_part.sql": PARTIAL})
    assert Status.FAILED == project.run().status
    entry, line = show(project)
    assert ("partial", 2, 4) == (
        entry["state"],
        entry["statements_done"],
        entry["statements_total"],
    )
    assert "partial, up to statement 2 of 4" in line
