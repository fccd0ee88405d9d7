"""The order of work for one request. Knows protocols; knows no AWS, no SQL and no clock of its own.

::

    read files -> look at the server -> plan -> lock -> read history again -> plan again
               -> apply segment by segment -> record, unlock -> report

Nothing pending takes no lock: the second look happens only where there is work.
"""

from __future__ import annotations

import dataclasses
import random
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from lockgate import __version__
from lockgate.core.failure import ConnectionLost, Failure, OutOfTime, StepFailed
from lockgate.core.history import EMPTY_HISTORY, History
from lockgate.core.lease import Holder, Terms, lease_for, poll_pause
from lockgate.core.outcome import Done, Stamp, Taken
from lockgate.core.plan import Plan, make_plan
from lockgate.core.policy import Policy
from lockgate.core.refusal import find_refusal
from lockgate.core.request import Action, Request
from lockgate.core.segment import Segment, split_segment
from lockgate.errors import (
    DatabaseBusy,
    DatabaseUnreachable,
    LockgateError,
    RunIncomplete,
)
from lockgate.report import Report, Status
from lockgate.report_draft import ReportDraft

if TYPE_CHECKING:
    from collections.abc import Callable

    from lockgate.core.catalog import Catalog
    from lockgate.core.deadline import Clock, Deadline
    from lockgate.core.probe import Probe
    from lockgate.core.target import Endpoint
    from lockgate.settings import Atomicity, OutOfOrder

# 55P03 lock_not_available, 40P01 deadlock_detected: another session was in the way, and may be gone.
RETRIED = frozenset({"55P03", "40P01"})
# 53200 out_of_memory (the lock table is full), 55P04 unsafe_new_enum_value_usage, 55006 pending
# trigger events, 25001 a transaction that must be set up first: too much for one transaction, though
# not for several.
TOO_MUCH_FOR_ONE = frozenset({"53200", "55P04", "55006", "25001"})
CANCELLED = "57014"

_RETRY_PAUSE_SECONDS = 0.5
_LONGEST_RETRY_PAUSE_SECONDS = 10.0
_MOST_RECOVERIES = 3
# Of the server's lock table one run takes at most this share; a statement takes a few locks.
_LOCK_TABLE_SHARE = 0.4


class Database(Protocol):
    """What the runner needs of a database; `postgres.database.Database` is the real one."""

    @property
    def endpoint(self) -> Endpoint | None: ...
    @property
    def was_cancelled(self) -> bool: ...
    def probe(self) -> Probe: ...
    def install(self, probe: Probe) -> None: ...
    def read_history(self) -> History: ...
    def take_lock(self, terms: Terms) -> Taken | None: ...
    def read_holder(self) -> Holder | None: ...
    def break_lock(self, terms: Terms) -> tuple[Holder, bool] | None: ...
    def apply(self, segment: Segment, stamp: Stamp, on_applied: Callable[[Done], None]) -> None: ...
    def recover(self, stamp: Stamp) -> Stamp | None: ...
    def finish(self, stamp: Stamp, outcome: dict[str, str | None]) -> None: ...
    def close(self) -> None: ...


@dataclass(slots=True)
class Held:
    """The lock while a run holds it; its token grows when a broken connection is taken up again."""

    stamp: Stamp


@dataclass(frozen=True, slots=True)
class Rules:
    """What the settings say about a run. Times in milliseconds."""

    atomicity: Atomicity
    out_of_order: OutOfOrder
    lock_wait_ms: int
    lock_retries: int


@dataclass(slots=True)
class Runner:
    """Carries out one request. `run` returns a report, whatever happened to the migrations."""

    database: Database
    read_catalog: Callable[[], Catalog]
    rules: Rules
    clock: Clock
    deadline: Deadline
    emit: Callable[..., None]
    run_id: str
    jitter: Callable[[], float] = field(default=random.random)

    def run(self, request: Request) -> Report:
        """Carry out a request and close the connection.

        A failure that has a name is in the report, not raised.
        """
        draft = ReportDraft(self.run_id, request, self.clock.monotonic)
        try:
            status = self._persist(request, draft)
        except LockgateError as error:
            status = draft.fail(error)
        finally:
            self.database.close()
        report = draft.to_report(status, self.database.endpoint)
        self._emit_end(report)
        return report

    def _persist(self, request: Request, draft: ReportDraft) -> Status:
        """Carry out, from the start again where the connection breaks before there is a lock."""
        for attempt in range(_MOST_RECOVERIES + 1):
            try:
                return self._carry_out(request, draft)
            except ConnectionLost as error:
                self.emit("connection_lost", reason=str(error), sqlstate=error.sqlstate)
                self.database.close()
                if attempt == _MOST_RECOVERIES or self.deadline.is_over:
                    raise DatabaseUnreachable(
                        f"The connection broke before anything was done: {error}."
                        " Nothing was changed.",
                        hint="Invoke again.",
                    ) from error
        raise AssertionError("unreachable")

    def _carry_out(self, request: Request, draft: ReportDraft) -> Status:
        if request.action is Action.UNLOCK:
            return self._unlock(request, draft)
        with draft.phase("read_files"):
            catalog = self.read_catalog()
        draft.catalog = catalog
        with draft.phase("connect"):
            draft.probe = probe = self.database.probe()
        if request.action is not Action.STATUS and self._is_up_to_date(catalog, probe, request):
            draft.settle(catalog.latest)
            return self._tidy(request, draft, probe)
        draft.history = self.database.read_history() if probe.has_history else EMPTY_HISTORY
        policy = self._policy(request, probe)
        plan = make_plan(catalog, draft.history, policy)
        draft.see(plan)
        match request.action:
            case Action.STATUS:
                draft.holder = self.database.read_holder() if probe.has_history else None
                return Status.PLANNED if plan.has_pending else Status.UP_TO_DATE
            case Action.PLAN | Action.VALIDATE:
                _refuse(plan, policy)
                return Status.PLANNED if plan.has_pending else Status.UP_TO_DATE
            case _:
                _refuse(plan, policy)
                if plan.has_pending:
                    return self._up(request, draft, probe)
                return self._tidy(request, draft, probe)

    def _tidy(self, request: Request, draft: ReportDraft, probe: Probe) -> Status:
        """With nothing to do, free the lock of a run that was killed when all its work was done."""
        if request.action is not Action.UP or not probe.is_held or probe.is_read_only:
            return Status.UP_TO_DATE
        try:
            taken = self.database.take_lock(self._terms(request, probe))
        except DatabaseBusy:
            taken = None
        if taken is None:
            return Status.UP_TO_DATE
        return self._work_and_finish(request, draft, probe, self._note_taken(taken, draft))

    def _is_up_to_date(self, catalog: Catalog, probe: Probe, request: Request) -> bool:
        return probe.digest == catalog.digest() and probe.unfinished == 0 and request.target is None

    def _policy(self, request: Request, probe: Probe) -> Policy:
        return Policy(
            atomicity=self.rules.atomicity,
            out_of_order=self.rules.out_of_order,
            is_fresh=probe.is_fresh,
            most_statements=int(probe.lock_slots * _LOCK_TABLE_SHARE),
            target=request.target,
        )

    # Under the lock.

    def _up(self, request: Request, draft: ReportDraft, probe: Probe) -> Status:
        self._stop_if_over()
        self.database.install(probe)
        with draft.phase("lock_wait"):
            taken = self._wait_for_lock(request, draft, probe)
        return self._work_and_finish(request, draft, probe, self._note_taken(taken, draft))

    def _note_taken(self, taken: Taken, draft: ReportDraft) -> Stamp:
        draft.take(taken)
        self.emit("lock_taken", token=taken.token, former_run=taken.former_owner)
        return Stamp(self.run_id, taken.token, __version__)

    def _work_and_finish(
        self, request: Request, draft: ReportDraft, probe: Probe, stamp: Stamp
    ) -> Status:
        """Work, record and unlock; and again where the connection breaks before that was heard.

        Commits before the last one are asynchronous, so a server that crashed may have lost some:
        then the history, read again, has them still to do. A connection that does not come back
        leaves a lock that heals itself.
        """
        held = Held(stamp)
        status = self._try_work(request, draft, probe, held)
        for _ in range(_MOST_RECOVERIES):
            try:
                with draft.phase("finish"):
                    outcome = draft.outcome(status, self.database.endpoint)
                    self.database.finish(held.stamp, outcome)
            except ConnectionLost as error:
                self.emit("connection_lost", reason=str(error), sqlstate=error.sqlstate)
            except LockgateError as error:
                return self._leave_behind(draft, status, error.message)
            else:
                return status
            try:
                taken_up = self.database.recover(held.stamp)
            except (ConnectionLost, LockgateError) as error:
                return self._leave_behind(draft, status, str(error))
            if taken_up is None:
                return status
            held.stamp = taken_up
            if draft.error is None:
                status = self._try_work(request, draft, probe, held)
        return self._leave_behind(draft, status, "the connection broke again and again")

    def _try_work(self, request: Request, draft: ReportDraft, probe: Probe, held: Held) -> Status:
        try:
            return self._work(request, draft, probe, held)
        except LockgateError as error:
            return draft.fail(error)

    def _leave_behind(self, draft: ReportDraft, status: Status, reason: str) -> Status:
        """Give the lock up to whoever comes next; what the run claims must still be true."""
        self.emit("lock_left_behind", reason=reason)
        draft.warn(
            f"The end of the run was not recorded and the lock not freed: {reason} The next run takes"
            " the lock as soon as this session is gone."
        )
        if draft.error is not None:
            return status
        return draft.fail(
            DatabaseUnreachable(
                f"The end of the run could not be recorded: {reason} What it reports as applied may not"
                " have survived a crash of the server.",
                hint="Invoke again: the history is read, and only what is missing is applied.",
            )
        )

    def _unlock(self, request: Request, draft: ReportDraft) -> Status:
        """Break the lock. Touches no migration and reads no file."""
        draft.probe = probe = self.database.probe()
        if not probe.has_history:
            return Status.UP_TO_DATE
        broken = self.database.break_lock(self._terms(request, probe))
        if broken is None:
            return Status.UP_TO_DATE
        draft.holder, is_gone = broken
        self.emit("lock_broken", former_run=draft.holder.run_id)
        if not is_gone:
            draft.warn(
                f"The session of run {draft.holder.run_id} (pid {draft.holder.pid}) still runs, and"
                " this role may not end it. It cannot commit; a statement outside a transaction may"
                " still finish."
            )
        return Status.APPLIED

    def _terms(self, request: Request, probe: Probe) -> Terms:
        return Terms(
            run_id=self.run_id,
            request=request,
            lease_ms=lease_for(self.deadline.remaining_ms()),
            package_version=__version__,
            is_pooled=probe.behind_pooler,
        )

    def _wait_for_lock(self, request: Request, draft: ReportDraft, probe: Probe) -> Taken:
        terms = self._terms(request, probe)
        started, attempt = self.clock.monotonic(), 0
        while (taken := self.database.take_lock(terms)) is None:
            draft.waited_ms = round((self.clock.monotonic() - started) * 1000)
            draft.holder = self.database.read_holder() or draft.holder
            if self.deadline.interrupted_by is not None:
                raise self._incomplete()
            if draft.waited_ms >= self.rules.lock_wait_ms or self.deadline.is_over:
                raise _busy(draft.holder)
            if attempt == 0:
                self.emit("lock_waited_for", holder=draft.holder and draft.holder.run_id)
            self.deadline.pause(self.clock, poll_pause(attempt, self.jitter()))
            attempt += 1
        draft.waited_ms = round((self.clock.monotonic() - started) * 1000)
        draft.holder = None
        return taken

    def _work(self, request: Request, draft: ReportDraft, probe: Probe, held: Held) -> Status:
        """Plan under the lock and apply; plan anew after a retry or a broken connection."""
        policy = self._policy(request, probe)
        tries: Counter[str] = Counter()
        recoveries = 0
        while True:
            try:
                draft.history = self.database.read_history()
                plan = self._plan_again(draft, policy)
                if not plan.has_pending:
                    return Status.APPLIED if draft.done else Status.UP_TO_DATE
                with draft.phase("apply"):
                    is_done = self._apply_all(plan, draft, held.stamp, tries)
                if is_done:
                    return Status.APPLIED
            except ConnectionLost as error:
                recoveries = self._recover(error, recoveries, held)
            except OutOfTime as stop:
                raise self._incomplete(stop.failure) from None

    def _plan_again(self, draft: ReportDraft, policy: Policy) -> Plan:
        assert draft.catalog is not None
        plan = make_plan(draft.catalog, draft.history, policy)
        _refuse(plan, policy)
        draft.see(plan)
        draft.know_applied()
        return plan

    def _apply_all(self, plan: Plan, draft: ReportDraft, stamp: Stamp, tries: Counter[str]) -> bool:
        """Apply every segment; return False to have the plan made anew."""
        waiting = deque(plan.segments)
        while waiting:
            segment = waiting.popleft()
            self._stop_if_over()
            self.emit("segment_started", mode=segment.mode, migrations=len(segment.steps))
            try:
                self.database.apply(segment, stamp, draft.on_applied(self.emit))
            except StepFailed as error:
                sqlstate = error.failure.sqlstate
                if sqlstate == CANCELLED and (self.database.was_cancelled or self.deadline.is_over):
                    raise OutOfTime(error.failure) from error
                if sqlstate in TOO_MUCH_FOR_ONE and len(segment.steps) > 1:
                    self.emit("segment_split", sqlstate=sqlstate, migrations=len(segment.steps))
                    waiting.extendleft(reversed(split_segment(segment)))
                elif sqlstate in RETRIED and self._may_retry(segment, tries, error):
                    return False
                else:
                    raise draft.blame(error, segment) from error
        return True

    def _may_retry(self, segment: Segment, tries: Counter[str], error: StepFailed) -> bool:
        """Pause before the next try, unless there were enough of them."""
        key = segment.steps[0].migration.migration_id
        tries[key] += 1
        if tries[key] > self.rules.lock_retries or self.deadline.is_over:
            return False
        pause = min(_RETRY_PAUSE_SECONDS * 2 ** (tries[key] - 1), _LONGEST_RETRY_PAUSE_SECONDS)
        self.emit(
            "segment_retried",
            migration=error.failure.migration,
            sqlstate=error.failure.sqlstate,
            attempt=tries[key],
            blockers=[dataclasses.asdict(blocker) for blocker in error.failure.blockers],
        )
        self.deadline.pause(self.clock, pause * (0.5 + self.jitter() / 2))
        return True

    def _recover(self, error: ConnectionLost, recoveries: int, held: Held) -> int:
        """Connect again with the lock still ours, and return how often that was needed."""
        while True:
            recoveries += 1
            if self.deadline.is_over:
                raise self._incomplete() from error
            if recoveries > _MOST_RECOVERIES:
                raise DatabaseUnreachable(
                    f"The connection broke {recoveries} times: {error}. What the report lists as"
                    " applied is in the database; the rest was rolled back.",
                    hint="Invoke again: the run goes on where it stopped.",
                ) from error
            self.emit("connection_lost", reason=str(error), sqlstate=error.sqlstate)
            try:
                held.stamp = self.database.recover(held.stamp) or held.stamp
            except ConnectionLost as again:
                error = again
            else:
                self.emit("connection_restored")
                return recoveries

    def _stop_if_over(self) -> None:
        if self.deadline.is_over:
            raise self._incomplete()

    def _incomplete(self, cut_off: Failure | None = None) -> RunIncomplete:
        why = self.deadline.interrupted_by or "the time of this invocation is over"
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

    def _emit_end(self, report: Report) -> None:
        error = report.error
        self.emit(
            "run_finished",
            status=report.status,
            action=report.action,
            applied=len(report.applied),
            pending=len(report.pending),
            duration_ms=report.duration_ms,
            error_code=error.code if error else None,
            error=error.message if error else None,
        )


def _refuse(plan: Plan, policy: Policy) -> None:
    refusal = find_refusal(plan, policy)
    if refusal is not None:
        raise refusal


def _busy(holder: Holder | None) -> DatabaseBusy:
    if holder is None:
        return DatabaseBusy(
            "Another run holds the migration lock. Nothing was run.", hint="Invoke again."
        )
    at = f" and is in migration {holder.at.replace('#', ', statement ')}" if holder.at else ""
    return DatabaseBusy(
        f"Another run holds the migration lock. Run {holder.run_id} ({holder.caller}) took it at"
        f" {holder.taken_at:%H:%M:%SZ}{at}; its lease ends in {max(0, holder.remaining_seconds):.0f}"
        " s. Nothing was run.",
        hint="Invoke again after that. A run that was killed is replaced at once, without waiting.",
    )
