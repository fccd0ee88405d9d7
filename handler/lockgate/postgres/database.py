"""One database as a run sees it without the lock: look, read, install, take the lock, close.

What only the holder of the lock may do is in `HeldLock`, which is imported when the lock is taken.
"""

from __future__ import annotations

import random
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from lockgate.core.failure import ConnectionLost
from lockgate.core.migration import Language
from lockgate.errors import LockgateError, TargetUnsuitable
from lockgate.postgres.run_connection import IN_THE_WAY, RunConnection
from lockgate.postgres.server.statement_result import StatementError
from lockgate.postgres.server.unsupported_servers import refuse_limitless, refuse_pooler
from lockgate.postgres.tables import history_table, lock_table, run_table, table_list
from lockgate.postgres.tables.schema import CREATION_RACES, creation_sql
from lockgate.postgres.tables.server_probe import OWN_OPERATORS, refuse_read_only

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lockgate.core.endpoint import Endpoint
    from lockgate.core.first_contact import Table
    from lockgate.core.history import History, StoredScripts
    from lockgate.core.lease import Holder, Terms
    from lockgate.core.probe import Probe
    from lockgate.core.run_record import RunRecord
    from lockgate.core.segment import Step
    from lockgate.postgres.held_lock import HeldLock

_CREATION_TRIES = 8
# For one message.
_ROLE_PATH = "SET LOCAL search_path = DEFAULT"


def _import_held_lock() -> type[HeldLock]:
    """Return the class of a held lock: the one door to `postgres.apply`."""
    from lockgate.postgres.held_lock import HeldLock  # with nothing to do, nobody needs it

    return HeldLock


class Database:
    """What a run does without the lock. Use `close` at the end, whatever happened."""

    def __init__(self, connection: RunConnection) -> None:
        self._connection = connection
        self._tables = connection.tables
        # The token of the lock, if the first look found it free.
        self._free_token: int | None = None
        # Who was seen to hold the lock.
        self._holder: Holder | None = None
        self._held: HeldLock | None = None
        # The connection broke before the answer came to whether this run has the lock.
        self._may_hold_lock = False

    @property
    def endpoint(self) -> Endpoint | None:
        """Where the run connected to, or tried to."""
        return self._connection.endpoint

    @property
    def is_borrowed(self) -> bool:
        """Whether a pooler lends the session, for one transaction at a time."""
        return self._connection.is_borrowed

    def probe(self, meanwhile: Callable[[], object] | None = None) -> Probe:
        """Connect and look; see `ServerProbe.probe` for what it raises, and `refuse_pooler`.

        ``meanwhile`` is called while the server answers.
        """
        probe = self._connection.server_probe.probe(self._connection.open(), meanwhile)
        self._connection.server_version = probe.version_number
        self._connection.is_pooled = probe.behind_pooler
        self._free_token = None if probe.is_held else probe.lock_token
        refuse_limitless(probe)
        refuse_pooler(probe, self._connection.options.pooler, self.endpoint)
        return probe

    def install(self, probe: Probe) -> None:
        """Create our tables where they are missing. Survives another first run doing the same.

        Raises:
            TargetUnsuitable: the role may not, or the server is a standby.
            DatabaseBusy: another session has one of the tables in use.
        """
        refuse_read_only(probe)
        if probe.has_history and probe.has_lock and probe.has_columns:
            return
        sql = creation_sql(self._tables, schema_exists=probe.has_schema)
        for attempt in range(_CREATION_TRIES):
            try:
                self._connection.own(writes=True).send(sql)
            except StatementError as error:
                is_race = error.sqlstate in CREATION_RACES
                # A run of an earlier build may have a table in use that lacks a column.
                is_in_the_way = error.sqlstate in IN_THE_WAY and self._connection.may_wait_again()
                if attempt == _CREATION_TRIES - 1 or not (is_race or is_in_the_way):
                    raise self._connection.server_probe.uninstallable(error, probe) from error
                self._connection.clock.sleep(random.uniform(0.01, 0.1) * (attempt + 1))  # noqa: S311 - jitter
            else:
                return

    def cache_history(self, history: History) -> None:
        """Keep a history that the first look has told whole, as if it had been read."""
        self._connection.history = history

    def read_history(self) -> History:
        """Return the history, without asking where it must be as it was read before, or kept."""
        if self._connection.history is None:
            with self._connection.refusals():
                self._connection.history = history_table.read_history(
                    self._connection.own(), self._tables
                )
        return self._connection.history

    def read_runs(self, limit: int) -> tuple[RunRecord, ...]:
        """Return the last runs, the newest first."""
        with self._connection.refusals():
            return run_table.read_runs(self._connection.own(), self._tables, limit)

    def read_holder(self) -> Holder | None:
        """Return who holds the lock."""
        with self._connection.refusals():
            self._holder = lock_table.read_holder(
                self._connection.own(), self._tables, self._holder
            )
        return self._holder

    def take_lock(self, terms: Terms) -> HeldLock | None:
        """Take the lock, or return ``None`` while another run has it; see `Lock.take`.

        What only its holder needs is imported while the server works.
        """
        try:
            with self._connection.refusals():
                taken = self._connection.lock().take(terms, _import_held_lock)
        except ConnectionLost:
            self._may_hold_lock = True
            raise
        if taken is None:
            return None
        self._held = _import_held_lock()(self._connection, taken, terms)
        # Every run that writes takes the lock, and each that takes it raises the token by one. A row
        # that somebody writes by hand in between is met where this run writes its own.
        if self._free_token is None or taken.token != self._free_token + 1:
            self._connection.history = None
        return self._held

    def force_unlock(self, terms: Terms) -> tuple[Holder, bool] | None:
        """Free the lock on purpose; see `Lock.force_unlock`."""
        with self._connection.refusals():
            return self._connection.lock().force_unlock(terms)

    def read_scripts(self, migration_ids: Sequence[str]) -> dict[str, StoredScripts]:
        """Return what the history keeps of the text of some migrations."""
        with self._connection.refusals():
            return history_table.read_scripts(self._connection.own(), self._tables, migration_ids)

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """Send one query about what is not ours, by the role's own path, and return its rows.

        Raises:
            TargetUnsuitable: the role may not read it, or a policy hides rows.
        """
        message = f"{_ROLE_PATH};\n{OWN_OPERATORS};\n{sql}"
        try:
            return list(self._connection.own().send(message)[-1].rows)
        except StatementError as error:
            raise TargetUnsuitable(
                f"The server refused a query about another tool's tables: {error} ({error.sqlstate}).",
                hint="Let the role read them: GRANT SELECT, and BYPASSRLS or ownership where a policy"
                " hides rows.",
            ) from error

    def has_changed_anything(self) -> bool:
        """Tell whether a run is recorded that has committed, adopted or baselined anything."""
        with self._connection.refusals():
            return run_table.has_changed_anything(self._connection.own(), self._tables)

    def has_recorded(self, digest: str, token: int) -> bool:
        """Tell whether a run that took the lock before a token finished with exactly this catalog."""
        with self._connection.refusals():
            return run_table.has_recorded(self._connection.own(), self._tables, digest, token)

    def read_actions(self) -> dict[str, str]:
        """Return the action of each run that has rows in the history, by its id."""
        with self._connection.refusals():
            return run_table.read_actions(self._connection.own(), self._tables)

    def list_tables(self) -> tuple[Table, ...]:
        """Return every table of the database but PostgreSQL's own and temporary ones."""
        with self._connection.refusals():
            return table_list.list_tables(self._connection.own())

    @property
    def schema(self) -> str:
        """The schema of our own tables."""
        return self._tables.schema_name

    def check_steps(self, steps: Sequence[Step]) -> None:
        """Check that what Python scripts call is there, before anything of them runs.

        Raises:
            MigrationFileInvalid: a revision calls an operation that Alembic does not have.
        """
        texts = [one.script for one in steps if one.script.language is Language.PYTHON]
        if texts:
            from lockgate.postgres.apply import alembic_operations as alembic  # for Python steps

            alembic.import_plugins(self._connection.options.alembic_plugins)
            alembic.check_operations(texts)

    def read_undo_facts(self, run_ids: Sequence[str]) -> list[str | None]:
        """Return what some runs kept of what they did, the oldest run first."""
        with self._connection.refusals():
            return run_table.read_undo_facts(self._connection.own(), self._tables, run_ids)

    def close(self) -> None:
        """Close everything. Never raises.

        A lock that may be this run's without its knowing is left as a dead run's: where the network
        fell silent, the server would keep its session, and others would wait for the lease to end.
        """
        if self._held is not None:
            self._held.abandon()
            self._held = None
        self._connection.drop()
        if self._may_hold_lock:
            self._may_hold_lock = False
            with suppress(ConnectionLost, LockgateError, StatementError):
                self._connection.open()
                self._connection.end_former_session()
            self._connection.drop()
