"""The recorded row of a migration, compared with the history table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.core.history import State
from lockgate.core.outcome import RowStamp
from lockgate.formats.registry import read_migrations
from lockgate.postgres.tables.history_row import MigrationProgress, make_row

if TYPE_CHECKING:
    from tests.support.project import Project

# Columns that the SQL statement itself fills in.
ADDED = {"applied_at", "duration_ms", "database_user", "session_digest"}


def test_row_has_every_column_of_the_table(project: Project) -> None:
    """The row and the table have the same columns; PostgreSQL would silently ignore a mismatch."""
    project.write({"1_a.sql": "SELECT 1;"})
    project.run()
    columns = project.database.run(
        "SELECT column_name::text FROM information_schema.columns"
        " WHERE table_schema = 'lockgate' AND table_name = 'migration_history'"
    )
    (migration,) = read_migrations("lockgate", project.folder, {}).migrations
    row = make_row(migration, RowStamp("run", 1, "0"), MigrationProgress(State.APPLIED, 1, 1))
    assert {name for (name,) in columns} == {*row, *ADDED}
