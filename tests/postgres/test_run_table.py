"""The recorded runs, as shown by the history action."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from lockgate import __version__
from lockgate.core.request import Action
from lockgate.report.report import Status

if TYPE_CHECKING:
    from tests.support.project import Project

TABLE = "CREATE TABLE account (id integer);"


def test_history_lists_caller_action_and_outcome(project: Project) -> None:
    """The history lists every run that took the lock, newest first, with what was requested."""
    project.write({"1_account.sql": TABLE})
    project.do(Action.UP, requested_by="ada", reason="release 8")
    project.write({"2_bad.sql": "SELECT nothing;"})
    project.do(Action.UP)
    report = project.do(Action.HISTORY)
    assert (Status.UP_TO_DATE, None) == (report.status, report.error)
    failed, applied = report.runs
    expected = dataclasses.replace(
        applied,
        action="up",
        status="applied",
        caller="test",
        reference={"case": "one"},
        requested_by="ada",
        reason="release 8",
        from_version=None,
        to_version="1",
        package_version=__version__,
        error_code=None,
    )
    assert expected == applied
    assert applied.finished_at is not None
    assert applied.started_at <= applied.finished_at <= failed.started_at
    shown = (failed.status, failed.error_code, failed.from_version, failed.to_version)
    assert ("failed", "migration-failed", "1", "1") == shown
    assert (None, None) == (failed.requested_by, failed.reason)


def test_history_has_at_most_the_requested_length(project: Project) -> None:
    """By default the history has the 20 newest runs."""
    project.write({"1_account.sql": TABLE})
    project.run()
    project.database.run(
        "INSERT INTO lockgate.migration_run (run_id, action, caller, caller_reference, token,"
        " started_at, status, package_version) SELECT 'run' || i, 'up', 'test', '{}', i,"
        " pg_catalog.now(), 'abandoned', '0' FROM pg_catalog.generate_series(10, 40) AS i"
    )
    ids = [run.run_id for run in project.do(Action.HISTORY).runs]
    assert [f"run{i}" for i in range(40, 20, -1)] == ids
    assert ["run40", "run39"] == [r.run_id for r in project.do(Action.HISTORY, limit=2).runs]


def test_history_needs_neither_files_nor_tables_nor_the_lock(project: Project) -> None:
    """Before the first run and without a folder, the history is empty and nothing is created."""
    project.folder.rmdir()
    report = project.do(Action.HISTORY)
    assert (Status.UP_TO_DATE, ()) == (report.status, report.runs)
    assert [[None]] == project.database.run("SELECT to_regnamespace('lockgate')")


def test_history_shows_an_active_run(project: Project) -> None:
    """A run that is still running has no end time and does not block the history."""
    project.write({"1_account.sql": TABLE})
    project.run()
    project.database.run(
        "UPDATE lockgate.migration_run SET finished_at = NULL, status = 'running', report = NULL;"
        "UPDATE lockgate.migration_lock SET owner = 'x', expires_at = now() + interval '1 hour'"
    )
    (run,) = project.do(Action.HISTORY).runs
    assert ("running", None, None) == (run.status, run.finished_at, run.error_code)
