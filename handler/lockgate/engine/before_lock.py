"""The steps from the first look to the lock: read, let the command decide, take the lock."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lockgate import __version__
from lockgate.core import events
from lockgate.core.history import EMPTY_HISTORY, History, align_history
from lockgate.core.lease import Terms, lease_for
from lockgate.core.listing import has_same_down
from lockgate.engine.commands import COMMANDS
from lockgate.engine.decision import (
    BreakLock,
    Conclude,
    Facts,
    FreeDeadLock,
    WorkUnderLock,
)
from lockgate.engine.lock_wait import LockWait
from lockgate.engine.locked_run import LockedRun
from lockgate.engine.reader import Reader
from lockgate.engine.run_step import StepBeforeLock
from lockgate.engine.under_lock import PlanStage
from lockgate.errors import DatabaseBusy
from lockgate.fast_start.dataclass import dataclass
from lockgate.report.report import Status

if TYPE_CHECKING:
    from lockgate.core.catalog import Catalog
    from lockgate.core.lease import Holder
    from lockgate.core.listing import Listing
    from lockgate.core.policy import Policy
    from lockgate.core.probe import Probe
    from lockgate.engine.context import RunContext
    from lockgate.engine.decision import Stage
    from lockgate.engine.dependencies import HeldLock, RunDependencies
    from lockgate.engine.run_step import Following, RunStep

# Of the server's lock table one run takes at most this share; a statement takes a few locks.
_LOCK_TABLE_SHARE = 0.4


@dataclass(frozen=True, slots=True)
class Decide(StepBeforeLock):
    """Read what the command needs, and let it decide.

    ``known`` is how many versioned migrations are known to be applied as they are in the files.
    """

    run: RunContext
    probe: Probe
    listing: Listing | None
    known: int | None
    is_settled: bool

    def do(self) -> Following:
        """Return what the command decides."""
        run, probe = self.run, self.probe
        if self.listing is not None and not self.is_settled:
            self._read_files_and_history(self.listing)
        policy = make_policy(run, probe)
        decision = Reader(run.dependencies, run.request).consult(
            COMMANDS[run.request.action](self._facts(), run.request, policy)
        )
        match decision:
            case Conclude(status):
                return status
            case BreakLock():
                return _BreakLock(run, probe)
            case FreeDeadLock(stage):
                return _FreeDeadLock(run, probe, policy, stage)
            case WorkUnderLock(stage):
                return TakeLock(run, probe, policy, stage)

    def _facts(self) -> Facts:
        state = self.run.state
        return Facts(
            self.probe,
            state.run_id,
            self.run.dependencies.substitute,
            state.catalog,
            state.history,
            is_settled=self.is_settled,
        )

    def _read_files_and_history(self, listing: Listing) -> None:
        """Take what is needed of the files, and read the history.

        Migrations known to be applied unchanged are left out of both, unless a down script was edited,
        which has to be reported.
        """
        needed = self.run.dependencies
        if self.known and has_same_down(listing, self.known, self.probe):
            catalog = _read_catalog(needed, listing, self.known)
            history = History((), known_to=listing.version(self.known - 1))
            needed.events.add(events.FilesRead(catalog, listing), events.HistoryRead(history))
            needed.database.cache_history(history)
            return
        catalog = _read_catalog(needed, listing, 0)
        needed.events.add(events.FilesRead(catalog))
        history = needed.database.read_history() if self.probe.has_history else EMPTY_HISTORY
        needed.events.add(events.HistoryRead(align_history(history, catalog)))


def _read_catalog(needed: RunDependencies, listing: Listing, known: int) -> Catalog:
    with needed.events.phase("read_files"):
        return needed.read_catalog(listing, known)


def make_policy(run: RunContext, probe: Probe) -> Policy:
    """Return what the settings, the request and the server say about decisions."""
    needed = run.dependencies
    return replace(
        needed.policy,
        is_fresh=probe.is_fresh,
        most_statements=int(probe.lock_slots * _LOCK_TABLE_SHARE),
        target=run.request.target,
        is_borrowed=needed.database.is_borrowed,
    )


def make_terms(run: RunContext, probe: Probe) -> Terms:
    """Return what the run asks the lock for."""
    return Terms(
        run_id=run.dependencies.run_id,
        request=run.request,
        lease_ms=lease_for(run.dependencies.deadline.remaining_ms()),
        package_version=__version__,
        is_pooled=probe.behind_pooler,
    )


@dataclass(frozen=True, slots=True)
class TakeLock(StepBeforeLock):
    """Wait for the lock."""

    run: RunContext
    probe: Probe
    policy: Policy
    stage: Stage
    starts_work = True

    def do(self) -> Following:
        """Work under the lock. If another run released it meanwhile, look again."""
        run, needed = self.run, self.run.dependencies
        _install(run, self.probe)
        with needed.events.phase("lock_wait"):
            waiting = LockWait(needed, run.state, needed.clock.monotonic(), run.state.waited_ms)
            lock = waiting.take(make_terms(run, self.probe))
        if lock is None:
            needed.events.add(events.HolderSeen(None))
            return None
        return _begin_work(run, self.probe, lock, self.policy, self.stage)


@dataclass(frozen=True, slots=True)
class _FreeDeadLock(StepBeforeLock):
    """Release a lock left by a run that died after finishing its work."""

    run: RunContext
    probe: Probe
    policy: Policy
    stage: Stage

    def do(self) -> Following:
        """Try once. If the holder lives, there is still nothing to do."""
        if not self.probe.is_held or self.probe.is_read_only:
            return Status.UP_TO_DATE
        _install(self.run, self.probe)
        try:
            lock = self.run.dependencies.database.take_lock(make_terms(self.run, self.probe))
        except DatabaseBusy:
            return Status.UP_TO_DATE
        if lock is None:
            return Status.UP_TO_DATE
        return _begin_work(self.run, self.probe, lock, self.policy, self.stage)


def _install(run: RunContext, probe: Probe) -> None:
    run.dependencies.events.add(events.ChangeAttempted())
    run.dependencies.database.install(probe)


def _begin_work(
    run: RunContext, probe: Probe, lock: HeldLock, policy: Policy, stage: Stage
) -> RunStep:
    run.dependencies.events.add(events.LockTaken(lock.taken.token, lock.taken.former_owner))
    run.begin_stage()
    return PlanStage(LockedRun(run, probe, lock, policy, stage), stage)


@dataclass(frozen=True, slots=True)
class _BreakLock(StepBeforeLock):
    """Free the lock of another run, as an operator asks."""

    run: RunContext
    probe: Probe

    def do(self) -> Following:
        """Break the lock; warn if the session of its holder still runs."""
        needed = self.run.dependencies
        needed.events.add(events.ChangeAttempted())
        broken = needed.database.force_unlock(make_terms(self.run, self.probe))
        if broken is None:
            return Status.UP_TO_DATE
        holder, is_gone = broken
        needed.events.add(events.LockBroken(holder))
        if not is_gone:
            needed.events.add(_warn_of_session(holder))
        return Status.APPLIED


def _warn_of_session(holder: Holder) -> events.Warned:
    return events.Warned(
        f"The session of run {holder.run_id} (pid {holder.pid}) still runs, and this role may not end"
        " it. It cannot commit; a statement outside a transaction may still finish."
    )
