"""What follows a broken connection, a failed migration or the deadline: does what `retry` decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.core import events
from lockgate.engine.retry import (
    AfterFailure,
    AfterLoss,
    Phase,
    decide_after_failure,
    decide_after_loss,
    make_stop,
    make_unreachable,
    retry_pause,
)
from lockgate.engine.run_step import SegmentStep
from lockgate.errors import DatabaseUnreachable

if TYPE_CHECKING:
    from lockgate.core.failure import ConnectionLost, Failure
    from lockgate.engine.context import RunContext
    from lockgate.engine.run_step import Following, RunStep


def follow_loss(run: RunContext, step: RunStep, error: ConnectionLost) -> Following:
    """Return what follows a broken connection, as `decide_after_loss` says."""
    phase = step.phase
    run.losses[phase] += 1
    losses = run.losses[phase]
    verdict = decide_after_loss(phase, losses, is_over=run.is_over, is_retaking=step.is_retaking)
    _note_loss(run, phase, verdict, error)
    match verdict:
        case AfterLoss.START_AGAIN | AfterLoss.RETAKE_LOCK:
            return step.reconnect()
        case AfterLoss.STOP:
            return stop(run, step)
        case AfterLoss.GIVE_UP:
            return step.fail(make_unreachable(phase, losses, str(error)))
        case AfterLoss.LEAVE_LOCK:
            return step.fail(DatabaseUnreachable(str(error)))


def _note_loss(run: RunContext, phase: Phase, verdict: AfterLoss, error: ConnectionLost) -> None:
    reconnects = verdict in {AfterLoss.START_AGAIN, AfterLoss.RETAKE_LOCK}
    if reconnects or phase is Phase.BEFORE_LOCK:
        run.dependencies.events.add(events.ConnectionBroke(str(error), error.sqlstate))
    # While finishing, nothing can be lost unless something was committed.
    if phase is not Phase.FINISHING or run.state.has_committed:
        run.dependencies.events.add(events.AnswerLost())


def follow_failure(run: RunContext, step: RunStep, failure: Failure) -> Following:
    """Return what follows a failed migration, as `decide_after_failure` says."""
    assert isinstance(step, SegmentStep)
    verdict = decide_after_failure(
        failure,
        tries=run.tries[step.segment_key],
        most_tries=run.dependencies.policy.lock_retries,
        is_cancelled=step.was_cancelled,
        is_over=run.is_over,
        parts=step.parts,
    )
    match verdict:
        case AfterFailure.STOP:
            return stop(run, step, failure)
        case AfterFailure.SPLIT:
            run.dependencies.events.add(events.SegmentSplit(failure.sqlstate, step.parts))
            return step.split()
        case AfterFailure.RETRY:
            _pause(run, step.segment_key, failure)
            return step.plan_again()
        case AfterFailure.FAIL:
            return step.fail(step.make_error(failure))


def _pause(run: RunContext, key: str, failure: Failure) -> None:
    """Give the blocking session time to finish."""
    run.tries[key] += 1
    needed, attempt = run.dependencies, run.tries[key]
    needed.events.add(events.SegmentRetried(failure, attempt))
    with needed.events.phase("apply"):
        needed.deadline.pause(needed.clock, retry_pause(attempt, needed.jitter()))


def stop(run: RunContext, step: RunStep, cut_off: Failure | None = None) -> Following:
    """Return what follows when time is over; ``cut_off`` is the statement that was cancelled."""
    interrupted_by = run.dependencies.deadline.interrupted_by
    return step.fail(make_stop(step.phase, interrupted_by, cut_off))
