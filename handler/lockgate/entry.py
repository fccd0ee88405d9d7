"""What Lambda calls. Knows how to answer; knows nothing that could keep it from being imported.

A package without its dependencies, or with those of another Python, cannot be imported. Lambda would
say so in its log only, and CloudFormation, CodePipeline and CodeDeploy would wait for an answer, up to
an hour for each event. So the function behind this module is imported under guard, in Lambda's
initialisation; where that fails, every event is answered with the reason. Imports of ours only, and
of ours nothing that needs another library.
"""

from __future__ import annotations

import json
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from lockgate.aws.clients import make_client
from lockgate.aws.continuation import invoke_again
from lockgate.awslambda.callers import direct
from lockgate.awslambda.callers.delivery import Timing
from lockgate.awslambda.callers.detect import AWAITING, CallerKind, detect_caller
from lockgate.awslambda.callers.dialogue import Invocation, open_dialogue
from lockgate.core.policy import CfnResponse
from lockgate.core.state_after import NOT_BEGUN
from lockgate.errors import UnexpectedFailure
from lockgate.fast_start import start  # the first of ours: it makes the others cheap
from lockgate.report.draft import refuse_report
from lockgate.settings import read_answer_settings, read_environment

if TYPE_CHECKING:
    from collections.abc import Callable

    from lockgate.report.report import Report

    Handler = Callable[[Any, Any], dict[str, Any]]


def make_substitute(error: BaseException) -> Handler:
    """Return a handler that answers every event with why the function cannot be imported.

    A Delete of CloudFormation's or Terraform's is a success as ever, so that all can be taken back.
    """
    # An import names modules and files; another error's message may quote anything.
    said = f": {error}" if isinstance(error, ImportError) else ""
    failure = UnexpectedFailure(
        f"The function's package cannot be imported. {type(error).__name__}{said}.",
        hint="Build the package with sam build, for the function's own runtime and architecture, and"
        " deploy what it made.",
    )

    def substitute(event: Any, context: Any) -> dict[str, Any]:
        metric = _count_failure(context)
        _emit("package_not_imported", error=failure.message, hint=failure.hint, **metric)
        kind = detect_caller(event)
        if kind in AWAITING:
            return _answer_awaiting(kind, event, context, failure)
        return direct.answer(event, _report(kind, event, failure))

    return substitute


def _report(kind: CallerKind, event: Any, failure: UnexpectedFailure) -> Report:
    if kind is CallerKind.TERRAFORM:
        from lockgate.awslambda.callers import terraform  # noqa: PLC0415 - for the events that need it

        if terraform.is_deletion(event):
            return terraform.report_deletion("")
    return refuse_report("", failure, NOT_BEGUN)


def _answer_awaiting(
    kind: CallerKind, event: Any, context: Any, failure: UnexpectedFailure
) -> dict[str, Any]:
    from lockgate.awslambda.callers.cloudformation import read_envelope  # noqa: PLC0415 - for the events that need it
    from lockgate.awslambda.callers.cloudformation_answer import returned_answer  # noqa: PLC0415 - for the events that need it

    answering = read_answer_settings(read_environment())
    if kind is CallerKind.CLOUDFORMATION and answering.cfn_response is CfnResponse.RETURN:
        envelope = read_envelope(event)
        outcome = _report(kind, event, failure) if envelope.needs_run else None
        return returned_answer(envelope, outcome)
    dialogue = open_dialogue(kind, event, _make_invocation(context), answering)
    answer = dialogue.make_answer(_report(kind, event, failure) if dialogue.needs_run else None)
    answer.deliver()
    return {"answered": answer.status}


def _make_invocation(context: Any) -> Invocation:
    timing = Timing(context.get_remaining_time_in_millis, time.sleep)
    function_arn = context.invoked_function_arn
    again = partial(invoke_again, function_arn)
    return Invocation(function_arn, timing, time.time, partial(make_client, attempts=1), again)


def _count_failure(context: Any) -> dict[str, object]:
    """Return what makes a line of the log the metric RunFailed too, as `app` would write it.

    For a caller that is answered the function has no error, so nothing else would set off an alarm.
    """
    directive = {
        "Namespace": "Lockgate",
        "Dimensions": [["database", "function_name", "service"]],
        "Metrics": [{"Name": "RunFailed", "Unit": "Count"}],
    }
    return {
        "_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [directive]},
        "database": "unknown",
        "function_name": getattr(context, "function_name", "unknown"),
        "RunFailed": 1,
    }


def _emit(name: str, **fields: object) -> None:
    line = {"level": "ERROR", "message": name, "service": "lockgate", **fields}
    print(json.dumps(line), flush=True)  # noqa: T201 - the logger may be what is missing


lambda_handler: Handler
try:
    from lockgate.awslambda.app import lambda_handler
    from lockgate.awslambda.warm_up import prepare

    prepare(read_environment())
except BaseException as error:  # noqa: BLE001 - whatever it is, callers are answered
    lambda_handler = make_substitute(error)
finally:
    start.finish()
