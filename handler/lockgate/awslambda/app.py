"""The Lambda function: reads events, runs, answers the caller, writes logs and metrics.

This is the only module that catches every exception, because each caller must get an answer. Lambda
imports it through `entry` and `load`, which answer if this module cannot be imported.
"""

from __future__ import annotations

import traceback
from contextlib import ExitStack
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from lockgate.aws.clients import make_client
from lockgate.aws.continuation import invoke_again
from lockgate.awslambda.callers.awaiting import Invocation
from lockgate.awslambda.callers.delivery import Answer, NotAwaited, SingleAnswer, Timing
from lockgate.awslambda.callers.detect import CallerKind, detect_caller, is_awaiting
from lockgate.awslambda.callers.emergency import start_emergency
from lockgate.awslambda.callers.registry import open_awaiting, open_returning
from lockgate.core.address import Address
from lockgate.core.deadline import Deadline
from lockgate.core.event_log import EventLog
from lockgate.core.request import Action
from lockgate.errors import LockgateError, RequestInvalid, UnexpectedFailure
from lockgate.report.log import log_to
from lockgate.report.make_report import report_broken_off
from lockgate.report.report import Report, Status
from lockgate.settings import Settings, read_answer_settings, read_environment, read_settings
from lockgate.wiring import SystemClock, make_run_id, make_runner

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_lambda_powertools.utilities.typing import LambdaContext

    from lockgate.awslambda.callers.awaiting import AwaitingCaller
    from lockgate.core.request import Request

# Without the code location: all log events are written by one function.
logger = Logger(service="lockgate", location=None)
metrics = Metrics(namespace="Lockgate", service="lockgate")
# The second thread may write its metrics while the run ends after all.
_measuring = Lock()

# A function with a short timeout keeps this share of it in reserve, at most.
_RESERVE_SHARE = 0.25


def lambda_handler(event: Any, context: LambdaContext) -> dict[str, Any]:
    """Handle one event and answer its caller.

    CloudFormation, CodePipeline and CodeDeploy get their answer through their own API, and the return
    value only says so. Every other caller gets the report as the return value.

    Raises:
        LockgateError: the run failed. The class is one of the public ones (`lockgate.errors`) and
            the message is the report as JSON. For a caller that waits for its own answer, only
            if that answer could not be sent.
    """
    run_id = make_run_id()
    logger.set_correlation_id(run_id)
    metrics.set_default_dimensions(function_name=context.function_name)
    try:
        kind = detect_caller(event)
        answering = read_answer_settings(read_environment())
        if not is_awaiting(kind, answering):
            return _serve_returning(kind, event, context, run_id)
        caller = open_awaiting(kind, event, _make_invocation(context), answering)
        return _serve_awaiting(caller, answering, context, run_id)
    finally:
        logger.set_correlation_id(None)


def _serve_returning(
    kind: CallerKind, event: Any, context: LambdaContext, run_id: str
) -> dict[str, Any]:
    caller = open_returning(kind, event, _now())
    if not caller.needs_run:
        return caller.make_result(None, run_id)
    remaining = _make_remaining(caller.must_end_at, context)
    report = _run(caller.read_request, remaining, run_id, _make_event_log())
    return caller.make_result(_note(report), run_id)


def _run(
    read_request: Callable[[Settings], Request],
    remaining: Callable[[], int],
    run_id: str,
    events: EventLog,
) -> Report:
    """Run and return a report, whatever happens except an interrupt of the process."""
    try:
        settings = read_settings(read_environment())
        request = read_request(settings)
        deadline = _make_deadline(settings, remaining)
        address = _find_operator(settings)
        runner = make_runner(settings, deadline, events, run_id=run_id, address=address)
        return runner.run(request)
    except LockgateError as error:
        return report_broken_off(events, run_id, error)
    except Exception as error:  # noqa: BLE001 - the caller gets an answer, whatever happened
        return _report_unexpected(run_id, error, events)


def _find_operator(settings: Settings) -> Address:
    """Return where an operator's commands are sent: Operate, or this function if it accepts them."""
    if settings.operate is not None:
        return Address(is_terminal=False, operate=settings.operate)
    own_name = read_environment().get("AWS_LAMBDA_FUNCTION_NAME")
    is_operator = Action.ADOPT in settings.allowed_actions
    return Address(is_terminal=False, operate=own_name if is_operator else None)


def _make_deadline(settings: Settings, remaining: Callable[[], int]) -> Deadline:
    reserve_ms = min(settings.reserve_ms, int(remaining() * _RESERVE_SHARE))
    return Deadline(remaining, max(0, reserve_ms))


def _report_unexpected(run_id: str, error: BaseException, events: EventLog) -> Report:
    """Log where an unexpected error occurred, without its message, which may contain anything."""
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames[-8:]]
    logger.error("unexpected_failure", error_type=type(error).__name__, frames=places)
    failure = UnexpectedFailure(
        f"An unexpected {type(error).__name__} ended the run.",
        hint="Look for unexpected_failure in the function's log, and invoke with"
        ' {"action": "status"} to see the state of the database.',
    )
    return report_broken_off(events, run_id, failure)


# Callers that wait for their own answer.


def _serve_awaiting(
    caller: AwaitingCaller, answering: Settings, context: LambdaContext, run_id: str
) -> dict[str, Any]:
    """Run and answer: with the outcome, with the error, or before Lambda kills the process."""
    single, events = SingleAnswer(), _make_event_log()
    interruption: BaseException | None = None
    outcome: Report | None = None
    with ExitStack() as cleanup:
        # From here on, the caller gets an answer whatever happens.
        try:
            remaining = _make_remaining(caller.continuation.must_end_at, context)
            deadline = _make_deadline(answering, remaining)
            emergency = start_emergency(single, caller, deadline, run_id, events, _end_emergency)
            cleanup.callback(emergency.cancel)
            if caller.needs_run:
                outcome = _run(caller.read_request, remaining, run_id, events)
                if not single.is_answered and (said := _yield_answer(caller, outcome, single)):
                    return said
            answer = caller.make_answer(None if outcome is None else _note_due(outcome, single))
        except LockgateError as error:
            report = report_broken_off(events, run_id, error)
            answer = caller.make_answer(_note_due(report, single))
        except BaseException as error:  # noqa: BLE001 - an interrupt is raised again after the answer
            interruption = None if isinstance(error, Exception) else error
            report = _report_unexpected(run_id, error, events)
            answer = caller.make_answer(_note_due(report, single))
        status = _deliver(answer, single, caller.kind)
    if interruption is not None:
        raise interruption
    return {"answered": status, "run_id": run_id}


def _deliver(answer: Answer, single: SingleAnswer, kind: CallerKind) -> str:
    """Deliver the answer unless the second thread did, and return the status that was delivered."""
    try:
        status = single.give(answer).status
    except NotAwaited as error:
        logger.warning("answer_not_awaited", caller=kind, status=answer.status, error=error.message)
        return "not_awaited"
    logger.info("caller_answered", caller=kind, status=status)
    return status


def _yield_answer(
    caller: AwaitingCaller, outcome: Report, single: SingleAnswer
) -> dict[str, Any] | None:
    """Leave the answer to another invocation if there is one, and return the handler's result.

    The other invocation is one that runs for the same event now, or one that continues this run.
    ``None``: this invocation has to answer.

    Raises:
        LockgateError: the run should continue, but no further invocation could be started.
    """
    holder = None if outcome.lock is None else outcome.lock.holder
    if outcome.status is Status.BUSY and holder is not None:
        if not caller.is_same_event(holder):
            return None
        _note(outcome, is_over=False)
        logger.info("answer_left_to_holder", holder=holder.run_id)
        return {"left_to": holder.run_id, "run_id": outcome.run_id}
    if outcome.status is Status.INCOMPLETE and caller.continuation.may_continue(_now()):
        promise = Answer("continued", partial(caller.continue_run, outcome))
        if single.give(promise) is not promise:
            return None
        _note(outcome, is_over=False)
        hop = caller.continuation.hop + 1
        logger.info("run_continued", hop=hop)
        return {"continued": hop, "run_id": outcome.run_id}
    return None


def _end_emergency(report: Report, failure: LockgateError | None) -> None:
    """Log what became of the second thread's answer, and count the run if it was sent."""
    if failure is None:
        logger.error("emergency_answer_sent")
        _note(report)
    else:
        logger.error("emergency_answer_failed", error=failure.message)


def _make_invocation(context: LambdaContext) -> Invocation:
    function_arn = context.invoked_function_arn
    return Invocation(
        function_arn=function_arn,
        timing=Timing(context.get_remaining_time_in_millis, SystemClock().sleep),
        now=_now,
        # An answer is retried as long as there is time, instead of as often as botocore retries.
        clients=partial(make_client, attempts=1),
        invoke_again=partial(invoke_again, function_arn),
    )


def _make_remaining(must_end_at: float | None, context: LambdaContext) -> Callable[[], int]:
    """Return a function for the milliseconds until the function's timeout or the caller's."""

    def remaining() -> int:
        left_ms = context.get_remaining_time_in_millis()
        if must_end_at is None:
            return left_ms
        return min(left_ms, int((must_end_at - _now()) * 1000))

    return remaining


def _now() -> float:
    return SystemClock().now()


# Logs and metrics.


def _emit(name: str, **fields: object) -> None:
    logger.info(name, extra={key: value for key, value in fields.items() if value is not None})


def _make_event_log() -> EventLog:
    return EventLog(SystemClock().monotonic, log_to(_emit))


def _is_alarming(report: Report) -> int:
    """Return 1 for a failed run, 0 for a successful one or a mistyped command."""
    is_typo = report.error is not None and report.error.code == RequestInvalid.code
    return 0 if report.is_success or is_typo else 1


def _note(report: Report, *, is_over: bool = True) -> Report:
    """Write metrics and log how a run ended, unless another invocation continues it."""
    try:
        _measure(report, failures=_is_alarming(report) if is_over else 0)
    except Exception as error:  # noqa: BLE001 - a failed metric must not change the answer
        _log_metrics_failure(error)
    if report.error is not None and is_over:
        logger.error(
            "run_failed",
            status=report.status,
            error_code=report.error.code,
            error=report.error.message,
            hint=report.error.hint,
        )
    return report


def _note_due(report: Report, single: SingleAnswer) -> Report:
    """Note how a run ended, unless the second thread has answered and noted that."""
    return report if single.is_answered else _note(report)


def _log_metrics_failure(error: Exception) -> None:
    # Without a traceback, which may contain anything.
    logger.error("metrics_failed", error_type=type(error).__name__)


def _measure(report: Report, *, failures: int) -> None:
    database = report.database.name if report.database is not None else "unknown"
    with _measuring:
        _write_metrics(report, database, failures)


def _write_metrics(report: Report, database: str, failures: int) -> None:
    metrics.add_dimension(name="database", value=database)
    counts = {
        "MigrationsApplied": len(report.applied),
        "MigrationsPending": len(report.pending),
        "RunFailed": failures,
        "LockBusy": failures if report.status is Status.BUSY else 0,
    }
    for name, value in counts.items():
        metrics.add_metric(name=name, unit=MetricUnit.Count, value=value)
    waited_ms = 0 if report.lock is None else report.lock.waited_ms
    metrics.add_metric(name="RunDuration", unit=MetricUnit.Milliseconds, value=report.duration_ms)
    metrics.add_metric(name="LockWait", unit=MetricUnit.Milliseconds, value=waited_ms)
    metrics.flush_metrics()
