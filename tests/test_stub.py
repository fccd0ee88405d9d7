"""The empty copy of another tool's history table for migrations that use it; a failed run drops it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.support.claim import read_contents

from lockgate.core.deadline import Deadline
from lockgate.report.report import Status

if TYPE_CHECKING:
    from tests.support.project import Project

    from lockgate.report.report import ErrorInfo, Report

FAILING = "DELETE FROM {table}; SELECT nothing;"
# By tool: further files, the failing file, its frame, and the name of the stub table.
FOLDERS = {
    "dbmate": ({}, "1_x.sql", "-- migrate:up\n{sql}\n", "schema_migrations"),
    "goose": ({}, "1_x.sql", "-- +goose Up\n{sql}\n", "goose_db_version"),
    "sqitch": (
        {
            "sqitch.plan": (
                "%syntax-version=1.0.0\n%project=p\n\n"
                "x 2024-01-01T00:00:00Z a <a@example.com> # x\n"
            ),
            "sqitch.conf": "[core]\n\tengine = pg\n",
        },
        "deploy/x.sql",
        "{sql}\n",
        "sqitch.changes",
    ),
    "knex": ({}, "1_x.up.sql", "{sql}\n", "knex_migrations"),
}


def write(project: Project, tool: str, sql: str | None = None) -> str:
    """Write a folder whose only migration uses the tool's table, and return that table."""
    files, name, frame, table = FOLDERS[tool]
    text = (sql or FAILING).format(table=table)
    project.write({**files, name: frame.format(sql=text)})
    project.settings["LOCKGATE_FORMAT"] = tool
    return table


def error_of(report: Report) -> ErrorInfo:
    """Return the error of a failed run."""
    assert report.error is not None, report.status
    return report.error


@pytest.mark.parametrize("tool", FOLDERS)
def test_failed_first_run_leaves_no_stub(project: Project, tool: str) -> None:
    """A failed first run drops the stub and its schema."""
    write(project, tool)
    before = read_contents(project.database)
    error = error_of(project.run())
    assert (True, "rolled_back") == ("nothing" in error.message, error.state_after), error
    assert before == read_contents(project.database)


def test_undone_run_leaves_no_stub(project: Project) -> None:
    """After an automatic undo, the stub is dropped too."""
    write(project, "dbmate", "CREATE TABLE a ();\n-- migrate:down\nDROP TABLE a;")
    project.write({"2_x.sql": "-- migrate:up\nDELETE FROM schema_migrations; SELECT nothing;\n"})
    before = read_contents(project.database)
    report = project.run(LOCKGATE_ATOMICITY="migration")
    assert ("rolled_back", 1) == (error_of(report).state_after, len(report.reverted)), report.error
    assert before == read_contents(project.database)


def test_run_that_keeps_something_keeps_the_stub(project: Project) -> None:
    """A run that keeps a migration keeps the stub, because the migration may need it."""
    write(project, "dbmate", "CREATE TABLE a ();")
    project.write({"2_x.sql": "-- migrate:up\nDELETE FROM schema_migrations; SELECT nothing;\n"})
    assert "kept" == error_of(project.run(LOCKGATE_ATOMICITY="migration")).state_after
    assert [[0]] == project.database.run("SELECT count(*) FROM schema_migrations")


def test_table_that_was_there_before_stays(project: Project) -> None:
    """An empty table that existed before the run is not dropped."""
    write(project, "dbmate")
    project.database.run("CREATE TABLE schema_migrations (version varchar(128) PRIMARY KEY)")
    before = read_contents(project.database)
    assert "rolled_back" == error_of(project.run()).state_after
    assert before == read_contents(project.database)


@pytest.mark.parametrize(
    "use",
    [
        "INSERT INTO schema_migrations VALUES ('1')",
        "CREATE VIEW v AS SELECT version FROM schema_migrations",
        (
            "ALTER TABLE schema_migrations RENAME TO former;"
            " SELECT * INTO schema_migrations FROM former"
        ),
    ],
)
def test_stub_that_somebody_uses_stays_and_is_named(project: Project, use: str) -> None:
    """A stub with rows, with a view on it, or replaced by another table is kept and reported."""
    project.database.run("CREATE EXTENSION IF NOT EXISTS dblink")
    write(project, "dbmate")
    place = (
        f"host={project.database.host} port={project.database.port} dbname={project.database.name}"
        f" user={project.database.user} password={project.database.password} sslmode=require"
    )
    quoted = use.replace("'", "''")
    project.write(
        {
            "1_x.sql": (
                "-- migrate:up\n"
                f"SELECT dblink_exec('{place}', '{quoted}');\nSELECT nothing FROM schema_migrations;\n"
            )
        }
    )
    error = error_of(project.run())
    assert "partly_applied" == error.state_after
    assert "the empty table schema_migrations, which this run made for the" in error.message
    assert [[True]] == project.database.run("SELECT to_regclass('schema_migrations') IS NOT NULL")


class InterruptingEvents(list[tuple[str, dict[str, Any]]]):
    """Events, the first of which with a given name interrupts the run."""

    def __init__(self, name: str, deadline: Deadline) -> None:
        self._name, self._deadline = name, deadline

    def append(self, event: tuple[str, dict[str, Any]]) -> None:
        """Add an event."""
        super().append(event)
        if event[0] == self._name:
            self._deadline.interrupt("the test")


def test_run_stopped_before_its_first_migration_leaves_no_stub(project: Project) -> None:
    """A run stopped before its first migration drops the stub."""
    write(project, "dbmate", "CREATE TABLE a (); DELETE FROM {table};")
    before = read_contents(project.database)
    deadline = Deadline(lambda: 600_000, 1_000)
    project.events = InterruptingEvents("lock_taken", deadline)
    report = project.run(deadline=deadline)
    assert (Status.INCOMPLETE, "unchanged") == (report.status, error_of(report).state_after)
    assert before == read_contents(project.database)
