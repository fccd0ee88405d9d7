"""The order of work for one request. Knows protocols; knows no AWS, no SQL and no clock of its own.

::

    read files -> look at the server -> plan -> lock -> read history again -> plan again
               -> apply segment by segment -> record, unlock -> report

Nothing pending takes no lock: the second look happens only where there is work.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from lockgate import __version__
from lockgate.core.amendment import make_adoption, make_baseline, make_repair
from lockgate.core.failure import ConnectionLost
from lockgate.core.history import EMPTY_HISTORY, History, align_history
from lockgate.core.lease import Holder, Terms, lease_for, poll_pause
from lockgate.core.outcome import Stamp, Taken
from lockgate.core.plan import make_plan
from lockgate.core.policy import Policy
from lockgate.core.request import Action, Request
from lockgate.core.reversal import find_down_target, select_above, select_last
from lockgate.core.run_record import SHOWN_RUNS
from lockgate.errors import (
    DatabaseBusy,
    DatabaseUnreachable,
    LockgateError,
    RunIncomplete,
)
from lockgate.formats.registry import complete_history
from lockgate.histories.detect import detect_tool, read_claims
from lockgate.ports import Held
from lockgate.report import Report, Status
from lockgate.report_draft import ReportDraft
from lockgate.settings import Rollback
from lockgate.worker import MOST_RECOVERIES, Worker, refuse_plan, refuse_unknown, reverse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lockgate.core.amendment import Amendment
    from lockgate.core.backup import Backup
    from lockgate.core.catalog import Catalog
    from lockgate.core.deadline import Clock, Deadline
    from lockgate.core.history import Applied
    from lockgate.core.plan import Plan
    from lockgate.core.probe import Probe
    from lockgate.core.reversal import Substitute
    from lockgate.ports import Database, Rules

    Work = Callable[[Worker], Status]

# Of the server's lock table one run takes at most this share; a statement takes a few locks.
_LOCK_TABLE_SHARE = 0.4
# What has nothing to do where files and history agree.
_FOR_PENDING = frozenset({Action.UP, Action.PLAN, Action.VALIDATE})
_WITHOUT_FILES = frozenset({Action.UNLOCK, Action.HISTORY})


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
    substitute: Substitute
    backup: Backup
    folder: Path
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
        for attempt in range(MOST_RECOVERIES + 1):
            try:
                return self._carry_out(request, draft)
            except ConnectionLost as error:
                self.emit("connection_lost", reason=str(error), sqlstate=error.sqlstate)
                self.database.close()
                if attempt == MOST_RECOVERIES or self.deadline.is_over:
                    raise DatabaseUnreachable(
                        f"The connection broke before anything was done: {error}."
                        " Nothing was changed.",
                        hint="Invoke again.",
                    ) from error
        raise AssertionError("unreachable")

    def _carry_out(self, request: Request, draft: ReportDraft) -> Status:
        if request.action in _WITHOUT_FILES:
            is_unlock = request.action is Action.UNLOCK
            return self._unlock(request, draft) if is_unlock else self._list_runs(request, draft)
        with draft.phase("read_files"):
            catalog = self.read_catalog()
        draft.catalog = catalog
        with draft.phase("connect"):
            draft.probe = probe = self.database.probe()
        if request.action in _FOR_PENDING and self._is_up_to_date(catalog, probe, request):
            draft.settle(catalog.latest)
            return self._tidy(request, draft, probe)
        history = self.database.read_history() if probe.has_history else EMPTY_HISTORY
        draft.history = align_history(history, catalog)
        match request.action:
            case Action.BASELINE | Action.ADOPT | Action.REPAIR:
                return self._amend(request, draft, probe)
            case Action.DOWN:
                return self._down(request, draft, probe)
            case Action.PLAN if request.is_down:
                return self._plan_down(request, draft, probe)
            case _:
                return self._forward(request, draft, probe, catalog)

    def _forward(
        self, request: Request, draft: ReportDraft, probe: Probe, catalog: Catalog
    ) -> Status:
        """Up, and what only looks at what an up would do."""
        policy = self._policy(request, probe)
        plan = make_plan(catalog, draft.history, policy)
        draft.see(plan)
        seen = Status.PLANNED if plan.has_pending else Status.UP_TO_DATE
        if request.action is Action.STATUS:
            draft.holder = self.database.read_holder() if probe.has_history else None
            return seen
        refuse_plan(plan, policy)
        if request.action is not Action.UP:
            if not probe.is_held:
                refuse_unknown(plan.steps)
            return seen
        if plan.has_pending or self._is_to_bring_back(plan):
            return self._under_lock(request, draft, probe, Worker.up)
        return self._tidy(request, draft, probe)

    def _is_to_bring_back(self, plan: Plan) -> bool:
        is_ahead = any(row.version is not None for row in plan.ahead)
        return is_ahead and self.rules.rollback is Rollback.DEPLOY

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
        stamp = self._note_taken(taken, draft)
        return self._work_and_finish(request, draft, probe, stamp, Worker.up)

    def _is_up_to_date(self, catalog: Catalog, probe: Probe, request: Request) -> bool:
        is_whole = request.target is None and not request.is_down
        return is_whole and probe.digest == catalog.digest() and probe.unfinished == 0

    def _policy(self, request: Request, probe: Probe) -> Policy:
        return Policy(
            atomicity=self.rules.atomicity,
            out_of_order=self.rules.out_of_order,
            is_fresh=probe.is_fresh,
            most_statements=int(probe.lock_slots * _LOCK_TABLE_SHARE),
            target=request.target,
        )

    # Under the lock.

    def _under_lock(self, request: Request, draft: ReportDraft, probe: Probe, work: Work) -> Status:
        if self.deadline.is_over:
            raise self._stopped()
        self.database.install(probe)
        with draft.phase("lock_wait"):
            taken = self._wait_for_lock(request, draft, probe)
        stamp = self._note_taken(taken, draft)
        return self._work_and_finish(request, draft, probe, stamp, work)

    def _note_taken(self, taken: Taken, draft: ReportDraft) -> Stamp:
        draft.take(taken)
        self.emit("lock_taken", token=taken.token, former_run=taken.former_owner)
        return Stamp(self.run_id, taken.token, __version__)

    def _work_and_finish(
        self, request: Request, draft: ReportDraft, probe: Probe, stamp: Stamp, work: Work
    ) -> Status:
        """Work, record and unlock; and again where the connection breaks before that was heard.

        Commits before the last one are asynchronous, so a server that crashed may have lost some:
        then the history, read again, has them still to do. A connection that does not come back
        leaves a lock that heals itself.
        """
        held = Held(stamp)
        worker = self._worker(request, draft, probe, held)
        status = self._try_work(draft, worker, work)
        for _ in range(MOST_RECOVERIES):
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
                status = self._try_work(draft, worker, work)
        return self._leave_behind(draft, status, "the connection broke again and again")

    def _try_work(self, draft: ReportDraft, worker: Worker, work: Work) -> Status:
        try:
            return work(worker)
        except LockgateError as error:
            worker.look_again()
            return draft.fail(error)

    def _worker(self, request: Request, draft: ReportDraft, probe: Probe, held: Held) -> Worker:
        assert draft.catalog is not None
        return Worker(
            database=self.database,
            catalog=draft.catalog,
            policy=self._policy(request, probe),
            rules=self.rules,
            held=held,
            draft=draft,
            clock=self.clock,
            deadline=self.deadline,
            emit=self.emit,
            jitter=self.jitter,
            substitute=self.substitute,
            backup=self.backup,
        )

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

    # Down.

    def _down(self, request: Request, draft: ReportDraft, probe: Probe) -> Status:
        rows = self._select(request, draft)
        if not rows:
            draft.see_nothing()
            return Status.UP_TO_DATE
        may_lose_rows = request.allow_data_loss or self.rules.may_lose_rows

        def work(worker: Worker) -> Status:
            chosen = rows if draft.reverted else self._select_again(request, draft)
            return worker.down(chosen, may_lose_rows=may_lose_rows)

        return self._under_lock(request, draft, probe, work)

    def _select_again(self, request: Request, draft: ReportDraft) -> tuple[Applied, ...]:
        """Choose under the lock, by the history as it is then."""
        assert draft.catalog is not None
        draft.history = align_history(self.database.read_history(), draft.catalog)
        return self._select(request, draft)

    def _plan_down(self, request: Request, draft: ReportDraft, probe: Probe) -> Status:
        rows = self._select(request, draft)
        assert draft.catalog is not None
        policy = self._policy(request, probe)
        reversal = reverse(self.database, rows, draft.catalog, policy, self.substitute)
        if not probe.is_held:
            refuse_unknown(reversal.steps)
        draft.see_reversal(reversal)
        return Status.PLANNED if rows else Status.UP_TO_DATE

    def _select(self, request: Request, draft: ReportDraft) -> tuple[Applied, ...]:
        """Return what is to be undone, the last applied first."""
        assert draft.catalog is not None
        if request.steps is not None:
            return select_last(draft.history, request.steps)
        assert request.target is not None
        return select_above(
            draft.history, find_down_target(draft.catalog, draft.history, request.target)
        )

    # The history alone.

    def _amend(self, request: Request, draft: ReportDraft, probe: Probe) -> Status:
        decide = partial(self._decide, request, draft)
        amendment = decide(draft.history)
        draft.see_amendment(amendment)
        if amendment.is_empty:
            return Status.UP_TO_DATE
        if request.dry_run:
            return Status.PLANNED

        def work(worker: Worker) -> Status:
            draft.see_amendment(worker.amend(decide))
            return Status.APPLIED

        return self._under_lock(request, draft, probe, work)

    def _decide(self, request: Request, draft: ReportDraft, history: History) -> Amendment:
        catalog = draft.catalog
        assert catalog is not None
        if request.action is Action.BASELINE:
            assert request.target is not None
            return make_baseline(catalog, history, request.target)
        if request.action is Action.REPAIR:
            assert request.mend is not None
            assert request.version is not None
            return make_repair(catalog, history, request.mend, request.version)
        ask = self.database.ask
        tool, table = detect_tool(ask, request.source)
        claims = read_claims(ask, tool, table, catalog, self.folder, complete_history)
        return make_adoption(catalog, history, tool, claims, table)

    def _list_runs(self, request: Request, draft: ReportDraft) -> Status:
        """Read who ran what. Reads no file and takes no lock."""
        draft.probe = probe = self.database.probe()
        if probe.has_history:
            draft.runs = self.database.read_runs(
                SHOWN_RUNS if request.limit is None else request.limit
            )
        return Status.UP_TO_DATE

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
                raise self._stopped()
            if draft.waited_ms >= self.rules.lock_wait_ms or self.deadline.is_over:
                raise _busy(draft.holder)
            if attempt == 0:
                self.emit("lock_waited_for", holder=draft.holder and draft.holder.run_id)
            self.deadline.pause(self.clock, poll_pause(attempt, self.jitter()))
            attempt += 1
        draft.waited_ms = round((self.clock.monotonic() - started) * 1000)
        draft.holder = None
        return taken

    def _stopped(self) -> RunIncomplete:
        why = self.deadline.interrupted_by or "the time of this invocation is over"
        return RunIncomplete(
            f"The run stopped before it began: {why}. Nothing was changed.", hint="Invoke again."
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
