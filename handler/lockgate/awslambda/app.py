"""The Lambda function: the composition root that AWS calls.

Knows events, answers, logs and metrics. Everything that a caller can meet ends here: the one place
that catches every exception, since a caller must be answered whatever happens. Lambda comes here
through `entry`, which answers where this module cannot even be imported.
"""

from __future__ import annotations

import traceback
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from lockgate.aws.clients import make_client
from lockgate.aws.continuation import invoke_again
from lockgate.awslambda.callers import direct
from lockgate.awslambda.callers.delivery import Answer, Answerer, NotAwaited, Timing
from lockgate.awslambda.callers.detect import AWAITING, CallerKind, detect_caller
from lockgate.awslambda.callers.dialogue import Invocation, open_dialogue
from lockgate.awslambda.callers.emergency import start_emergency
from lockgate.core.address import UNKNOWN_FUNCTION, Address
from lockgate.core.deadline import Deadline
from lockgate.core.policy import CfnResponse
from lockgate.core.request import Action
from lockgate.core.state_after import NOT_BEGUN, StateClaim, make_unknown
from lockgate.errors import LockgateError, RequestInvalid, UnexpectedFailure
from lockgate.report.draft import claim_of, refuse_report
from lockgate.report.report import Report, Status
from lockgate.settings import Settings, read_answer_settings, read_environment, read_settings
from lockgate.wiring import SystemClock, make_run_id, make_runner

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_lambda_powertools.utilities.typing import LambdaContext

    from lockgate.awslambda.callers.dialogue import Dialogue
    from lockgate.core.continuation import Continuation
    from lockgate.core.request import Request

# The place in the code says nothing: every event comes through one function.
logger = Logger(service="lockgate", location=None)
metrics = Metrics(namespace="Lockgate", service="lockgate")

# A function with a short timeout keeps this share of it in reserve, at most.
_RESERVE_SHARE = 0.25

_FELL_OUT = make_unknown("the run ended before it could look")


def lambda_handler(event: Any, context: LambdaContext) -> dict[str, Any]:
    """Carry out one event and answer whoever sent it.

    CloudFormation, CodePipeline and CodeDeploy are answered in ways of their own; then the return
    value only says so. For every other caller the report is returned.

    Raises:
        LockgateError: the run failed. The class is one of the public ones (`lockgate.errors`) and
            the message is the report as JSON; for a caller that waits for an answer of its own, only
            if none could be sent.
    """
    run_id = make_run_id()
    logger.set_correlation_id(run_id)
    metrics.set_default_dimensions(function_name=context.function_name)
    try:
        kind = detect_caller(event)
        if kind not in AWAITING:
            return _serve_returning(kind, event, context, run_id)
        answering = read_answer_settings(read_environment())
        if kind is CallerKind.CLOUDFORMATION and answering.cfn_response is CfnResponse.RETURN:
            return _serve_framework(event, context, run_id)
        dialogue = open_dialogue(kind, event, _make_invocation(context), answering)
        return _serve_awaiting(dialogue, answering, context, run_id)
    finally:
        logger.set_correlation_id(None)


def _serve_returning(
    kind: CallerKind, event: Any, context: LambdaContext, run_id: str
) -> dict[str, Any]:
    remaining = context.get_remaining_time_in_millis
    if kind is not CallerKind.TERRAFORM:
        return direct.answer(
            event, _note(_run(partial(direct.read_request, event), remaining, run_id))
        )
    from lockgate.awslambda.callers import terraform  # noqa: PLC0415 - for the events that need it

    if terraform.is_deletion(event):
        return terraform.report_deletion(run_id).to_json()
    return terraform.answer(_note(_run(partial(terraform.read_request, event), remaining, run_id)))


def _serve_framework(event: Any, context: LambdaContext, run_id: str) -> dict[str, Any]:
    """Return what a framework that answers CloudFormation itself (CDK Provider) passes on."""
    from lockgate.awslambda.callers import cloudformation  # noqa: PLC0415 - for the events that need it
    from lockgate.awslambda.callers.cloudformation_answer import returned_answer  # noqa: PLC0415 - as above

    envelope = cloudformation.read_envelope(event)
    if not envelope.needs_run:
        return returned_answer(envelope, None)
    remaining = _make_remaining(cloudformation.read_continuation(event, _now()), context)
    outcome = _run(partial(cloudformation.read_request, envelope), remaining, run_id)
    return returned_answer(envelope, _note(outcome))


def _run(
    read_request: Callable[[Settings], Request], remaining: Callable[[], int], run_id: str
) -> Report:
    """Return a report in every case, except that the process is being interrupted."""
    claim = NOT_BEGUN
    try:
        settings = read_settings(read_environment())
        request = read_request(settings)
        deadline = _make_deadline(settings, remaining)
        address = _find_operator(settings)
        runner = make_runner(settings, deadline, _emit, run_id=run_id, address=address)
        claim = _FELL_OUT
        return runner.run(request)
    except LockgateError as error:
        return refuse_report(run_id, error, claim)
    except Exception as error:  # noqa: BLE001 - whatever it is, the caller is answered
        return _report_unexpected(run_id, error, claim)


def _find_operator(settings: Settings) -> Address:
    """Return where to send an operator's command: to Operate, or to this function if it may."""
    if settings.operate is not None:
        return Address(settings.operate)
    own_name = read_environment().get("AWS_LAMBDA_FUNCTION_NAME")
    is_operator = Action.ADOPT in settings.allowed_actions
    return Address(own_name if is_operator and own_name else UNKNOWN_FUNCTION)


def _make_deadline(settings: Settings, remaining: Callable[[], int]) -> Deadline:
    reserve_ms = min(settings.reserve_ms, int(remaining() * _RESERVE_SHARE))
    return Deadline(remaining, max(0, reserve_ms))


def _report_unexpected(run_id: str, error: BaseException, claim: StateClaim) -> Report:
    """Log where a defect showed itself, without its message: that may quote anything."""
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames[-8:]]
    logger.error("unexpected_failure", error_type=type(error).__name__, frames=places)
    failure = UnexpectedFailure(
        f"An unexpected {type(error).__name__} ended the run.",
        hint="Look for unexpected_failure in the function's log, and invoke with"
        ' {"action": "status"} to see where the database stands.',
    )
    return refuse_report(run_id, failure, claim)


# Callers that wait for an answer of their own.


def _serve_awaiting(
    dialogue: Dialogue, answering: Settings, context: LambdaContext, run_id: str
) -> dict[str, Any]:
    """Answer in every case: with the outcome, with why there is none, or before Lambda kills."""
    answerer = Answerer()
    interruption: BaseException | None = None
    outcome: Report | None = None
    with ExitStack() as cleanup:
        # An answer is owed, whatever happens.
        try:
            remaining = _make_remaining(dialogue.continuation, context)
            deadline = _make_deadline(answering, remaining)
            emergency = start_emergency(answerer, dialogue, deadline, run_id, _log_emergency)
            cleanup.callback(emergency.cancel)
            if dialogue.needs_run:
                outcome = _run(dialogue.read_request, remaining, run_id)
                if not answerer.is_answered and (said := _hand_over(dialogue, outcome, answerer)):
                    return said
            answer = dialogue.make_answer(None if outcome is None else _note(outcome))
        except LockgateError as error:
            claim = NOT_BEGUN if outcome is None else claim_of(outcome)
            answer = dialogue.make_answer(_note(refuse_report(run_id, error, claim)))
        except BaseException as error:  # noqa: BLE001 - raised again once it is answered
            interruption = None if isinstance(error, Exception) else error
            claim = _FELL_OUT if outcome is None else claim_of(outcome)
            answer = dialogue.make_answer(_note(_report_unexpected(run_id, error, claim)))
        status = _deliver(answer, answerer, dialogue.kind)
    if interruption is not None:
        raise interruption
    return {"answered": status, "run_id": run_id}


def _deliver(answer: Answer, answerer: Answerer, kind: CallerKind) -> str:
    """Deliver the answer unless the second thread has, and return what was heard."""
    try:
        status = answerer.give(answer).status
    except NotAwaited as error:
        logger.warning("answer_not_awaited", caller=kind, status=answer.status, error=error.message)
        return "nobody"
    logger.info("caller_answered", caller=kind, status=status)
    return status


def _hand_over(dialogue: Dialogue, outcome: Report, answerer: Answerer) -> dict[str, Any] | None:
    """Leave the answer to an invocation that will give it, and return what is said instead.

    That is the one that works for the same event at this moment, or one that goes on where this one
    stopped. ``None``: the answer is due here.

    Raises:
        LockgateError: the run should go on, and no further invocation could be made sure of.
    """
    holder = None if outcome.lock is None else outcome.lock.holder
    if outcome.status is Status.BUSY and holder is not None:
        if not dialogue.is_left_to(holder):
            return None
        _note(outcome, is_over=False)
        logger.info("answer_left_to_holder", holder=holder.run_id)
        return {"left_to": holder.run_id, "run_id": outcome.run_id}
    if outcome.status is Status.INCOMPLETE and dialogue.continuation.may_continue(_now()):
        promise = Answer("continued", partial(dialogue.go_on, outcome))
        if answerer.give(promise) is not promise:
            return None
        _note(outcome, is_over=False)
        hop = dialogue.continuation.hop + 1
        logger.info("run_continued", hop=hop)
        return {"continued": hop, "run_id": outcome.run_id}
    return None


def _log_emergency(failure: LockgateError | None) -> None:
    if failure is None:
        logger.error("emergency_answer_sent")
    else:
        logger.error("emergency_answer_failed", error=failure.message)


def _make_invocation(context: LambdaContext) -> Invocation:
    function_arn = context.invoked_function_arn
    return Invocation(
        function_arn=function_arn,
        timing=Timing(context.get_remaining_time_in_millis, SystemClock().sleep),
        now=_now,
        # An answer is tried again as long as there is time, not as often as botocore would.
        clients=partial(make_client, attempts=1),
        invoke_again=partial(invoke_again, function_arn),
    )


def _make_remaining(continuation: Continuation, context: LambdaContext) -> Callable[[], int]:
    """Return what tells the milliseconds until Lambda kills, or the caller gives up."""

    def remaining() -> int:
        until_timeout = int((continuation.must_end_at - _now()) * 1000)
        return min(context.get_remaining_time_in_millis(), until_timeout)

    return remaining


def _now() -> float:
    return SystemClock().now()


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
