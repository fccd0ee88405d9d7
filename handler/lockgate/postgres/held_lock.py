"""The lock while a run holds it, with everything that only the holder may do.

Only `Database.take_lock` makes one. A run with nothing to do does not import this module.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lockgate.core.catalog import SessionRule
from lockgate.core.down_script import may_stop_counting
from lockgate.core.failure import StepFailed
from lockgate.core.migration import Language
from lockgate.core.outcome import RowStamp
from lockgate.core.server_events import DescriptionRefused, ReportNotStored
from lockgate.core.sqlstate import LOCK_CONFLICTS, WAITED
from lockgate.core.undo_facts import read_description, read_transaction
from lockgate.postgres.apply.alembic_operations import import_plugins
from lockgate.postgres.apply.data_loss_guard import DataLossGuard
from lockgate.postgres.apply.description import description_sql
from lockgate.postgres.apply.executor import Executor
from lockgate.postgres.apply.failures import lock_lost
from lockgate.postgres.apply.session import Session
from lockgate.postgres.apply.undo_guard import UndoGuard
from lockgate.postgres.server.carried_settings import read_carried_settings
from lockgate.postgres.server.statement_result import StatementError
from lockgate.postgres.server.watch import Watch
from lockgate.postgres.tables.history_sql import amendment_sql
from lockgate.postgres.tables.lock_table import fence_sql, release_sql, retake_lock
from lockgate.postgres.tables.run_table import (
    finish_sql,
    is_finished,
    note_commit_sql,
    prune_facts_sql,
    undo_facts_sql,
)
from lockgate.postgres.tables.stub import creation_sql, read_made, removal_sql
from lockgate.postgres.tables.untrusted_owners import ownership_check_sql

if TYPE_CHECKING:
    from collections.abc import Callable

    from lockgate.core.amendment import Amendment
    from lockgate.core.catalog import CreatedStub
    from lockgate.core.lease import Terms
    from lockgate.core.outcome import FinishedMigration, TakenLock
    from lockgate.core.segment import Segment
    from lockgate.core.undo_facts import Description, TransactionFacts, UndoFacts
    from lockgate.postgres.apply.guard import Guard
    from lockgate.postgres.run_connection import RunConnection

_FINISH_RETRIES = 2
_DESCRIPTION_TIMEOUT_MS = 10_000
# One set of facts at the beginning of a transaction, one before its COMMIT.
_FACT_SETS = 2


class HeldLock:
    """The lock of one run: its token, its session on the server, and the watch over that session.

    Use `finish` at the normal end. `abandon` only stops the watch.
    """

    def __init__(self, connection: RunConnection, taken: TakenLock, terms: Terms) -> None:
        self.taken = taken
        self._connection = connection
        self._tables = connection.tables
        self._stamp = RowStamp(terms.run_id, taken.token, terms.package_version)
        self._watch = self._start_watch()
        self._memo: dict[str, Any] = {}
        self._carried: tuple[str, ...] = ()
        # The run table says that this run has committed something.
        self._has_committed = False
        self._notes: dict[int, str] = {}

    @property
    def was_cancelled(self) -> bool:
        """Whether a statement was cancelled because the time was over."""
        return self._watch.has_cancelled

    @property
    def notes(self) -> tuple[str, ...]:
        """Warnings about what the run found or left behind."""
        return tuple(self._notes.values())

    def apply(
        self,
        segment: Segment,
        on_applied: Callable[[FinishedMigration], None],
        *,
        may_lose_rows: bool = True,
        collects_facts: bool = False,
        undone: UndoFacts | None = None,
    ) -> TransactionFacts | None:
        """Apply one segment; see `Executor.apply`.

        Returns the facts about its transaction if ``collects_facts`` and they can be known. ``undone``
        are the facts about what an automatic undo undoes.

        Raises:
            DataLossRefused: rows would be lost, and ``may_lose_rows`` is false.
            UndoRefused: the automatic undo cannot be proved to be safe.
        """
        dropped: list[str] = []
        if any(one.script.language is Language.PYTHON for one in segment.steps):
            import_plugins(self._connection.options.alembic_plugins)
        guard = self._make_guard(segment, undone, dropped, may_lose_rows=may_lose_rows)
        session = self._make_session(guard, collects_facts=collects_facts)
        self._connection.history = None
        try:
            self._execute(Executor(session, on_applied), segment)
        except StepFailed as error:
            # Only these failures can be explained by blocking sessions.
            if self._watch.blockers and error.failure.sqlstate in WAITED:
                failure = replace(error.failure, blockers=self._watch.blockers)
                raise StepFailed(failure) from error
            raise
        # Only now is it true.
        for text in dropped:
            self._notes[-1 - len(self._notes)] = text
        if len(session.facts) != _FACT_SETS:
            return None
        ids = tuple(step.migration.migration_id for step in segment.steps)
        return read_transaction(ids, *session.facts)

    def _make_session(self, guard: Guard | None, *, collects_facts: bool) -> Session:
        connection = self._connection
        return Session(
            connection=connection.connected,
            tables=self._tables,
            stamp=self._stamp,
            timeouts=connection.options.timeouts,
            deadline=connection.deadline,
            clock=connection.clock,
            set_role=connection.options.set_role,
            server_version=connection.server_version,
            guard=guard,
            memo=self._memo,
            carried_settings=self._carried,
            # In a pooled session, counts from before the transaction may be another client's.
            collects_facts=collects_facts and not connection.is_borrowed,
            is_borrowed=connection.is_borrowed,
            has_committed=self._has_committed,
            notes=self._notes,
            tell=connection.notices.tell,
        )

    def _execute(self, executor: Executor, segment: Segment) -> None:
        """Apply a segment under the watch, and keep the settings that it passes to the next one."""
        connection = self._connection
        hidden = tuple(value for step in segment.steps for value in step.script.hidden)
        watched = self._watch.under_way(connection.connected, _sample_after_ms(segment))
        with watched, connection.notices.shown(hidden):
            executor.apply(segment)
            self._has_committed = True
            if segment.leaves is not SessionRule.NEW:
                self._carried = read_carried_settings(connection.connected, segment.leaves)

    def _make_guard(
        self,
        segment: Segment,
        undone: UndoFacts | None,
        dropped: list[str],
        *,
        may_lose_rows: bool,
    ) -> Guard | None:
        connection = self._connection
        if undone is not None:
            return UndoGuard(
                connection.connected,
                self._tables,
                connection.server_version,
                undone,
                segment.steps,
            )
        if may_lose_rows:
            return None
        return DataLossGuard(
            connection.connected,
            self._tables,
            tuple(step.migration.migration_id for step in segment.steps),
            any(may_stop_counting(step.script) for step in segment.steps),
            dropped.append,
        )

    def amend(self, amendment: Amendment) -> None:
        """Write an amendment of the history, in one transaction that ends with the fence.

        Raises:
            LockLost: another run took the lock; nothing was written.
        """
        connection = self._connection
        connection.history = None
        statements = [
            ownership_check_sql(self._tables),
            *amendment_sql(self._tables, amendment, self._stamp),
            self._fence_sql(),
            note_commit_sql(self._tables, self._stamp.run_id),
        ]
        try:
            connection.own(writes=True).send(";\n".join(statements))
        except StatementError as error:
            if error.sqlstate == "22012":
                raise lock_lost(self._stamp.token) from error
            raise connection.server_probe.refusal(error) from error

    def create_stub(self, sql: str) -> CreatedStub:
        """Create another tool's history table, empty, for migrations that use it.

        Returns what it created.

        Raises:
            TargetUnsuitable: the role may not create it.
        """
        with self._connection.refusals():
            return read_made(self._connection.own(writes=True).send(creation_sql(sql))[-1])

    def drop_stub(self, made: CreatedStub) -> bool:
        """Drop what `create_stub` created; return False and change nothing if it has rows by now."""
        try:
            self._connection.own(writes=True).send(removal_sql(made, self._fence_sql()))
        except StatementError:
            return False
        return True

    def describe(self) -> Description | None:
        """Return a description of all user objects, or ``None`` if the server refuses the query."""
        limit = f"SET LOCAL statement_timeout = {_DESCRIPTION_TIMEOUT_MS}"
        query = description_sql(self._tables, self._connection.server_version)
        try:
            results = self._connection.own().send(f"{limit};\n{query}")
        except StatementError as error:
            self._connection.add_event(DescriptionRefused(error.sqlstate))
            return None
        return read_description(results[1].rows[0][0])

    def store_undo_facts(self, facts: str) -> None:
        """Store what this run did, for an older package that may have to undo it."""
        with self._connection.refusals():
            self._connection.own(writes=True).send(
                undo_facts_sql(self._tables, self._stamp.run_id, facts)
            )

    def recover(self) -> bool:
        """Connect again after `ConnectionLost` and continue to hold the lock, with a new token.

        The former session may still work behind a broken network; without the new token it cannot
        commit. Returns False if this run had already finished and only the answer was lost.

        Raises:
            LockLost: another run has the lock now.
            DatabaseBusy: the former session did not end.
            DatabaseUnreachable: the server did not come back in time.
            ConnectionLost: the new connection broke as well.
        """
        connection = self._connection
        self.abandon()
        # If the server crashed, commits that were not synchronous may be lost.
        self._has_committed = False
        connection.drop()
        connection.open()
        with connection.refusals():
            if is_finished(connection.own(), self._tables, self._stamp.run_id):
                return False
            connection.end_former_session()
            token = retake_lock(
                connection.own_of_run(),
                self._tables,
                self._stamp.token,
                self._stamp.run_id,
                is_pooled=connection.is_pooled,
            )
            if token is None:
                raise lock_lost(self._stamp.token)
        self._watch = self._start_watch()
        self._stamp = replace(self._stamp, token=token)
        return True

    def finish(self, outcome: dict[str, str | None]) -> None:
        """Record how the run ended and release the lock, in one transaction.

        This commit is synchronous, so everything that the run committed before is on disk too. If the
        database rejects the report, the run is recorded without it, so that the lock is released.
        """
        self.abandon()
        refused = self._try_finish(outcome)
        for _ in range(_FINISH_RETRIES):
            if refused in LOCK_CONFLICTS and self._connection.may_wait_again():
                refused = self._try_finish(outcome)
        if refused is None:
            return
        if refused not in LOCK_CONFLICTS:
            self._connection.add_event(ReportNotStored(refused))
            outcome = {**outcome, "report": None}
        with self._connection.refusals():
            self._finish(outcome)

    def _try_finish(self, outcome: dict[str, str | None]) -> str | None:
        """Return the SQLSTATE if the server refused, ``None`` on success."""
        try:
            self._finish(outcome)
        except StatementError as error:
            return error.sqlstate
        return None

    def _finish(self, outcome: dict[str, str | None]) -> None:
        statements = [
            ownership_check_sql(self._tables),
            finish_sql(self._tables, self._stamp.run_id, outcome),
            *([prune_facts_sql(self._tables)] if self._has_committed else []),
            release_sql(self._tables, self._stamp.token, self._stamp.run_id),
        ]
        self._connection.own(writes=True).send(";\n".join(statements))

    def abandon(self) -> None:
        """Stop the watch. The lock stays held on the server."""
        self._watch.stop()

    def _fence_sql(self) -> str:
        return fence_sql(self._tables, self._stamp.token, self._stamp.run_id)

    def _start_watch(self) -> Watch:
        connection = self._connection
        watch = Watch(
            connection.deadline,
            connection.clock,
            connection.open_observer,
            connection.add_event,
            sample_after_ms=_half(connection.options.timeouts.lock_timeout_ms),
        )
        watch.start()
        return watch


def _sample_after_ms(segment: Segment) -> int | None:
    """Return when to look for blockers, so that the shortest lock_timeout of a file is not over."""
    given = [step.script.options.lock_timeout_ms for step in segment.steps]
    return min((_half(timeout) for timeout in given if timeout), default=None)


def _half(lock_timeout_ms: int) -> int:
    return max(200, lock_timeout_ms // 2)
