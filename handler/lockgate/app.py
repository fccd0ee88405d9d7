"""The Lambda function: the composition root that AWS calls.

Knows events, answers, logs and metrics. Everything that a caller can meet ends here: the one place
that catches every exception, since a caller must be answered whatever happens. Lambda comes here
through `entry`, which answers where this module cannot even be imported.
"""

from __future__ import annotations

import threading
import traceback
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from lockgate.aws.continuation import invoke_again
from lockgate.callers import cloudformation, direct
from lockgate.callers.cloudformation import Envelope, RequestType
from lockgate.callers.cloudformation_answer import encode_answer, make_answer, returned_answer
from lockgate.callers.detect import CallerKind, detect_caller
from lockgate.callers.response_url import Answerer, Timing
from lockgate.core.deadline import Deadline
from lockgate.errors import LockgateError, RequestInvalid, RunIncomplete, UnexpectedFailure
from lockgate.report import Report, Status
from lockgate.report_draft import refuse_report
from lockgate.settings import (
    CfnResponse,
    Settings,
    read_answer_settings,
    read_environment,
    read_settings,
)
from lockgate.wiring import SystemClock, make_run_id, make_runner

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_lambda_powertools.utilities.typing import LambdaContext

    from lockgate.core.continuation import Continuation
    from lockgate.core.request import Request

# The place in the code says nothing: every event comes through one function.
logger = Logger(service="lockgate", location=None)
metrics = Metrics(namespace="Lockgate", service="lockgate")

# A function with a short timeout keeps this share of it in reserve, at most.
_RESERVE_SHARE = 0.25
# When this share of the reserve is left and the run still hangs, a second thread answers.
_ANSWER_AT_RESERVE_SHARE = 0.3


def lambda_handler(event: Any, context: LambdaContext) -> dict[str, Any]:
    """Carry out one event and answer whoever sent it.

    A CloudFormation event is answered at its ``ResponseURL``; the return value only says so. For
    every other caller the report is returned.

    Raises:
        LockgateError: the run failed. The class is one of the public ones (`lockgate.errors`) and
            the message is the report as JSON; for CloudFormation only if no answer could be sent.
    """
    run_id = make_run_id()
    logger.set_correlation_id(run_id)
    metrics.set_default_dimensions(function_name=context.function_name)
    try:
        if detect_caller(event) is CallerKind.CLOUDFORMATION:
            return _serve_cloudformation(event, context, run_id)
        return _serve_direct(event, context, run_id)
    finally:
        logger.set_correlation_id(None)


def _serve_direct(event: Any, context: LambdaContext, run_id: str) -> dict[str, Any]:
    def read() -> tuple[Settings, Request]:
        settings = read_settings(read_environment())
        return settings, direct.read_request(event, settings)

    report = _run(read, context.get_remaining_time_in_millis, run_id)
    return direct.answer(_note(report))


def _run(
    read: Callable[[], tuple[Settings, Request]], remaining: Callable[[], int], run_id: str
) -> Report:
    """Return a report in every case, except that the process is being interrupted."""
    try:
        settings, request = read()
        deadline = _make_deadline(settings, remaining)
        return make_runner(settings, deadline, _emit, run_id=run_id).run(request)
    except LockgateError as error:
        return refuse_report(run_id, error)
    except Exception as error:  # noqa: BLE001 - whatever it is, the caller is answered
        return _report_unexpected(run_id, error)


def _make_deadline(settings: Settings, remaining: Callable[[], int]) -> Deadline:
    reserve_ms = min(settings.reserve_ms, int(remaining() * _RESERVE_SHARE))
    return Deadline(remaining, max(0, reserve_ms))


def _report_unexpected(run_id: str, error: BaseException) -> Report:
    """Log where a defect showed itself, without its message: that may quote anything."""
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames[-8:]]
    logger.error("unexpected_failure", error_type=type(error).__name__, frames=places)
    failure = UnexpectedFailure(
        f"An unexpected {type(error).__name__} ended the run. What was not committed was rolled back;"
        " what was is in the history.",
        hint="Look for unexpected_failure in the function's log, and invoke with"
        ' {"action": "status"} to see where the database stands.',
    )
    return refuse_report(run_id, failure, Status.FAILED)


# CloudFormation.


def _serve_cloudformation(event: Any, context: LambdaContext, run_id: str) -> dict[str, Any]:
    envelope = cloudformation.read_envelope(event)
    answering = read_answer_settings(read_environment())
    if answering.cfn_response is CfnResponse.RETURN:
        continuation = cloudformation.read_continuation(event, _now())
        outcome = _carry_out(envelope, continuation, context, run_id)
        return returned_answer(envelope, None if outcome is None else _note(outcome))
    timing = Timing(context.get_remaining_time_in_millis, SystemClock().sleep)
    answerer = Answerer(envelope.response_url, timing, loopback=answering.cfn_loopback)
    interruption: BaseException | None = None
    with ExitStack() as cleanup:
        # From here on an answer is owed, whatever happens.
        try:
            continuation = cloudformation.read_continuation(event, _now())
            deadline = _make_deadline(answering, _make_remaining(continuation, context))
            timer = _start_emergency(answerer, envelope, deadline)
            cleanup.callback(timer.cancel)
            outcome = _carry_out(envelope, continuation, context, run_id)
            if outcome is not None and not answerer.is_answered:
                handed_over = _hand_over(event, context, continuation, outcome, answerer)
                if handed_over is not None:
                    return handed_over
            answer = make_answer(envelope, None if outcome is None else _note(outcome))
        except LockgateError as error:
            answer = make_answer(envelope, _note(refuse_report(run_id, error)))
        except BaseException as error:  # noqa: BLE001 - raised again once it is answered
            interruption = None if isinstance(error, Exception) else error
            answer = make_answer(envelope, _note(_report_unexpected(run_id, error)))
        is_ours = answerer.answer(encode_answer(answer))
    # The emergency answer, if it came first, said FAILED.
    status = answer["Status"] if is_ours else "FAILED"
    logger.info("cloudformation_answered", status=status)
    if interruption is not None:
        raise interruption
    return {"answered": status, "run_id": run_id}


def _hand_over(
    event: Any,
    context: LambdaContext,
    continuation: Continuation,
    outcome: Report,
    answerer: Answerer,
) -> dict[str, Any] | None:
    """Leave the answer to an invocation that will give it, and return what is said instead.

    That is the one that works for the same event at this moment, or one that goes on where this one
    stopped. ``None``: the answer is due here.

    Raises:
        RunIncomplete: the run should go on, and the function cannot invoke itself.
    """
    holder = None if outcome.lock is None else outcome.lock.holder
    if outcome.status is Status.BUSY and holder is not None:
        if not cloudformation.will_answer(holder, cloudformation.read_envelope(event), _now()):
            return None
        _note(outcome, is_over=False)
        logger.info("answer_left_to_holder", holder=holder.run_id)
        return {"left_to": holder.run_id, "run_id": outcome.run_id}
    if outcome.status is Status.INCOMPLETE and continuation.may_continue(_now()):
        following = continuation.next()
        next_event = cloudformation.continued_event(event, following)
        if not answerer.leave(lambda: invoke_again(context.invoked_function_arn, next_event)):
            return None
        _note(outcome, is_over=False)
        logger.info("run_continued", hop=following.hop)
        return {"continued": following.hop, "run_id": outcome.run_id}
    return None


def _carry_out(
    envelope: Envelope, continuation: Continuation, context: LambdaContext, run_id: str
) -> Report | None:
    if envelope.request_type is RequestType.DELETE:
        return None

    def read() -> tuple[Settings, Request]:
        settings = read_settings(read_environment())
        request = cloudformation.read_request(envelope, settings, hop=continuation.hop)
        assert request is not None
        return settings, request

    return _run(read, _make_remaining(continuation, context), run_id)


def _make_remaining(continuation: Continuation, context: LambdaContext) -> Callable[[], int]:
    """Return what tells the milliseconds until Lambda kills, or CloudFormation gives up."""

    def remaining() -> int:
        until_timeout = int((continuation.must_end_at - _now()) * 1000)
        return min(context.get_remaining_time_in_millis(), until_timeout)

    return remaining


def _now() -> float:
    return SystemClock().now()


def _start_emergency(answerer: Answerer, envelope: Envelope, deadline: Deadline) -> threading.Timer:
    """Answer from a second thread if the run hangs until Lambda is about to kill it."""
    error = RunIncomplete(
        "The run did not stop in time, and its outcome is not known. Its session ends with the"
        " invocation; what was not committed is rolled back.",
        hint='Invoke with {"action": "status"} to see where the database stands.',
    )

    def answer() -> None:
        try:
            answerer.answer(encode_answer(make_answer(envelope, error)))
        except LockgateError as failure:
            logger.error("emergency_answer_failed", error=failure.message)  # noqa: TRY400 - said without a trace
        else:
            logger.error("emergency_answer_sent")

    left_ms = (deadline.remaining_ms() or 0) - deadline.reserve_ms * _ANSWER_AT_RESERVE_SHARE
    timer = threading.Timer(max(0.0, left_ms / 1000), answer)
    timer.daemon = True
    timer.start()
    return timer


# Logs and metrics.


def _emit(name: str, **fields: object) -> None:
    logger.info(name, extra={key: value for key, value in fields.items() if value is not None})


def _is_alarming(report: Report) -> int:
    """Return 1 for a run that somebody should look at; a mistyped command is none."""
    is_typo = report.error is not None and report.error.code == RequestInvalid.code
    return 0 if report.is_success or is_typo else 1


def _note(report: Report, *, is_over: bool = True) -> Report:
    """Measure and log how a run ended; one that another invocation goes on with has not failed."""
    try:
        _measure(report, failures=_is_alarming(report) if is_over else 0)
    except Exception as error:  # noqa: BLE001 - what a run did does not depend on its metrics
        logger.error("metrics_failed", error_type=type(error).__name__)  # noqa: TRY400 - said without a trace
    if report.error is not None and is_over:
        logger.error(
            "run_failed",
            status=report.status,
            error_code=report.error.code,
            error=report.error.message,
            hint=report.error.hint,
        )
    return report


def _measure(report: Report, *, failures: int) -> None:
    database = report.database.name if report.database is not None else "unknown"
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
