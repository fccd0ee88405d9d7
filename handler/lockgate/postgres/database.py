"""One database as the runner sees it: look, lock, apply, finish, close.

Holds the connection and takes it up again when it breaks. Decides nothing about migrations. A run with
nothing to do comes no further than `Database.probe`: what the rest needs is imported where it is used.
"""

from __future__ import annotations

import random
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lockgate.core.catalog import SessionRule
from lockgate.core.failure import ConnectionLost, StepFailed, mask
from lockgate.core.migration import Language
from lockgate.errors import DatabaseBusy, LockgateError, TargetUnsuitable
from lockgate.fast_start.dataclass import dataclass
from lockgate.postgres.server.connection import Connection, StatementError
from lockgate.postgres.server.own_session import OWN_LOCK_TIMEOUT_MS, OwnConnection
from lockgate.postgres.server.unsuitable import refuse_limitless, refuse_pooler
from lockgate.postgres.tables.look import OWN_OPERATORS, Look, refuse_read_only
from lockgate.postgres.tables.schema import CREATION_RACES, Tables, creation_sql
from lockgate.postgres.tables.strangers import guard_sql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lockgate.core.amendment import Amendment
    from lockgate.core.catalog import MadeStub
    from lockgate.core.contact import Table
    from lockgate.core.deadline import Clock, Deadline
    from lockgate.core.history import History, StoredScripts
    from lockgate.core.lease import Holder, Terms
    from lockgate.core.outcome import Done, Stamp, Taken
    from lockgate.core.policy import Pooler
    from lockgate.core.probe import Probe
    from lockgate.core.run_record import RunRecord
    from lockgate.core.segment import Segment, Step
    from lockgate.core.target import Endpoint
    from lockgate.core.undo_facts import Description, TransactionFacts, UndoFacts
    from lockgate.postgres.apply.executor import Lookahead
    from lockgate.postgres.apply.guard import Guard
    from lockgate.postgres.server.connector import Connector
    from lockgate.postgres.server.watch import Watch
    from lockgate.postgres.tables.lock import Lock

_CREATION_TRIES = 8
# For one message.
_ROLE_PATH = "SET LOCAL search_path = DEFAULT"
# What a statement can wait for others with; only then do blockers explain its failure.
_WAITED = frozenset({"55P03", "40P01", "57014"})
# Somebody looks at our tables, or mends them by hand; soon they are free again.
_IN_THE_WAY = frozenset({"55P03", "40P01"})
_FINISH_RETRIES = 2
_DESCRIPTION_TIMEOUT_MS = 10_000
# At a transaction's beginning and before its COMMIT.
_LOOKS = 2
# A loop may warn a million times; the log has been told by then.
_MOST_WARNINGS = 20


def _import_more() -> None:
    """Import what a run that has the lock needs next."""
    from lockgate.postgres.apply import executor  # noqa: F401
    from lockgate.postgres.server import watch  # noqa: F401
    from lockgate.postgres.tables import run_table  # noqa: F401


@dataclass(frozen=True, slots=True)
class Timeouts:
    """The session's timeouts where a migration names none. Milliseconds; ``None``: unlimited."""

    lock_timeout_ms: int
    statement_timeout_ms: int | None


@dataclass(frozen=True, slots=True)
class DatabaseOptions:
    """What the settings say about the session."""

    set_role: str | None
    pooler: Pooler
    timeouts: Timeouts
    alembic_plugins: tuple[str, ...] = ()


class Database:
    """The runner's only way to the server. Use `close` at the end, whatever happened."""

    def __init__(
        self,
        connector: Connector,
        tables: Tables,
        options: DatabaseOptions,
        clock: Clock,
        deadline: Deadline,
        run_id: str,
        emit: Callable[..., None],
        tell: Callable[[str, str], None] | None = None,
    ) -> None:
        self._tell = tell
        self._connector = connector
        self._tables = tables
        self._options = options
        self._clock = clock
        self._deadline = deadline
        self._run_id = run_id
        self._emit = emit
        self._look = Look(tables, options.set_role)
        self._connection: Connection | None = None
        self._watch: Watch | None = None
        self._server_version = 0
        self._is_pooled = False
        self._lookahead: Lookahead | None = None
        # The history as it was read, as long as nobody can have written to it since; and the token of
        # the lock that was free before that, if it was.
        self._history: History | None = None
        self._free_token: int | None = None
        # Who was seen to hold the lock.
        self._holder: Holder | None = None
        self._memo: dict[str, Any] = {}
        self._kept: tuple[str, ...] = ()
        self._warnings = 0
        # The values to hide of the migrations under way, ``None`` while there are none.
        self._hidden: tuple[str, ...] | None = None
        # It is on record that this run has committed something.
        self._has_committed = False
        self._notes: dict[int, str] = {}
        # The connection broke before the answer came to whether this run has the lock.
        self._may_hold_lock = False

    @property
    def endpoint(self) -> Endpoint | None:
        """Where the run connected to, or tried to."""
        access = self._connector.access
        return None if access is None else access.endpoint

    @property
    def was_cancelled(self) -> bool:
        """Whether a statement was cancelled because time was over."""
        return self._watch is not None and self._watch.has_cancelled

    @property
    def is_borrowed(self) -> bool:
        """Whether a pooler lends the session, for one transaction at a time."""
        return self._is_pooled and self._options.pooler == "lease"

    @property
    def notes(self) -> tuple[str, ...]:
        """Warnings about what the run has found or left behind."""
        return tuple(self._notes.values())

    def probe(self, meanwhile: Callable[[], object] | None = None) -> Probe:
        """Connect and look; see `Look.probe` for what it raises, and `refuse_pooler`.

        ``meanwhile`` is called while the server answers.
        """
        probe = self._look.probe(self._open(), meanwhile)
        self._server_version = probe.version_number
        self._is_pooled = probe.behind_pooler
        self._free_token = None if probe.is_held else probe.lock_token
        refuse_limitless(probe)
        refuse_pooler(probe, self._options.pooler, self.endpoint)
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
                self._own(writes=True).send(sql)
            except StatementError as error:
                is_race = error.sqlstate in CREATION_RACES
                # A run of an earlier build may have a table in use that lacks a column.
                is_in_the_way = error.sqlstate in _IN_THE_WAY and self._may_wait_again()
                if attempt == _CREATION_TRIES - 1 or not (is_race or is_in_the_way):
                    raise self._look.uninstallable(error, probe) from error
                self._clock.sleep(random.uniform(0.01, 0.1) * (attempt + 1))  # noqa: S311 - jitter
            else:
                return

    def keep_history(self, history: History) -> None:
        """Keep a history that the first look has told whole, as if it had been read."""
        self._history = history

    def read_history(self) -> History:
        """Return the history, without asking where it must be as it was read before, or kept."""
        from lockgate.postgres.tables.history_table import read_history

        if self._history is None:
            with self._refusals():
                self._history = read_history(self._own(), self._tables)
        return self._history

    def read_runs(self, limit: int) -> tuple[RunRecord, ...]:
        """Return the last runs, the newest first."""
        from lockgate.postgres.tables.run_table import read_runs

        with self._refusals():
            return read_runs(self._own(), self._tables, limit)

    def read_holder(self) -> Holder | None:
        """Return who holds the lock."""
        from lockgate.postgres.tables.lock_table import read_holder

        with self._refusals():
            self._holder = read_holder(self._own(), self._tables, self._holder)
        return self._holder

    def take_lock(self, terms: Terms) -> Taken | None:
        """Take the lock, or return ``None`` while another run has it; see `Lock.take`.

        What comes behind it is imported while the server works.
        """
        try:
            with self._refusals():
                taken = self._lock().take(terms, _import_more)
        except ConnectionLost:
            self._may_hold_lock = True
            raise
        if taken is not None:
            self._start_watch()
            # Every run that writes takes the lock, and each that takes it raises the token by one. A row
            # that somebody writes by hand in between is met where this run writes its own.
            if self._free_token is None or taken.token != self._free_token + 1:
                self._history = None
        return taken

    def break_lock(self, terms: Terms) -> tuple[Holder, bool] | None:
        """Free the lock on purpose; see `Lock.break_open`."""
        with self._refusals():
            return self._lock().break_open(terms)

    def read_scripts(self, migration_ids: Sequence[str]) -> dict[str, StoredScripts]:
        """Return what the history keeps of the text of some migrations."""
        from lockgate.postgres.tables.history_table import read_scripts

        with self._refusals():
            return read_scripts(self._own(), self._tables, migration_ids)

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """Send one query about what is not ours, by the role's own path, and return its rows.

        Raises:
            TargetUnsuitable: the role may not read it, or a policy hides rows.
        """
        message = f"{_ROLE_PATH};\n{OWN_OPERATORS};\n{sql}"
        try:
            return list(self._own().send(message)[-1].rows)
        except StatementError as error:
            raise TargetUnsuitable(
                f"The server refused a query about another tool's tables: {error} ({error.sqlstate}).",
                hint="Let the role read them: GRANT SELECT, and BYPASSRLS or ownership where a policy"
                " hides rows.",
            ) from error

    def amend(self, amendment: Amendment, stamp: Stamp) -> None:
        """Write what is decided about the history, in one transaction that ends with the fence.

        Raises:
            LockLost: another run has the lock; nothing was written.
        """
        from lockgate.postgres.apply.session import lock_lost
        from lockgate.postgres.tables.contact import note_commit_sql
        from lockgate.postgres.tables.history_table import amendment_sql
        from lockgate.postgres.tables.lock_table import fence_sql

        self._history = None
        fence = fence_sql(self._tables, stamp.token, stamp.run_id)
        note = note_commit_sql(self._tables, stamp.run_id)
        statements = [*amendment_sql(self._tables, amendment, stamp), fence, note]
        try:
            self._own(writes=True).send(";\n".join([guard_sql(self._tables), *statements]))
        except StatementError as error:
            if error.sqlstate == "22012":
                raise lock_lost(stamp.token) from error
            raise self._look.refusal(error) from error

    def has_changed_anything(self) -> bool:
        """Tell whether a run is recorded that has committed, adopted or baselined anything."""
        from lockgate.postgres.tables.contact import has_changed_anything

        with self._refusals():
            return has_changed_anything(self._own(), self._tables)

    def has_recorded(self, digest: str, token: int) -> bool:
        """Tell whether a run that took the lock before a token finished with exactly this catalog."""
        from lockgate.postgres.tables.run_table import has_recorded

        with self._refusals():
            return has_recorded(self._own(), self._tables, digest, token)

    def read_actions(self) -> dict[str, str]:
        """Return the action of each run that has rows in the history, by its id."""
        from lockgate.postgres.tables.run_table import read_actions

        with self._refusals():
            return read_actions(self._own(), self._tables)

    def list_tables(self) -> tuple[Table, ...]:
        """Return every table of the database but PostgreSQL's own and temporary ones."""
        from lockgate.postgres.tables.contact import list_tables

        with self._refusals():
            return list_tables(self._own())

    @property
    def schema(self) -> str:
        """The schema of our own tables."""
        return self._tables.schema_name

    def create_stand_in(self, sql: str) -> MadeStub:
        """Create another tool's history table, empty, for migrations that touch it.

        Returns what was missing before.

        Raises:
            TargetUnsuitable: the role may not.
        """
        from lockgate.postgres.tables.stub import creation_sql, read_made

        with self._refusals():
            return read_made(self._own(writes=True).send(creation_sql(sql))[-1])

    def drop_stand_in(self, made: MadeStub, stamp: Stamp) -> bool:
        """Drop what `create_stand_in` made, and return True; change nothing if somebody uses it."""
        from lockgate.postgres.tables.lock_table import fence_sql
        from lockgate.postgres.tables.stub import removal_sql

        fence = fence_sql(self._tables, stamp.token, stamp.run_id)
        try:
            self._own(writes=True).send(removal_sql(made, fence))
        except StatementError:
            return False
        return True

    def check_steps(self, steps: Sequence[Step]) -> None:
        """Check that what Python scripts call is there, before anything of them runs.

        Raises:
            MigrationFileInvalid: a revision calls an operation that Alembic does not have.
        """
        texts = [one.script for one in steps if one.script.language is Language.PYTHON]
        if texts:
            from lockgate.postgres.apply.alembic_operations import check_operations, import_plugins

            import_plugins(self._options.alembic_plugins)
            check_operations(texts)

    def apply(
        self,
        segment: Segment,
        stamp: Stamp,
        on_applied: Callable[[Done], None],
        *,
        following: Segment | None = None,
        may_lose_rows: bool = True,
        collects_facts: bool = False,
        undone: UndoFacts | None = None,
    ) -> TransactionFacts | None:
        """Apply one segment, which another one is ``following``; see `Executor.apply`.

        Returns what its transaction did, where that was asked for and can be known. ``undone`` are the
        facts of what an automatic undo is about to undo.

        Raises:
            DataLossRefused: rows would be lost, and ``may_lose_rows`` does not say that they may.
            UndoRefused: it cannot be proved that the undo of what is ``undone`` is safe.
        """
        from lockgate.postgres.apply.executor import Executor, Lookahead
        from lockgate.postgres.apply.session import Session

        dropped: list[str] = []
        if any(one.script.language is Language.PYTHON for one in segment.steps):
            from lockgate.postgres.apply.alembic_operations import import_plugins

            import_plugins(self._options.alembic_plugins)
        session = Session(
            connection=self._connected,
            tables=self._tables,
            stamp=stamp,
            timeouts=self._options.timeouts,
            deadline=self._deadline,
            clock=self._clock,
            set_role=self._options.set_role,
            server_version=self._server_version,
            guard=self._make_guard(segment, undone, dropped, may_lose_rows=may_lose_rows),
            memo=self._memo,
            kept=self._kept,
            # What is counted before a transaction may be another session's.
            collects_facts=collects_facts and not self.is_borrowed,
            is_borrowed=self.is_borrowed,
            has_committed=self._has_committed,
            notes=self._notes,
            tell=self._tell,
        )
        watch = self._watch
        assert watch is not None
        self._history = None
        self._lookahead = self._lookahead or Lookahead()
        try:
            with watch.under_way(self._connected), self._heard(segment):
                Executor(session, on_applied, self._lookahead).apply(segment, following)
                self._has_committed = True
                if segment.leaves is not SessionRule.NEW:
                    from lockgate.postgres.server.kept_session import read_kept

                    self._kept = read_kept(self._connected, segment.leaves)
        except StepFailed as error:
            if watch.blockers and error.failure.sqlstate in _WAITED:
                raise StepFailed(replace(error.failure, blockers=watch.blockers)) from error
            raise
        # Told once it is true.
        for text in dropped:
            self._notes[-1 - len(self._notes)] = text
        if len(session.facts) != _LOOKS:
            return None
        from lockgate.core.undo_facts import read_transaction

        ids = tuple(step.migration.migration_id for step in segment.steps)
        return read_transaction(ids, *session.facts)

    def _make_guard(
        self,
        segment: Segment,
        undone: UndoFacts | None,
        dropped: list[str],
        *,
        may_lose_rows: bool,
    ) -> Guard | None:
        if undone is not None:
            from lockgate.postgres.apply.undo_guard import UndoGuard

            return UndoGuard(
                self._connected, self._tables, self._server_version, undone, segment.steps
            )
        if may_lose_rows:
            return None
        from lockgate.core.down_script import may_stop_counting
        from lockgate.postgres.apply.loss import LossGuard

        return LossGuard(
            self._connected,
            self._tables,
            tuple(step.migration.migration_id for step in segment.steps),
            any(may_stop_counting(step.script) for step in segment.steps),
            dropped.append,
        )

    def describe(self) -> Description | None:
        """Return a description of all user objects, or ``None`` where the server refuses one."""
        from lockgate.core.undo_facts import read_description
        from lockgate.postgres.apply.description import description_sql

        limit = f"SET LOCAL statement_timeout = {_DESCRIPTION_TIMEOUT_MS}"
        query = description_sql(self._tables, self._server_version)
        try:
            results = self._own().send(f"{limit};\n{query}")
        except StatementError as error:
            self._emit("description_refused", sqlstate=error.sqlstate)
            return None
        return read_description(results[1].rows[0][0])

    def store_undo_facts(self, stamp: Stamp, facts: str) -> None:
        """Keep what a run did, for an older package that may undo it."""
        from lockgate.postgres.tables.run_table import undo_facts_sql

        with self._refusals():
            self._own(writes=True).send(undo_facts_sql(self._tables, stamp.run_id, facts))

    def read_undo_facts(self, run_ids: Sequence[str]) -> list[str | None]:
        """Return what some runs kept of what they did, the oldest run first."""
        from lockgate.postgres.tables.run_table import read_undo_facts

        with self._refusals():
            return read_undo_facts(self._own(), self._tables, run_ids)

    def recover(self, stamp: Stamp) -> Stamp | None:
        """Connect again after `ConnectionLost` and take the lock up where it was.

        Returns the stamp to go on with: its token is new, so that the former session, which may still
        work behind a broken network, cannot commit any more. ``None``: the run was finished, and only
        the answer to that was lost.

        Raises:
            LockLost: another run has it now.
            DatabaseBusy: the former session would not end.
            DatabaseUnreachable: the server did not come back in time.
            ConnectionLost: the new connection broke as well.
        """
        from lockgate.postgres.apply.session import lock_lost
        from lockgate.postgres.tables.lock_table import retake_lock
        from lockgate.postgres.tables.run_table import is_finished

        self._drop_connection()
        self._open()
        with self._refusals():
            if is_finished(self._own(), self._tables, stamp.run_id):
                return None
            self._end_former_session()
            token = retake_lock(
                self._own_of_run(),
                self._tables,
                stamp.token,
                stamp.run_id,
                is_pooled=self._is_pooled,
            )
            if token is None:
                raise lock_lost(stamp.token)
        self._start_watch()
        return replace(stamp, token=token)

    def _end_former_session(self) -> None:
        """End the session that a broken connection of this run has left, if it holds the lock."""
        from lockgate.postgres.tables.lock_table import read_holder

        holder = read_holder(self._own(), self._tables)
        is_ours = holder is not None and holder.run_id == self._run_id
        if holder is None or not is_ours or holder.pid is None or not holder.is_alive:
            return
        if holder.is_known and not self._lock().end_session(holder):
            raise DatabaseBusy(
                f"The connection broke, and the session that it left (pid {holder.pid}) still works and"
                " would not end.",
                hint="End that session, then invoke again.",
            )

    def finish(self, stamp: Stamp, outcome: dict[str, str | None]) -> None:
        """Record how the run ended and free the lock, in one transaction.

        This commit is synchronous, so everything that the run committed before it is on disk too. A
        report that this database does not take must not keep the lock.
        """
        self._stop_watch()
        refused = self._try_finish(stamp, outcome)
        for _ in range(_FINISH_RETRIES):
            if refused in _IN_THE_WAY and self._may_wait_again():
                refused = self._try_finish(stamp, outcome)
        if refused is None:
            return
        if refused not in _IN_THE_WAY:
            self._emit("report_not_stored", sqlstate=refused)
            outcome = {**outcome, "report": None}
        with self._refusals():
            self._finish(stamp, outcome)

    def _try_finish(self, stamp: Stamp, outcome: dict[str, str | None]) -> str | None:
        """Return the SQLSTATE of what was refused, or ``None`` once it is done."""
        try:
            self._finish(stamp, outcome)
        except StatementError as error:
            return error.sqlstate
        return None

    def _may_wait_again(self) -> bool:
        """Whether there is time to wait for somebody's lock on our tables, and once more after that."""
        left_ms = self._deadline.remaining_ms()
        return left_ms is None or left_ms > 2 * OWN_LOCK_TIMEOUT_MS

    def _finish(self, stamp: Stamp, outcome: dict[str, str | None]) -> None:
        from lockgate.postgres.tables.lock_table import release_sql
        from lockgate.postgres.tables.run_table import finish_sql

        statements = [
            guard_sql(self._tables),
            finish_sql(self._tables, stamp.run_id, outcome),
            release_sql(self._tables, stamp.token, stamp.run_id),
        ]
        self._own(writes=True).send(";\n".join(statements))

    def close(self) -> None:
        """Close everything. Never raises.

        A lock that may be this run's without its knowing is left as a dead run's: where the network
        fell silent, the server would keep its session, and others would wait for the lease to end.
        """
        self._drop_connection()
        if self._may_hold_lock:
            self._may_hold_lock = False
            with suppress(ConnectionLost, LockgateError, StatementError):
                self._open()
                self._end_former_session()
            self._drop_connection()

    @property
    def _connected(self) -> Connection:
        if self._connection is None:
            raise ConnectionLost("not connected")
        return self._connection

    def _own(self, *, writes: bool = False) -> OwnConnection:
        """Return the connection for one message of our own."""
        return OwnConnection(self._connected, self._options.set_role, writes=writes)

    def _own_of_run(self) -> OwnConnection:
        """Return the connection for what begins a run, whose session is set up unless it is borrowed."""
        return OwnConnection(
            self._connected,
            self._options.set_role,
            writes=True,
            begins_run=None if self.is_borrowed else self._run_id,
            names_session=not self._is_pooled,
        )

    def _lock(self) -> Lock:
        from lockgate.postgres.tables.lock import Lock

        return Lock(self._own_of_run(), self._tables, self._clock)

    def _open(self) -> Connection:
        if self._connection is None:
            self._connection = self._connector.connect(on_notice=self._log_notice)
        return self._connection

    def _drop_connection(self) -> None:
        self._stop_watch()
        # A commit that was not synchronous may be lost with the server.
        self._history, self._has_committed = None, False
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def _heard(self, segment: Segment) -> Iterator[None]:
        """Let a terminal hear what the migrations of a segment say, without the values to hide."""
        self._hidden = tuple(value for step in segment.steps for value in step.script.hidden)
        try:
            yield
        finally:
            self._hidden = None

    def _log_notice(self, fields: dict[str, str]) -> None:
        # Without its text, which a trigger may have put rows into; a terminal sees it.
        if self._tell is not None and self._hidden is not None:
            self._tell(fields.get("V", "NOTICE"), mask(fields.get("M", ""), self._hidden))
            return
        if fields.get("V") == "WARNING" and self._warnings < _MOST_WARNINGS:
            self._warnings += 1
            self._emit("server_warned", sqlstate=fields.get("C"))

    def _start_watch(self) -> None:
        from lockgate.postgres.server.watch import Watch

        sample_after_ms = max(200, int(self._options.timeouts.lock_timeout_ms * 0.5))
        self._watch = Watch(
            self._deadline,
            self._clock,
            self._open_observer,
            self._emit,
            sample_after_ms=sample_after_ms,
        )
        self._watch.start()

    def _open_observer(self) -> Connection:
        if self._is_pooled:
            raise OSError("a pooler's process ids are not the server's")
        return self._connector.connect_observer()

    def _stop_watch(self) -> None:
        if self._watch is not None:
            self._watch.stop()

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """Turn what the server refuses of our own statements into an error of ours."""
        try:
            yield
        except StatementError as error:
            raise self._look.refusal(error) from error
