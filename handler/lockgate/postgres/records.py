"""Reads Lockgate's tables, and the list of all tables, without the lock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.postgres.tables import history_table, run_table, table_list

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lockgate.core.first_contact import Table
    from lockgate.core.history import History, StoredScripts
    from lockgate.core.run_record import RunRecord
    from lockgate.postgres.run_connection import RunConnection


class Records:
    """Queries over one connection. An error of the server becomes one of Lockgate's errors."""

    def __init__(self, connection: RunConnection) -> None:
        self._connection = connection
        self._tables = connection.tables

    def read_history(self) -> History:
        """Return the history."""
        with self._connection.refusals():
            return history_table.read_history(self._connection.own(), self._tables)

    def read_scripts(self, migration_ids: Sequence[str]) -> dict[str, StoredScripts]:
        """Return the stored scripts of some migrations, by their ids."""
        with self._connection.refusals():
            return history_table.read_scripts(self._connection.own(), self._tables, migration_ids)

    def read_runs(self, limit: int) -> tuple[RunRecord, ...]:
        """Return the last runs, newest first."""
        with self._connection.refusals():
            return run_table.read_runs(self._connection.own(), self._tables, limit)

    def has_changed_anything(self) -> bool:
        """Return whether a recorded run has committed, adopted or baselined anything."""
        with self._connection.refusals():
            return run_table.has_changed_anything(self._connection.own(), self._tables)

    def has_recorded(self, digest: str, token: int) -> bool:
        """Return whether a run with a lower token finished with exactly this catalog."""
        with self._connection.refusals():
            return run_table.has_recorded(self._connection.own(), self._tables, digest, token)

    def read_actions(self) -> dict[str, str]:
        """Return the actions of the runs that have rows in the history, by run id."""
        with self._connection.refusals():
            return run_table.read_actions(self._connection.own(), self._tables)

    def read_undo_facts(self, run_ids: Sequence[str]) -> list[str | None]:
        """Return the stored undo facts of some runs, oldest run first."""
        with self._connection.refusals():
            return run_table.read_undo_facts(self._connection.own(), self._tables, run_ids)

    def list_tables(self) -> tuple[Table, ...]:
        """Return every table of the database, except system tables and temporary ones."""
        with self._connection.refusals():
            return table_list.list_tables(self._connection.own())
