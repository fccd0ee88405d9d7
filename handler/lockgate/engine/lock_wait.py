"""Waiting for the lock, as long as the settings and the deadline allow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.core.events import HolderSeen, WaitBegan, Waited
from lockgate.core.lease import LockAction, decide_lock_action, poll_pause
from lockgate.engine.retry import Phase, make_stop
from lockgate.errors import DatabaseBusy
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from lockgate.core.lease import Holder, Terms
    from lockgate.core.run_state import RunState
    from lockgate.engine.dependencies import HeldLock, RunDependencies


@dataclass(slots=True)
class LockWait:
    """One wait for the lock. ``before_ms`` is what the run has waited before it."""

    dependencies: RunDependencies
    state: RunState
    started: float
    before_ms: int
    attempt: int = 0

    def take(self, terms: Terms) -> HeldLock | None:
        """Take the lock at once, or as soon as its holder is seen to be dead.

        Returns ``None`` if its holder released it: the planned work may be done by now.

        Raises:
            DatabaseBusy: the holder lives longer than this run may wait.
            RunIncomplete: the run was interrupted.
        """
        while (lock := self.dependencies.database.take_lock(terms)) is None:
            if not self._wait():
                return None
            self.attempt += 1
        self._note_time()
        self.dependencies.events.add(HolderSeen(None))
        return lock

    def _wait(self) -> bool:
        """Wait until the holder looks dead, and return True; False if the lock was given back."""
        while True:
            holder = self._look()
            if holder is None and self.attempt:
                return False
            if holder is None or decide_lock_action(holder) is not LockAction.WAIT:
                return True
            if self.attempt == 0 and not self.before_ms:
                self.dependencies.events.add(WaitBegan(holder.run_id))
            self._pause(holder)
            self.attempt += 1

    def _look(self) -> Holder | None:
        """Return who holds the lock, unless there is no time left to wait."""
        deadline = self.dependencies.deadline
        self._note_time()
        holder = self.dependencies.database.read_holder()
        if holder is not None:
            self.dependencies.events.add(HolderSeen(holder))
        if deadline.interrupted_by is not None:
            raise make_stop(Phase.BEFORE_LOCK, deadline.interrupted_by)
        has_waited = self.state.waited_ms >= self.dependencies.policy.lock_wait_ms
        if has_waited or deadline.is_over:
            raise make_busy(self.state.holder)
        return holder

    def _note_time(self) -> None:
        waited = self.dependencies.clock.monotonic() - self.started
        self.dependencies.events.add(Waited(self.before_ms + round(waited * 1000)))

    def _pause(self, holder: Holder) -> None:
        pause = poll_pause(self.attempt, self.dependencies.jitter(), holder.runs)
        self.dependencies.deadline.pause(self.dependencies.clock, pause)


def make_busy(holder: Holder | None) -> DatabaseBusy:
    """Return the error of a run that did not get the lock in time."""
    if holder is None:
        return DatabaseBusy("Another run holds the migration lock.", hint="Invoke again.")
    at = f" and is in migration {holder.at.replace('#', ', statement ')}" if holder.at else ""
    return DatabaseBusy(
        f"Another run holds the migration lock. Run {holder.run_id} ({holder.caller}) took it at"
        f" {holder.taken_at:%H:%M:%SZ}{at}; its lease ends in {max(0, holder.remaining_seconds):.0f}"
        " s.",
        hint="Invoke again after that. A run that was killed is replaced at once, without waiting.",
    )
