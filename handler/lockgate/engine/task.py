"""One request that has something to do, or to show. Knows protocols; knows no AWS and no SQL.

`Runner` comes here when files and history do not agree, or when nobody asked for that.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from lockgate import __version__
from lockgate.core import events
from lockgate.core.failure import ConnectionLost
from lockgate.core.file_warnings import warn_of_applied
from lockgate.core.history import EMPTY_HISTORY, History, align_history
from lockgate.core.lease import (
    Holder,
    LockAction,
    LockFreed,
    Terms,
    decide_lock_action,
    lease_for,
    poll_pause,
)
from lockgate.core.listing import has_same_down
from lockgate.core.policy import Policy, Rollback
from lockgate.core.request import Action, Request
from lockgate.engine.first_contact import find_first_contact
from lockgate.engine.forward import hint_at_down, plan_forward
from lockgate.engine.ports import MOST_RECOVERIES
from lockgate.engine.worker import Foreseen, Worker, refuse_plan, refuse_unknown, reverse
from lockgate.errors import (
    DatabaseBusy,
    DatabaseUnreachable,
    LockgateError,
    LockLost,
    RunIncomplete,
)
from lockgate.fast_start.dataclass import dataclass
from lockgate.report.make_report import make_outcome
from lockgate.report.refusal import status_of
from lockgate.report.report import Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from lockgate.core.amendment import Amendment
    from lockgate.core.catalog import Catalog
    from lockgate.core.events import Event
    from lockgate.core.history import Applied
    from lockgate.core.listing import Listing
    from lockgate.core.plan import Plan
    from lockgate.core.probe import Probe
    from lockgate.core.run_state import RunState
    from lockgate.engine.ports import HeldLock, Means
    from lockgate.errors import FirstContact

    Work = Callable[[Worker], Status]

# What looks at files that were applied already, too.
_ABOUT_APPLIED = frozenset({Action.STATUS, Action.VALIDATE})
# Of the server's lock table one run takes at most this share; a statement takes a few locks.
_LOCK_TABLE_SHARE = 0.4


@dataclass(frozen=True, slots=True)
class Task:
    """Carries out one request, once the server was looked at."""

    means: Means
    request: Request
    state: RunState
    probe: Probe

    def carry_out(self, listing: Listing | None, known: int | None) -> Status:
        """Plan, lock, work and record, or show what that would do; return how it ended.

        ``known`` is what `find_known` tells of the listing, where it was asked.

        Raises:
            LockgateError: it failed or was refused before there was a lock.
            ConnectionLost: the connection broke before there was one.
        """
        match self.request.action:
            case Action.UNLOCK:
                return self._unlock()
            case Action.HISTORY:
                return self._list_runs()
        assert listing is not None
        self._read_unknown(listing, known)
        match self.request.action:
            case Action.BASELINE | Action.ADOPT | Action.REPAIR:
                return self._amend()
            case Action.DOWN:
                return self._down()
            case Action.PLAN if self.request.is_down:
                return self._plan_down()
            case _:
                return self._forward()

    def tidy(self, work: Work = Worker.up) -> Status:
        """With nothing to do, free the lock of a run that was killed when all its work was done."""
        is_due = self.request.action in {Action.UP, Action.DOWN} and self.probe.is_held
        if not is_due or self.probe.is_read_only:
            return Status.UP_TO_DATE
        self._add(events.ChangeAttempted())
        self.means.database.install(self.probe)
        try:
            lock = self.means.database.take_lock(self._terms())
        except DatabaseBusy:
            lock = None
        if lock is None:
            return Status.UP_TO_DATE
        return self._work_and_finish(lock, work)

    @property
    def _catalog(self) -> Catalog:
        assert self.state.catalog is not None
        return self.state.catalog

    def _add(self, *happened: Event) -> None:
        self.means.events.add(*happened)

    def _read_unknown(self, listing: Listing, known: int | None) -> None:
        """Read files and history, but for what is known to be in the database as it is in files.

        An edit of a down script has to be told, so where these differ, both are read whole.
        """
        if known and has_same_down(listing, known, self.probe):
            self._add(events.FilesRead(self._read_catalog(listing, known), listing))
            self._add(events.HistoryRead(History((), known_to=listing.version(known - 1))))
            self.means.database.cache_history(self.state.history)
        else:
            self._add(events.FilesRead(self._read_catalog(listing, 0)))
            self._add(events.HistoryRead(self._read_history()))

    def _read_catalog(self, listing: Listing, known: int) -> Catalog:
        with self.means.events.phase("read_files"):
            return self.means.read_catalog(listing, known)

    def _read_history(self) -> History:
        if not self.probe.has_history:
            return align_history(EMPTY_HISTORY, self._catalog)
        return align_history(self.means.database.read_history(), self._catalog)

    def _forward(self) -> Status:
        """Up, and what only looks at what an up would do."""
        policy = self._policy()
        plan = plan_forward(self.means.database, self._catalog, self.state.history, policy)
        self._add(events.Planned(plan))
        seen = Status.PLANNED if plan.has_pending else Status.UP_TO_DATE
        if self.request.action in _ABOUT_APPLIED:
            warnings = tuple(warn_of_applied(self._catalog, self.state.history))
            self._add(events.FilesWarned(warnings))
        if self.request.action is Action.STATUS:
            holder = self.means.database.read_holder() if self.probe.has_history else None
            self._add(events.HolderSeen(holder))
            if self.state.history.rows:
                self._add(events.ActionsRead(self.means.database.read_actions()))
            refusal = self._find_first_contact(plan)
            if refusal is not None:
                self._add(events.Warned(f"An up would be refused: {refusal.message}"))
                self._add(events.Advised(refusal.hint))
            return seen
        refuse_plan(plan, policy)
        refusal = self._find_first_contact(plan)
        if refusal is not None:
            raise refusal
        self.means.database.check_steps(plan.steps)
        if self.request.action is not Action.UP:
            self._warn_of_ahead(plan)
            if not self.probe.is_held:
                refuse_unknown(plan.steps)
            return seen
        if plan.has_pending or self._is_to_bring_back(plan):
            return self._under_lock(partial(Worker.up, foreseen=Foreseen(self.state.history, plan)))
        self._warn_of_ahead(plan)
        return self.tidy()

    def _find_first_contact(self, plan: Plan) -> FirstContact | None:
        """Return why a first run would be refused; with nothing to apply, there is none.

        Nothing is asked where the first look saw no table, and no schema of Lockgate that may hide one.
        """
        has_no_table = self.probe.is_fresh and not self.probe.has_schema
        if not plan.has_pending or has_no_table:
            return None
        return find_first_contact(
            self.means,
            self.request,
            self._catalog,
            self.state.history,
            has_runs=self.probe.has_history,
        )

    def _is_to_bring_back(self, plan: Plan) -> bool:
        is_ahead = any(row.version is not None for row in plan.ahead)
        is_asked_for = self.means.rules.rollback is Rollback.DEPLOY
        return is_ahead and is_asked_for and plan.objection is None

    def _warn_of_ahead(self, plan: Plan) -> None:
        """Say why what is ahead is not undone, where that was asked for."""
        if plan.objection is not None and self.means.rules.rollback is Rollback.DEPLOY:
            text = "The database is ahead of this package and is not brought back:"
            hint = hint_at_down(self.means.address, self._catalog)
            self._add(events.Warned(f"{text} {plan.objection} {hint}"))

    def _policy(self) -> Policy:
        return Policy(
            atomicity=self.means.rules.atomicity,
            out_of_order=self.means.rules.out_of_order,
            is_fresh=self.probe.is_fresh,
            most_statements=int(self.probe.lock_slots * _LOCK_TABLE_SHARE),
            target=self.request.target,
            is_borrowed=self.means.database.is_borrowed,
        )

    # Under the lock.

    def _under_lock(self, work: Work) -> Status:
        if self.means.deadline.is_over:
            raise self._stopped()
        self._add(events.ChangeAttempted())
        self.means.database.install(self.probe)
        with self.means.events.phase("lock_wait"):
            lock = self._wait_for_lock()
        return self._work_and_finish(lock, work)

    def _work_and_finish(self, lock: HeldLock, work: Work) -> Status:
        """Work, record and unlock; and again where the connection breaks before that was heard.

        Commits before the last one are asynchronous, so a server that crashed may have lost some:
        then the history, read again, has them still to do. A connection that does not come back
        leaves a lock that heals itself.
        """
        self._add(events.LockTaken(lock.taken.token, lock.taken.former_owner))
        worker = Worker(self.means, self._policy(), lock, self.state)
        status = self._try_work(worker, work)
        for _ in range(MOST_RECOVERIES):
            try:
                with self.means.events.phase("finish"):
                    outcome = make_outcome(self.means.events, status, self.means.database.endpoint)
                    lock.finish(outcome)
            except ConnectionLost as error:
                self._add(events.ConnectionBroke(str(error), error.sqlstate))
                self._doubt_commits()
            except LockgateError as error:
                return self._leave_behind(status, error.message)
            else:
                return status
            try:
                is_held = lock.recover()
            except (ConnectionLost, LockgateError) as error:
                return self._leave_behind(status, str(error))
            if not is_held:
                self._add(events.EndRecorded())
                return status
            self._add(events.LockRetaken())
            if self.state.error is None:
                status = self._try_work(worker, work)
            else:
                worker.look_again()
        return self._leave_behind(status, "the connection broke again and again")

    def _try_work(self, worker: Worker, work: Work) -> Status:
        try:
            return work(worker)
        except LockgateError as error:
            if isinstance(error, LockLost):
                self._add(events.LockLost())
            worker.look_again()
            self._add(events.Failed(error))
            worker.drop_stub()
            return status_of(error)
        finally:
            worker.note()

    def _doubt_commits(self) -> None:
        """Note that what was committed may be lost, if the server crashed before the last commit."""
        if self.state.has_committed:
            self._add(events.AnswerLost())

    def _leave_behind(self, status: Status, reason: str) -> Status:
        """Give the lock up to whoever comes next; what the run claims must still be true."""
        self._add(events.LockLeftBehind(reason))
        self._doubt_commits()
        self._add(
            events.Warned(
                f"The end of the run was not recorded and the lock not freed: {reason} The next run"
                " takes the lock as soon as this session is gone."
            )
        )
        if self.state.error is not None:
            return status
        error = DatabaseUnreachable(
            f"The end of the run could not be recorded: {reason} If the server crashed, it may have"
            " lost what the run had committed.",
            hint="Invoke again: the history is read, and only what is missing is applied.",
        )
        self._add(events.Failed(error))
        return status_of(error)

    # Down.

    def _down(self) -> Status:
        rows = self._select()
        may_lose_rows = self.request.allow_data_loss or self.means.rules.may_lose_rows

        def work(worker: Worker) -> Status:
            chosen = rows if self.state.reverted else self._select_again()
            return worker.down(chosen, may_lose_rows=may_lose_rows)

        if rows:
            return self._under_lock(work)
        self._add(events.NothingToUndo())
        return self.tidy(work)

    def _select_again(self) -> tuple[Applied, ...]:
        """Choose under the lock, by the history as it is then."""
        history = align_history(self.means.database.read_history(), self._catalog)
        self._add(events.HistoryRead(history))
        return self._select()

    def _plan_down(self) -> Status:
        rows = self._select()
        policy = self._policy()
        reversal = reverse(self.means.database, rows, self._catalog, policy, self.means.substitute)
        if not self.probe.is_held:
            refuse_unknown(reversal.steps)
        self._add(events.UndoPlanned(reversal))
        return Status.PLANNED if rows else Status.UP_TO_DATE

    def _select(self) -> tuple[Applied, ...]:
        """Return what is to be undone, the last applied first."""
        from lockgate.core.reversal import find_down_target, select_above, select_last

        if self.request.steps is not None:
            return select_last(self.state.history, self.request.steps)
        assert self.request.target is not None
        return select_above(
            self.state.history,
            find_down_target(self._catalog, self.state.history, self.request.target),
        )

    # The history alone.

    def _amend(self) -> Status:
        amendment = self._decide(self.state.history)
        self._add(events.AmendmentPlanned(amendment))
        if amendment.is_empty:
            return Status.UP_TO_DATE
        if self.request.dry_run:
            return Status.PLANNED

        def work(worker: Worker) -> Status:
            self._add(events.AmendmentPlanned(worker.amend(self._decide)))
            return Status.APPLIED

        return self._under_lock(work)

    def _decide(self, history: History) -> Amendment:
        from lockgate.core.amendment import make_adoption, make_baseline, make_repair

        catalog = self._catalog
        if self.request.action is Action.BASELINE:
            assert self.request.target is not None
            return make_baseline(catalog, history, self.request.target)
        if self.request.action is Action.REPAIR:
            assert self.request.repair is not None
            assert self.request.version is not None
            return make_repair(catalog, history, self.request.repair, self.request.version)
        from lockgate.formats.claims import read_claims
        from lockgate.formats.foreign_tables import Detection

        ask = self.means.database.ask
        request, find_name = self.request, self.means.find_table_name
        tool, table = Detection(ask, find_name, request.source, request.table).detect()
        claims = read_claims(ask, tool, table, catalog, self.means.folder)
        return make_adoption(catalog, history, tool, claims, table)

    def _list_runs(self) -> Status:
        """Read who ran what. Reads no file and takes no lock."""
        from lockgate.core.run_record import SHOWN_RUNS

        if self.probe.has_history:
            limit = SHOWN_RUNS if self.request.limit is None else self.request.limit
            self._add(events.RunsListed(self.means.database.read_runs(limit)))
        return Status.UP_TO_DATE

    def _unlock(self) -> Status:
        """Break the lock. Touches no migration and reads no file."""
        if not self.probe.has_history:
            return Status.UP_TO_DATE
        self._add(events.ChangeAttempted())
        broken = self.means.database.force_unlock(self._terms())
        if broken is None:
            return Status.UP_TO_DATE
        holder, is_gone = broken
        self._add(events.LockBroken(holder))
        if not is_gone:
            self._add(
                events.Warned(
                    f"The session of run {holder.run_id} (pid {holder.pid}) still runs, and"
                    " this role may not end it. It cannot commit; a statement outside a transaction"
                    " may still finish."
                )
            )
        return Status.APPLIED

    def _terms(self) -> Terms:
        return Terms(
            run_id=self.means.run_id,
            request=self.request,
            lease_ms=lease_for(self.means.deadline.remaining_ms()),
            package_version=__version__,
            is_pooled=self.probe.behind_pooler,
        )

    def _wait_for_lock(self) -> HeldLock:
        """Take the lock, at once or as soon as its holder is seen to be over.

        Raises:
            LockFreed: it was held, and its holder gave it back.
        """
        terms = self._terms()
        started, attempt, before_ms = self.means.clock.monotonic(), 0, self.state.waited_ms
        while (lock := self.means.database.take_lock(terms)) is None:
            while True:
                waited = self.means.clock.monotonic() - started
                self._add(events.Waited(before_ms + round(waited * 1000)))
                holder = self.means.database.read_holder()
                if holder is not None:
                    self._add(events.HolderSeen(holder))
                if self.means.deadline.interrupted_by is not None:
                    raise self._stopped()
                has_waited = self.state.waited_ms >= self.means.rules.lock_wait_ms
                if has_waited or self.means.deadline.is_over:
                    raise _busy(self.state.holder)
                if holder is None and attempt:
                    raise LockFreed
                if holder is None or decide_lock_action(holder) is not LockAction.WAIT:
                    break
                if attempt == 0 and not before_ms:
                    self._add(events.WaitBegan(holder.run_id))
                pause = poll_pause(attempt, self.means.jitter(), holder.runs)
                self.means.deadline.pause(self.means.clock, pause)
                attempt += 1
            attempt += 1
        waited = self.means.clock.monotonic() - started
        self._add(events.Waited(before_ms + round(waited * 1000)), events.HolderSeen(None))
        return lock

    def _stopped(self) -> RunIncomplete:
        why = self.means.deadline.interrupted_by or "the time of this invocation is over"
        return RunIncomplete(f"The run stopped before it began: {why}.", hint="Invoke again.")


def _busy(holder: Holder | None) -> DatabaseBusy:
    if holder is None:
        return DatabaseBusy("Another run holds the migration lock.", hint="Invoke again.")
    at = f" and is in migration {holder.at.replace('#', ', statement ')}" if holder.at else ""
    return DatabaseBusy(
        f"Another run holds the migration lock. Run {holder.run_id} ({holder.caller}) took it at"
        f" {holder.taken_at:%H:%M:%SZ}{at}; its lease ends in {max(0, holder.remaining_seconds):.0f}"
        " s.",
        hint="Invoke again after that. A run that was killed is replaced at once, without waiting.",
    )
