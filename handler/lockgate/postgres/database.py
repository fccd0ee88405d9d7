"""What a run does with the database without the lock: probe, read, install tables, take the lock, close.

Everything that needs the lock is in `HeldLock`, which is imported while the lock is taken.
"""

from __future__ import annotations

import random
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from lockgate.core.failure import ConnectionLost
from lockgate.core.migration import Language
from lockgate.core.sqlstate import LOCK_CONFLICTS
from lockgate.errors import LockgateError, TargetUnsuitable
from lockgate.postgres.server.statement_result import StatementError
from lockgate.postgres.server.unsupported_servers import refuse_limitless, refuse_pooler
from lockgate.postgres.tables import lock_table
from lockgate.postgres.tables.schema import CREATION_RACES, creation_sql
from lockgate.postgres.tables.server_probe import OWN_OPERATORS, refuse_read_only

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lockgate.core.endpoint import Endpoint
    from lockgate.core.history import History
    from lockgate.core.lease import Holder, Terms
    from lockgate.core.probe import Probe
    from lockgate.core.segment import Step
    from lockgate.postgres.held_lock import HeldLock
    from lockgate.postgres.records import Records
    from lockgate.postgres.run_connection import RunConnection

_CREATION_TRIES = 8
# The search path of the role, for one message.
_ROLE_PATH = "SET LOCAL search_path = DEFAULT"


def _import_held_lock() -> type[HeldLock]:
    """Import and return `HeldLock`: the only door to `postgres.apply`, except for Python steps."""
    from lockgate.postgres.held_lock import HeldLock  # not needed if there is nothing to do

    return HeldLock


class Database:
    """The database without the lock. Call `close` at the end, even after an error."""

    def __init__(self, connection: RunConnection) -> None:
        self._connection = connection
        self._tables = connection.tables
        # The token of the lock, if the probe found the lock free.
        self._free_token: int | None = None
        # The holder of the lock when it was last read.
        self._holder: Holder | None = None
        self._held: HeldLock | None = None
        # The connection broke while taking the lock, so this run may hold it.
        self._may_hold_lock = False

    @property
    def endpoint(self) -> Endpoint | None:
        """The server to which the run connected or tried to connect."""
        return self._connection.endpoint

    @property
    def is_borrowed(self) -> bool:
        """Whether a pooler lends the session, for one transaction at a time."""
        return self._connection.is_borrowed

    @property
    def records(self) -> Records:
        """What Lockgate's tables and the catalogs record."""
        from lockgate.postgres.records import Records  # 5 ms, not needed if there is nothing to do

        return Records(self._connection)

    def probe(self, meanwhile: Callable[[], object] | None = None) -> Probe:
        """Connect and probe. Raises what `ServerProbe.probe` and the checks for unsupported servers do.

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
        """Create Lockgate's missing tables. Another first run may do the same at the same time.

        Raises:
            TargetUnsuitable: the role may not create them, or the server is a standby.
            DatabaseBusy: another session is using a table that lacks a column.
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
                # A run of an earlier build may be using a table that lacks a column.
                is_in_the_way = (
                    error.sqlstate in LOCK_CONFLICTS and self._connection.may_wait_again()
                )
                if attempt == _CREATION_TRIES - 1 or not (is_race or is_in_the_way):
                    raise self._connection.server_probe.uninstallable(error, probe) from error
                self._connection.clock.sleep(random.uniform(0.01, 0.1) * (attempt + 1))  # noqa: S311 - jitter
            else:
                return

    def cache_history(self, history: History) -> None:
        """Use a history that the probe has already determined, instead of reading it."""
        self._connection.history = history

    def read_history(self) -> History:
        """Return the history; read it only if it may have changed since it was cached."""
        if self._connection.history is None:
            self._connection.history = self.records.read_history()
        return self._connection.history

    def read_holder(self) -> Holder | None:
        """Return the holder of the lock, or ``None`` if it is free."""
        with self._connection.refusals():
            self._holder = lock_table.read_holder(
                self._connection.own(), self._tables, self._holder
            )
        return self._holder

    def take_lock(self, terms: Terms) -> HeldLock | None:
        """Take the lock, or return ``None`` while another run has it; see `Lock.take`.

        `HeldLock` is imported while the server works.
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
        # Every run that writes takes the lock, which raises the token by one. A row that somebody
        # inserts by hand in between makes the insert of this run fail.
        if self._free_token is None or taken.token != self._free_token + 1:
            self._connection.history = None
        return self._held

    def force_unlock(self, terms: Terms) -> tuple[Holder, bool] | None:
        """Release the lock of another run; see `Lock.force_unlock`."""
        with self._connection.refusals():
            return self._connection.lock().force_unlock(terms)

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """Send one query about tables of other tools, with the search path of the role; return its rows.

        Raises:
            TargetUnsuitable: the role may not read them, or a policy hides rows.
        """
        message = f"{_ROLE_PATH};\n{OWN_OPERATORS};\n{sql}"
        try:
            return list(self._connection.own().send(message)[-1].rows)
        except StatementError as error:
            raise TargetUnsuitable(
                f"The server refused a query about another tool's tables: {error} ({error.sqlstate}).",
                hint="Let the role read them: GRANT SELECT; if a policy hides rows, also BYPASSRLS or"
                " ownership.",
            ) from error

    @property
    def schema(self) -> str:
        """The schema of our own tables."""
        return self._tables.schema_name

    def check_steps(self, steps: Sequence[Step]) -> None:
        """Check that the operations which Python scripts call exist, before any of them runs.

        Raises:
            MigrationFileInvalid: a revision calls an operation that Alembic does not have.
        """
        texts = [one.script for one in steps if one.script.language is Language.PYTHON]
        if texts:
            from lockgate.postgres.apply import alembic_operations as alembic  # for Python steps

            alembic.import_plugins(self._connection.options.alembic_plugins)
            alembic.check_operations(texts)

    def close(self) -> None:
        """Close everything. Never raises.

        If this run may hold the lock without knowing it, end that session. On a silent network the
        server would otherwise keep it, and other runs would wait for the end of the lease.
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
