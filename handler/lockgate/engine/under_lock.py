"""The steps under the lock: plan a stage, apply it segment by segment, record the end and release."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lockgate.core import events
from lockgate.core.failure import MigrationStepFailed
from lockgate.core.migration import Direction
from lockgate.core.segment import split_segment
from lockgate.engine.retry import Phase, may_finish
from lockgate.engine.run_step import RunStep, SegmentStep
from lockgate.errors import DatabaseUnreachable, LockgateError, LockLost, RunIncomplete
from lockgate.fast_start.dataclass import dataclass
from lockgate.report.make_report import make_outcome
from lockgate.report.refusal import status_of
from lockgate.report.report import Status

if TYPE_CHECKING:
    from lockgate.core.failure import Failure
    from lockgate.core.segment import Segment
    from lockgate.engine.decision import Stage, Work
    from lockgate.engine.locked_run import LockedRun
    from lockgate.engine.run_step import Following


class _HeldStep(RunStep):
    """A step of a stage, while the lock is held."""

    __slots__ = ()
    locked: LockedRun
    stage: Stage
    phase = Phase.HELD

    def fail(self, error: LockgateError) -> Following:
        """Return what the stage says about the error."""
        locked = self.locked
        if isinstance(error, RunIncomplete) and self.stage.keeps_facts:
            locked.store_facts()
        try:
            following = locked.follow_error(self.stage, error)
        except LockgateError as last:
            return _end_with(locked, last)
        if isinstance(following, Status):
            locked.look_again()
        return _follow(locked, following)

    def reconnect(self) -> RunStep:
        """Take the lock up, then plan the stage anew."""
        return _Retake(self.locked, self)

    def go_on(self, *, is_held: bool) -> Following:
        """Plan the stage anew with the lock taken up, which a run that is not over always has."""
        assert is_held
        self.locked.events.add(events.ConnectionRestored())
        return self.plan_again()

    def plan_again(self) -> RunStep:
        """Plan the rest of the stage anew."""
        return PlanStage(self.locked, self.stage)

    def succeed(self) -> Following:
        """Return what follows the stage, or record how the work ends."""
        if self.stage.keeps_facts:
            self.locked.store_facts()
        try:
            return _follow(self.locked, self.stage.after_success(self.locked.state))
        except LockgateError as last:
            return _end_with(self.locked, last)


@dataclass(frozen=True, slots=True)
class PlanStage(_HeldStep):
    """Read the history and plan a stage of the work."""

    locked: LockedRun
    stage: Stage

    def do(self) -> Following:
        """Apply what is planned, or end the stage."""
        work = self.locked.plan(self.stage)
        step = replace(self, stage=work.stage or self.stage)
        self.locked.prepare(work)
        if work.amendment is not None:
            self.locked.amend(work)
        self.locked.events.add(*work.concluding)
        if not work.segments:
            return step.succeed()
        return ApplySegments(self.locked, step.stage, work, work.segments)


@dataclass(frozen=True, slots=True)
class ApplySegments(_HeldStep, SegmentStep):
    """Apply the first of the segments that wait."""

    locked: LockedRun
    stage: Stage
    work: Work
    waiting: tuple[Segment, ...]
    starts_work = True

    def do(self) -> Following:
        """Apply it, and return what is left of the stage."""
        self.locked.apply(self.waiting[0], self.work)
        if len(self.waiting) > 1:
            return replace(self, waiting=self.waiting[1:])
        return self.succeed() if self.work.is_last else self.plan_again()

    @property
    def segment_key(self) -> str:
        """The first migration of the segment."""
        return self.waiting[0].steps[0].migration.migration_id

    @property
    def parts(self) -> int:
        """One for each migration; an automatic undo is never split."""
        return len(self.waiting[0].steps) if self.work.undone is None else 1

    @property
    def was_cancelled(self) -> bool:
        """Whether the watch has cancelled a statement because time was over."""
        return self.locked.lock.was_cancelled

    def split(self) -> RunStep:
        """Apply the segment in two transactions."""
        return replace(self, waiting=(*split_segment(self.waiting[0]), *self.waiting[1:]))

    def make_error(self, failure: Failure) -> LockgateError:
        """Return the failure as an error."""
        is_down = self.waiting[0].steps[0].direction is Direction.DOWN
        return MigrationStepFailed(failure, is_down=is_down)


@dataclass(frozen=True, slots=True)
class Finish(RunStep):
    """Record how the run ended and release the lock, in one transaction.

    Commits before this one are asynchronous, so a server that crashed may have lost some: then the
    history, read again, shows them as pending. The next run takes over a lock that was not released.
    """

    locked: LockedRun
    status: Status
    phase = Phase.FINISHING

    def do(self) -> Following:
        """Record and release."""
        locked = self.locked
        if not may_finish(locked.run.losses[Phase.FINISHING]):
            return self._leave_lock("the connection broke again and again")
        with locked.events.phase("finish"):
            endpoint = locked.run.dependencies.database.endpoint
            locked.lock.finish(make_outcome(locked.events, self.status, endpoint))
        return self.status

    def fail(self, error: LockgateError) -> Following:
        """Leave the lock to the next run."""
        return self._leave_lock(error.message)

    def reconnect(self) -> RunStep:
        """Take the lock up, then see what is left of the work."""
        return _Retake(self.locked, self)

    def go_on(self, *, is_held: bool) -> Following:
        """Begin the work again, which finds it done unless commits were lost; or only finish."""
        locked = self.locked
        if not is_held:
            locked.events.add(events.EndRecorded())
            return self.status
        locked.events.add(events.LockRetaken())
        if locked.state.error is None:
            return _follow(locked, locked.first)
        locked.look_again()
        return self

    def _leave_lock(self, reason: str) -> Status:
        """End without releasing the lock; what the report claims must still be true."""
        locked, why = self.locked, reason.rstrip(".")
        locked.events.add(events.LockNotReleased(reason))
        if locked.state.has_committed:
            locked.events.add(events.AnswerLost())
        locked.events.add(
            events.Warned(
                f"The end of the run was not recorded and the lock not freed: {why}. The next run"
                " takes the lock as soon as this session is gone."
            )
        )
        if locked.state.error is not None:
            return self.status
        error = DatabaseUnreachable(
            f"The end of the run could not be recorded: {why}. If the server crashed, it may have"
            " lost what the run had committed.",
            hint="Invoke again: the history is read, and only what is missing is applied.",
        )
        locked.events.add(events.Failed(error))
        return status_of(error)


@dataclass(frozen=True, slots=True)
class _Retake(RunStep):
    """Connect again and retake the lock, then continue with what was interrupted."""

    locked: LockedRun
    interrupted: _HeldStep | Finish
    is_retaking = True

    @property
    def phase(self) -> Phase:
        """The phase that was interrupted."""
        return self.interrupted.phase

    def do(self) -> Following:
        """Take it up and go on."""
        if self.phase is Phase.HELD:
            self.locked.doubt_measures()
        is_held = self.locked.lock.recover()
        return self.interrupted.go_on(is_held=is_held)

    def fail(self, error: LockgateError) -> Following:
        """Return what follows where it was interrupted."""
        return self.interrupted.fail(error)

    def reconnect(self) -> RunStep:
        """Try it once more."""
        return self


def _follow(locked: LockedRun, following: Stage | Status) -> RunStep:
    """Begin another stage, or finish."""
    if isinstance(following, Status):
        locked.pass_on_notes()
        return Finish(locked, following)
    locked.run.begin_stage()
    return PlanStage(locked, following)


def _end_with(locked: LockedRun, error: LockgateError) -> RunStep:
    """Finish with an error, once it is known what it has left behind."""
    if isinstance(error, LockLost):
        locked.events.add(events.LockLost())
    locked.look_again()
    locked.events.add(events.Failed(error))
    locked.drop_stub()
    locked.pass_on_notes()
    return Finish(locked, status_of(error))
