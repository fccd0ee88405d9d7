"""The work under the lock: segment after segment, and again after a retry or a broken connection.

Knows protocols; knows no AWS, no SQL and no clock of its own. Decides nothing about what is to be done:
each kind of work is a function that is asked for its segments again whenever the truth may have changed.
"""

from __future__ import annotations

import contextlib
from collections import Counter, deque
from dataclasses import field
from functools import partial
from typing import TYPE_CHECKING, Any

from lockgate.core import events
from lockgate.core.backup import Purpose
from lockgate.core.failure import (
    ConnectionLost,
    Failure,
    MigrationStepFailed,
    OutOfTime,
    StepFailed,
)
from lockgate.core.history import Applied, History, StoredScripts, align_history
from lockgate.core.migration import Direction, Kind
from lockgate.core.policy import Rollback
from lockgate.core.refusal import find_borrowed_refusal, find_refusal, find_unknown
from lockgate.core.reversal import (
    Reversal,
    find_undo_refusal,
    make_reversal,
    select_ids,
    select_of_run,
)
from lockgate.core.segment import Segment, Step, split_segment
from lockgate.core.undo_facts import UndoFacts
from lockgate.core.undo_proof import (
    find_unprovable,
    find_unproved_run,
    has_way_back,
    make_undo,
    refuse_undo,
)
from lockgate.engine.first_contact import find_first_contact
from lockgate.engine.forward import hint_at_down, plan_forward
from lockgate.engine.ports import MOST_RECOVERIES
from lockgate.errors import (
    DatabaseUnreachable,
    DriftDetected,
    LockgateError,
    MigrationFailed,
    RequestRefused,
    RunIncomplete,
    UndoRefused,
)
from lockgate.fast_start.dataclass import dataclass
from lockgate.report.report import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lockgate.core.amendment import Amendment
    from lockgate.core.catalog import Catalog, MadeStub, TableStub
    from lockgate.core.event_log import EventLog
    from lockgate.core.events import Event
    from lockgate.core.outcome import Done
    from lockgate.core.plan import Plan
    from lockgate.core.policy import Policy
    from lockgate.core.reversal import Substitute
    from lockgate.core.run_state import RunState
    from lockgate.engine.ports import Database, HeldLock, Means

# 55P03 lock_not_available, 40P01 deadlock_detected: another session was in the way, and may be gone.
RETRIED = frozenset({"55P03", "40P01"})
# 53200 out_of_memory (the lock table is full), 55P04 unsafe_new_enum_value_usage, 55006 pending
# trigger events, 25001 a transaction that must be set up first: too much for one transaction, though
# not for several.
TOO_MUCH_FOR_ONE = frozenset({"53200", "55P04", "55006", "25001"})
CANCELLED = "57014"

_RETRY_PAUSE_SECONDS = 0.5
_LONGEST_RETRY_PAUSE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What was planned before there was a lock, and with which history."""

    history: History
    plan: Plan


@dataclass(slots=True)
class Worker:
    """Does one request's work while the run holds the lock."""

    means: Means
    policy: Policy
    lock: HeldLock
    state: RunState
    _former: dict[str, StoredScripts] = field(default_factory=dict)
    _facts: UndoFacts | None = None
    _has_begun: bool = False
    _stub: MadeStub | None = None

    @property
    def catalog(self) -> Catalog:
        """The files, as far as they were read."""
        assert self.state.catalog is not None
        return self.state.catalog

    def _add(self, *happened: Event) -> None:
        self.means.events.add(*happened)

    # Up.

    def up(self, foreseen: Foreseen | None = None) -> Status:
        """Apply what is pending; undo what this run has applied if a migration fails.

        ``foreseen`` holds for as long as the history is the one that it was planned with.

        Raises what `_carry_through` does.
        """
        is_back = False
        try:
            if self.means.rules.rollback is Rollback.DEPLOY:
                try:
                    is_free = self._bring_back(foreseen)
                finally:
                    is_back = bool(self.state.reverted)
                if not is_free:
                    return Status.ROLLED_BACK if is_back else Status.UP_TO_DATE
            self._carry_through(partial(self._plan_up, foreseen))
            self._store_facts()
        except MigrationStepFailed as error:
            if self.means.rules.rollback is Rollback.OFF:
                raise
            raise self._undo_own(error) from error
        except RunIncomplete:
            self._store_facts()
            raise
        except DriftDetected as error:
            if not is_back:
                raise
            # A newer package's text was accepted; the rollback is done, and must not fail on that.
            self._add(events.Warned(error.message))
        if is_back:
            return Status.ROLLED_BACK
        return Status.APPLIED if self.state.done else Status.UP_TO_DATE

    def _plan(self, foreseen: Foreseen | None) -> Plan:
        history = self._read_history()
        if foreseen is not None and foreseen.history == history:
            plan = foreseen.plan
        else:
            plan = plan_forward(self.means.database, self.catalog, history, self.policy)
        refuse_plan(plan, self.policy)
        return plan

    def _plan_up(self, foreseen: Foreseen | None) -> _Work:
        plan = self._plan(foreseen)
        if plan.half_undone:
            reversal = self._reverse(plan.half_undone)
            self._add(events.UndoPlanned(reversal))
            return _Work(
                reversal.segments, may_lose_rows=self.means.rules.may_lose_rows, is_last=False
            )
        self._add(events.Planned(plan), events.AppliedReloaded())
        refuse_unknown(plan.steps)
        self._remember(plan)
        self._refuse_first_contact(plan)
        if plan.has_pending and self.catalog.stub is not None:
            self._make_stub(self.catalog.stub)
        self._begin_facts(plan)
        return _Work(plan.segments)

    def _make_stub(self, stub: TableStub) -> None:
        is_first = self.state.trail.stub is None
        self._add(events.StubSent(stub.table))
        try:
            made = self.lock.create_stub(stub.sql)
        except LockgateError:
            if is_first:
                self._add(events.StubGone())
            raise
        if made.tables:
            self._stub = made
        elif is_first:
            self._add(events.StubGone())

    def drop_stub(self) -> None:
        """Drop the stub that this run made, if the run failed and nothing is left that needs it."""
        if self._stub is None or not self.state.claim().is_of_stub_alone:
            return
        with contextlib.suppress(ConnectionLost, LockgateError):
            if self.lock.drop_stub(self._stub):
                self._add(events.StubGone())

    def _begin_facts(self, plan: Plan) -> None:
        """Describe the database before the first change, if what follows may have to be undone."""
        if self._has_begun or not plan.segments:
            return
        self._has_begun = True
        is_undone_later = self.means.rules.rollback is Rollback.DEPLOY or len(plan.segments) > 1
        if self.means.rules.rollback is Rollback.OFF or not is_undone_later:
            return
        if all(map(has_way_back, plan.segments[0].steps)):
            with self.means.events.phase("describe"):
                before = self.lock.describe()
            self._facts = None if before is None else UndoFacts(before)

    def _store_facts(self) -> None:
        """Keep what the run did where an older package may have to undo it."""
        is_kept = self.means.rules.rollback is Rollback.DEPLOY and self.state.done
        if is_kept and self._facts is not None and self._facts.transactions:
            with contextlib.suppress(ConnectionLost, LockgateError):
                self.lock.store_undo_facts(self._facts.to_json())

    def _refuse_first_contact(self, plan: Plan) -> None:
        """Refuse once more, under the lock: tables may have been made since the first look."""
        if not plan.has_pending:
            return
        request, history = self.state.request, self.state.history
        refusal = find_first_contact(self.means, request, self.catalog, history)
        if refusal is not None:
            raise refusal

    def _remember(self, plan: Plan) -> None:
        """Keep the texts that repeatable migrations have, to give them back if the run fails."""
        if self.means.rules.rollback is Rollback.OFF:
            return
        changed = [
            step.row.migration_id
            for step in plan.steps
            if step.row is not None
            and step.migration.kind is Kind.REPEATABLE
            and step.row.migration_id not in self._former
        ]
        if changed and len(plan.segments) > 1:
            self._former |= self.means.database.read_scripts(changed)

    def _undo_own(self, error: MigrationStepFailed) -> MigrationStepFailed:
        """Undo what this run has applied before it failed, and return the error that says so.

        Nothing is undone if something of it has no way back.
        """
        if not self.state.done or self.means.deadline.is_over:
            return error
        self._add(events.UndoStarted(len(self.state.done)))
        try:
            self._carry_through(self._plan_undo_own)
        except (LockgateError, ConnectionLost) as failure:
            self._add(events.UndoFailed(str(failure)))
            hint = failure.hint if isinstance(failure, UndoRefused) else None
            return error.with_note(f"What this run had applied was not undone: {failure}", hint)
        return error

    def _plan_undo_own(self) -> _Work:
        history = self._read_history()
        self._add(events.RevertedReloaded())
        reversal = self._reverse(select_of_run(history, self.state.run_id))
        return self._undo_whole(reversal, self._facts)

    def _undo_whole(self, reversal: Reversal, facts: UndoFacts | None) -> _Work:
        """Return an automatic undo: one transaction that is never split.

        Raises:
            UndoRefused: the scripts, or what the run recorded, rule out that it is safe.
        """
        steps = reversal.steps
        if not steps:
            return _Work(())
        found = find_unprovable(steps, self.catalog, self.policy.most_statements)
        found = found or find_unproved_run(facts, steps)
        if found is not None:
            raise refuse_undo(found, steps)
        self._add(events.UndoPlanned(reversal))
        return _Work((make_undo(steps),), may_lose_rows=False, undone=facts)

    def _bring_back(self, foreseen: Foreseen | None) -> bool:
        """Undo what a newer package applied; return whether this package's own work may follow.

        A stack that rolls back must not fail on this: what cannot be undone is tolerated, and said.
        """
        try:
            self._carry_through(partial(self._plan_bring_back, foreseen))
        except (RequestRefused, MigrationFailed) as error:
            self.look_again()
            self._add(events.RollbackRefused(error.code, error.message))
            text = "The database is ahead of this package and was not brought back:"
            self._add(events.Warned(f"{text} {error.message} {error.hint or ''}".rstrip()))
            return isinstance(error, RequestRefused)
        return True

    def _plan_bring_back(self, foreseen: Foreseen | None) -> _Work:
        # First what is undone already: the plan may be refused.
        self._read_history()
        self._add(events.RevertedReloaded())
        plan = self._plan(foreseen)
        if plan.objection is not None:
            hint = hint_at_down(self.means.address, self.catalog)
            raise UndoRefused(plan.objection, hint=hint)
        ahead = {row.migration_id for row in plan.ahead if row.version is not None}
        rows = select_ids(self.state.history, ahead)
        return self._undo_whole(self._reverse(rows), self._read_facts(rows))

    def _read_facts(self, rows: Sequence[Applied]) -> UndoFacts | None:
        """Return what the runs that applied these rows recorded, as if they were one run."""
        if not rows:
            return None
        texts = self.means.database.read_undo_facts(sorted({row.run_id for row in rows}))
        runs = [UndoFacts.from_json(text) for text in texts if text is not None]
        if len(runs) < len({row.run_id for row in rows}):
            return None
        return UndoFacts(runs[0].before, [one for run in runs for one in run.transactions])

    # Down.

    def down(self, rows: Sequence[Applied], *, may_lose_rows: bool) -> Status:
        """Undo these migrations in this order.

        Raises what `_carry_through` does, and:
            UndoRefused: one of them has no way back.
        """
        ids = [row.migration_id for row in rows]

        def plan() -> _Work:
            history = self._read_history()
            self._add(events.RevertedReloaded())
            left = {row.migration_id: row for row in history.rows}
            reversal = self._reverse([left[one] for one in ids if one in left])
            self._add(events.UndoPlanned(reversal))
            return _Work(reversal.segments, may_lose_rows=may_lose_rows)

        self._carry_through(plan)
        return Status.ROLLED_BACK if self.state.reverted else Status.UP_TO_DATE

    def _reverse(self, rows: Sequence[Applied]) -> Reversal:
        reversal = reverse(
            self.means.database,
            rows,
            self.catalog,
            self.policy,
            self.means.substitute,
            self._former,
        )
        refuse_unknown(reversal.steps)
        return reversal

    # The history alone.

    def amend(self, decide: Callable[[History], Amendment]) -> Amendment:
        """Write what is decided about the history, in one transaction.

        Raises:
            AmendmentRefused: it does not fit.
        """
        recoveries = 0
        while True:
            try:
                history = self._read_history()
                sent = self.state.sent
                # The answer may have been lost, not the work: to decide anew would be refused.
                if sent is not None and sent.is_written(history, self.means.run_id):
                    return sent
                amendment = decide(history)
                if not amendment.is_empty:
                    self._add(events.AmendmentSent(amendment))
                    self.lock.amend(amendment)
            except ConnectionLost as error:
                recoveries = self._recover(error, recoveries)
            else:
                return amendment

    # All of them.

    def _read_history(self) -> History:
        history = self.means.database.read_history()
        if history.known_to is None and self.state.unread is not None:
            # Somebody had the lock, or a step failed: now it takes every row, and every file.
            self._add(events.FilesRead(self.means.read_catalog(self.state.unread, 0)))
        self._add(events.HistoryRead(align_history(history, self.catalog), is_locked=True))
        return self.state.history

    def look_again(self) -> None:
        """Read the history once more where a failure may have left a migration half done or undone."""
        with contextlib.suppress(ConnectionLost, LockgateError):
            self._read_history()

    def _carry_through(self, plan: Callable[[], _Work]) -> None:
        """Plan and apply until nothing is left; plan anew after a retry or a broken connection.

        Raises:
            MigrationFailed: a step failed for good.
            RunIncomplete: time is over, or the run was interrupted.
            LockLost: another run has the lock.
            DatabaseUnreachable: the connection broke and did not come back.
        """
        tries: Counter[str] = Counter()
        recoveries = 0
        while True:
            try:
                work = plan()
                if not work.segments:
                    return
                self._back_up(work)
                with self.means.events.phase("apply"):
                    is_done = self._apply_all(work, tries)
                if is_done and work.is_last:
                    return
            except ConnectionLost as error:
                recoveries = self._recover(error, recoveries)
            except OutOfTime as stop:
                raise self._incomplete(stop.failure) from None

    def note(self) -> None:
        """Pass on what the database's work found or left behind."""
        for text in self.lock.notes:
            if text not in self.state.warnings:
                self._add(events.Warned(text))

    def _apply_all(self, work: _Work, tries: Counter[str]) -> bool:
        """Apply every segment; return False to have the plan made anew."""
        waiting = deque(work.segments)
        while waiting:
            segment = waiting.popleft()
            self._stop_if_over()
            try:
                self._add(events.SegmentSent(segment))
                seen = self.lock.apply(
                    segment,
                    self._note_done,
                    following=waiting[0] if waiting else None,
                    may_lose_rows=work.may_lose_rows,
                    collects_facts=self._facts is not None and work.undone is None,
                    undone=work.undone,
                )
                if seen is not None and self._facts is not None:
                    self._facts.transactions.append(seen)
                self._add(events.SegmentDone())
            except StepFailed as error:
                sqlstate = error.failure.sqlstate
                if sqlstate == CANCELLED and (
                    self.lock.was_cancelled or self.means.deadline.is_over
                ):
                    raise OutOfTime(error.failure) from error
                is_splittable = work.undone is None and len(segment.steps) > 1
                if sqlstate in TOO_MUCH_FOR_ONE and is_splittable:
                    self._add(events.SegmentSplit(sqlstate, len(segment.steps)))
                    waiting.extendleft(reversed(split_segment(segment)))
                elif self._may_retry(segment, tries, error):
                    return False
                else:
                    is_down = segment.steps[0].direction is Direction.DOWN
                    raise MigrationStepFailed(error.failure, is_down=is_down) from error
        return True

    def _back_up(self, work: _Work) -> None:
        """Have a backup made before the first change; an empty database needs none."""
        endpoint = self.means.database.endpoint
        if self.policy.is_fresh or endpoint is None:
            return
        last = work.segments[-1].steps[-1]
        purpose = Purpose(
            run_id=self.state.run_id,
            endpoint=endpoint,
            version=None if self.state.history.latest is None else str(self.state.history.latest),
            goal=f"{last.direction} {last.migration.migration_id} {last.script.checksum}",
        )
        with self.means.events.phase("backup"):
            self.means.backup.before_change(purpose, _BackupNotes(self.means.events))

    def _may_retry(self, segment: Segment, tries: Counter[str], error: StepFailed) -> bool:
        """Pause before the next try, if one may help, and unless there were enough of them."""
        if error.failure.sqlstate not in RETRIED or error.failure.has_committed:
            return False
        key = segment.steps[0].migration.migration_id
        tries[key] += 1
        if tries[key] > self.means.rules.lock_retries or self.means.deadline.is_over:
            return False
        pause = min(_RETRY_PAUSE_SECONDS * 2 ** (tries[key] - 1), _LONGEST_RETRY_PAUSE_SECONDS)
        self._add(events.SegmentRetried(error.failure, tries[key]))
        self.means.deadline.pause(self.means.clock, pause * (0.5 + self.means.jitter() / 2))
        return True

    def _recover(self, error: ConnectionLost, recoveries: int) -> int:
        """Connect again with the lock still ours, and return how often that was needed."""
        self._add(events.AnswerLost())
        while True:
            recoveries += 1
            if self.means.deadline.is_over:
                raise self._incomplete() from error
            if recoveries > MOST_RECOVERIES:
                raise DatabaseUnreachable(
                    f"The connection broke {recoveries} times: {error}.",
                    hint="Invoke again: the run goes on where it stopped.",
                ) from error
            self._add(events.ConnectionBroke(str(error), error.sqlstate))
            if self._facts is not None and self._facts.transactions:
                # A server that crashed may have lost commits, and give their numbers to others.
                self._facts = None
            try:
                self.lock.recover()
            except ConnectionLost as again:
                error = again
            else:
                self._add(events.ConnectionRestored())
                return recoveries

    def _note_done(self, done: Done) -> None:
        """Note a migration that is in the database for good, or out of it."""
        is_undone = done.direction is Direction.DOWN or done.migration_id in self.state.restored
        self._add(events.Reverted(done) if is_undone else events.Applied(done))

    def _stop_if_over(self) -> None:
        if self.means.deadline.is_over:
            raise self._incomplete()

    def _incomplete(self, cut_off: Failure | None = None) -> RunIncomplete:
        why = self.means.deadline.interrupted_by or "the time of this invocation is over"
        where = ""
        if cut_off is not None:
            statement = f"statement {cut_off.statement} of " if cut_off.statement else ""
            where = f" It was in {statement}migration {cut_off.migration}, which was cancelled."
        return RunIncomplete(
            f"The run stopped before it was done: {why}.{where}",
            hint="Invoke again: the run goes on where it stopped.",
            file=None if cut_off is None else cut_off.file,
            migration=None if cut_off is None else cut_off.migration,
        )


class _BackupNotes:
    """Where a backup writes what is known of it, as events."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._backup: dict[str, Any] | None = None

    @property
    def backup(self) -> dict[str, Any] | None:
        """What there is to go back to."""
        return self._backup

    @backup.setter
    def backup(self, value: dict[str, Any] | None) -> None:
        self._backup = value
        if value is not None:
            self._log.add(events.BackedUp(value))

    def warn(self, text: str) -> None:
        """Note something on which somebody should act."""
        self._log.add(events.Warned(text))


@dataclass(frozen=True, slots=True)
class _Work:
    """Segments to apply; unless ``is_last``, more is planned behind them.

    ``undone`` are the facts of what an automatic undo undoes: one segment, which is never split.
    """

    segments: tuple[Segment, ...]
    may_lose_rows: bool = True
    is_last: bool = True
    undone: UndoFacts | None = None


def reverse(
    database: Database,
    rows: Sequence[Applied],
    catalog: Catalog,
    policy: Policy,
    substitute: Substitute,
    former: dict[str, StoredScripts] | None = None,
) -> Reversal:
    """Return what undoes these rows, by the scripts that the history keeps of them.

    Raises:
        UndoRefused: one of them has no way back.
        SessionNeeded: one needs a session, and there is none but for a transaction.
    """
    scripts = database.read_scripts([row.migration_id for row in rows]) if rows else {}
    reversal = make_reversal(rows, scripts, former or {}, catalog, policy, substitute)
    refusal = find_undo_refusal(reversal) or find_borrowed_refusal(reversal.steps, policy)
    if refusal is not None:
        raise refusal
    return reversal


def refuse_unknown(steps: Sequence[Step]) -> None:
    """Refuse to go on with a step of which nobody can tell how far it came.

    Raises:
        OutcomeUnknown: there is such a step.
    """
    refusal = find_unknown(steps)
    if refusal is not None:
        raise refusal


def refuse_plan(plan: Plan, policy: Policy) -> None:
    """Refuse a plan that may not be carried out.

    Raises what `find_refusal` returns.
    """
    refusal = find_refusal(plan, policy)
    if refusal is not None:
        raise refusal
