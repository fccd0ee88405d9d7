"""One step of a run. Each step returns what follows it.

::

    RunStep ─┬─ StepBeforeLock   Look, Decide, TakeLock, …
             ├─ SegmentStep      ApplySegments
             └─ PlanStage, Finish, …
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.engine.retry import Phase

if TYPE_CHECKING:
    from typing import TypeAlias

    from lockgate.core.failure import Failure
    from lockgate.engine.context import RunContext
    from lockgate.errors import LockgateError
    from lockgate.report.report import Status

    # The next step, how the run ends, or ``None``: look again, since what was read may have changed.
    Following: TypeAlias = "RunStep | Status | None"


class RunStep:
    """A step of a run. ``is_retaking``: it takes the lock again after a broken connection.

    ``starts_work``: it must not begin when time is over.
    """

    __slots__ = ()
    is_retaking = False
    starts_work = False

    @property
    def phase(self) -> Phase:
        """How far the run has come."""
        raise NotImplementedError

    def do(self) -> Following:
        """Do it, and return what follows."""
        raise NotImplementedError

    def reconnect(self) -> Following:
        """Return what follows a broken connection, if the run may go on."""
        raise NotImplementedError

    def fail(self, error: LockgateError) -> Following:
        """Return what follows an error that ends this part of the run."""
        raise NotImplementedError


class StepBeforeLock(RunStep):
    """A step before there is a lock."""

    __slots__ = ()
    run: RunContext
    phase = Phase.BEFORE_LOCK

    def reconnect(self) -> Following:
        """Look again, on a new connection."""
        self.run.dependencies.database.close()
        return None

    def fail(self, error: LockgateError) -> Following:
        """End the run: nothing has to be released."""
        raise error


class SegmentStep(RunStep):
    """A step that applies a segment: the only one that a failed migration can interrupt."""

    __slots__ = ()

    @property
    def segment_key(self) -> str:
        """The migration by which retries of the segment are counted."""
        raise NotImplementedError

    @property
    def parts(self) -> int:
        """The number of transactions that the segment can be split into."""
        raise NotImplementedError

    @property
    def was_cancelled(self) -> bool:
        """Whether Lockgate itself has cancelled a statement because time was over."""
        raise NotImplementedError

    def split(self) -> RunStep:
        """Return the step that applies the segment in two."""
        raise NotImplementedError

    def plan_again(self) -> RunStep:
        """Return the step that plans the rest again."""
        raise NotImplementedError

    def make_error(self, failure: Failure) -> LockgateError:
        """Return the error of a segment that failed and is not tried again."""
        raise NotImplementedError
