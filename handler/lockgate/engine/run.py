"""The story of one request, and the one loop that carries it.

::

    look ──── nothing to do, and the lock is free ───────────────── report
      └ decide ──── nothing to do, refused, or only shown ────────── report
           └ take the lock ── decide again, apply ── record, release ── report

Each step returns the next one, and the last one a status. The loop in `_carry_out` meets whatever
comes in between: a broken connection, a failed step, the deadline. What follows is decided in
`engine.retry` and nowhere else. Knows protocols; knows no AWS, no SQL and no clock of its own.

With nothing pending no lock is taken, and nothing is imported that only work needs: `Look` is the door.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.core import events
from lockgate.core.failure import ConnectionLost, OutOfTime, StepFailed
from lockgate.core.run_state import RunState
from lockgate.engine.context import RunContext
from lockgate.engine.look import Look
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
from lockgate.engine.step import LookAgain
from lockgate.errors import LockgateError
from lockgate.fast_start.dataclass import dataclass
from lockgate.report.make_report import make_report
from lockgate.report.refusal import status_of
from lockgate.report.report import Report, Status

if TYPE_CHECKING:
    from lockgate.core.failure import Failure
    from lockgate.core.request import Request
    from lockgate.engine.dependencies import RunDependencies
    from lockgate.engine.step import Step


@dataclass(slots=True)
class Runner:
    """Carries out one request. `run` returns a report, whatever happened to the migrations."""

    dependencies: RunDependencies

    def run(self, request: Request) -> Report:
        """Carry out a request and close the connection.

        A `LockgateError` is in the report, not raised.
        """
        needed, log = self.dependencies, self.dependencies.events
        state = RunState(needed.run_id, request)
        log.listen(state.note)
        now = needed.clock.monotonic()
        log.add(events.RunStarted(needed.run_id, request, now, needed.address))
        try:
            status = _carry_out(RunContext(needed, request, state))
        except LockgateError as error:
            log.add(events.Failed(error))
            status = status_of(error)
        finally:
            needed.database.close()
        report = make_report(log, status, needed.database.endpoint)
        log.add(_make_end(report))
        return report


def _carry_out(context: RunContext) -> Status:
    """Go from step to step until there is a status.

    Raises:
        LockgateError: the run failed or was refused before it had the lock.
    """
    following: Step | Status = Look(context)
    while not isinstance(following, Status):
        step = Look(context) if isinstance(following, LookAgain) else following
        try:
            following = _stop(context, step) if step.starts_work and context.is_over else step.do()
        except ConnectionLost as error:
            following = _follow_loss(context, step, error)
        except OutOfTime as error:
            following = _stop(context, step, error.failure)
        except StepFailed as error:
            following = _follow_failure(context, step, error.failure)
        except LockgateError as error:
            following = step.fail(error)
    return following


def _follow_loss(context: RunContext, step: Step, error: ConnectionLost) -> Step | Status:
    """Return what follows a broken connection, as `decide_after_loss` says."""
    phase = step.phase
    context.losses[phase] += 1
    losses = context.losses[phase]
    verdict = decide_after_loss(
        phase, losses, is_over=context.is_over, is_retaking=step.is_retaking
    )
    _note_loss(context, phase, verdict, error)
    match verdict:
        case AfterLoss.START_AGAIN:
            context.dependencies.database.close()
            return LookAgain()
        case AfterLoss.RETAKE_LOCK:
            return step.retake()
        case AfterLoss.STOP:
            return _stop(context, step)
        case AfterLoss.GIVE_UP:
            return step.fail(make_unreachable(phase, losses, str(error)))
        case AfterLoss.LEAVE_LOCK:
            return step.leave_lock(str(error))


def _note_loss(
    context: RunContext, phase: Phase, verdict: AfterLoss, error: ConnectionLost
) -> None:
    is_taken_up = verdict in {AfterLoss.START_AGAIN, AfterLoss.RETAKE_LOCK}
    if is_taken_up or phase is Phase.BEFORE_LOCK:
        context.dependencies.events.add(events.ConnectionBroke(str(error), error.sqlstate))
    # While finishing, nothing can be lost unless something was committed.
    if phase is not Phase.FINISHING or context.state.has_committed:
        context.dependencies.events.add(events.AnswerLost())


def _follow_failure(context: RunContext, step: Step, failure: Failure) -> Step | Status:
    """Return what follows a failed step of a migration, as `decide_after_failure` says."""
    key, parts = step.segment_key, step.parts
    verdict = decide_after_failure(
        failure,
        tries=context.tries[key],
        most_tries=context.dependencies.options.lock_retries,
        is_cancelled=step.was_cancelled,
        is_over=context.is_over,
        parts=parts,
    )
    match verdict:
        case AfterFailure.STOP:
            return _stop(context, step, failure)
        case AfterFailure.SPLIT:
            context.dependencies.events.add(events.SegmentSplit(failure.sqlstate, parts))
            return step.split()
        case AfterFailure.RETRY:
            _pause(context, key, failure)
            return step.plan_again()
        case AfterFailure.FAIL:
            return step.fail(step.make_error(failure))


def _pause(context: RunContext, key: str, failure: Failure) -> None:
    """Give the blocking session time to finish."""
    context.tries[key] += 1
    needed, attempt = context.dependencies, context.tries[key]
    needed.events.add(events.SegmentRetried(failure, attempt))
    with needed.events.phase("apply"):
        needed.deadline.pause(needed.clock, retry_pause(attempt, needed.jitter()))


def _stop(context: RunContext, step: Step, cut_off: Failure | None = None) -> Step | Status:
    interrupted_by = context.dependencies.deadline.interrupted_by
    return step.fail(make_stop(step.phase, interrupted_by, cut_off))


def _make_end(report: Report) -> events.RunFinished:
    error = report.error
    return events.RunFinished(
        status=report.status,
        action=report.action,
        applied=len(report.applied),
        pending=len(report.pending),
        duration_ms=report.duration_ms,
        error_code=error.code if error else None,
        error=error.message if error else None,
    )
