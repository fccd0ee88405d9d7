"""One step of a run: what every step can do, and what only a step under the lock can."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.engine.retry import Phase

if TYPE_CHECKING:
    from lockgate.core.failure import Failure
    from lockgate.errors import LockgateError
    from lockgate.report.report import Status


class Step:
    """A step before there is a lock."""

    __slots__ = ()

    @property
    def phase(self) -> Phase:
        """How far the run has come."""
        return Phase.BEFORE_LOCK

    @property
    def is_retaking(self) -> bool:
        """Whether it takes the lock up after a broken connection."""
        return False

    @property
    def starts_work(self) -> bool:
        """Whether this step must not begin when time is over."""
        return False

    def do(self) -> Step | Status:
        """Do it, and return what comes next or how the run ends."""
        raise NotImplementedError

    def fail(self, error: LockgateError) -> Step | Status:
        """Return what follows an error. Without the lock, nothing does: it is raised."""
        raise error

    # What only a step under the lock can do.

    def retake(self) -> Step:
        """Return the step that takes the lock up on a new connection."""
        raise NotImplementedError

    def leave_lock(self, reason: str) -> Status:
        """End without having released the lock, which heals itself."""
        raise NotImplementedError

    # What only a step that applies a segment can do.

    @property
    def segment_key(self) -> str:
        """The migration by which retries of the segment are counted."""
        raise NotImplementedError

    @property
    def parts(self) -> int:
        """Into how many transactions the segment can be split."""
        raise NotImplementedError

    @property
    def was_cancelled(self) -> bool:
        """Whether Lockgate itself has cancelled a statement because time was over."""
        raise NotImplementedError

    def split(self) -> Step:
        """Return the step that applies the segment in two."""
        raise NotImplementedError

    def plan_again(self) -> Step:
        """Return the step that plans the rest anew."""
        raise NotImplementedError

    def make_error(self, failure: Failure) -> LockgateError:
        """Return the error of a segment that failed for good."""
        raise NotImplementedError


class LookAgain(Step):
    """Begin with another look: what was read may not be true any more."""
