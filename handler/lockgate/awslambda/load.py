"""Loads the function's handler, or one that answers every event with the import error.

A package without its dependencies, or with those of another Python version, cannot be imported.
Lambda would only log that, while CloudFormation, CodePipeline and CodeDeploy wait up to an hour for
an answer to each event. So the function is imported under guard, during Lambda's initialisation. This
module imports only Lockgate's own modules, and of those only what needs no other library.
"""

from __future__ import annotations

import json
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from lockgate.aws.clients import make_client
from lockgate.aws.continuation import invoke_again
from lockgate.awslambda.callers.awaiting import Invocation
from lockgate.awslambda.callers.delivery import Timing
from lockgate.awslambda.callers.detect import detect_caller, is_awaiting
from lockgate.awslambda.callers.registry import open_awaiting, open_returning
from lockgate.core.state_after import NOT_BEGUN
from lockgate.errors import UnexpectedFailure
from lockgate.report.refusal import refuse_report
from lockgate.settings import read_answer_settings, read_environment

if TYPE_CHECKING:
    from collections.abc import Callable

    from lockgate.awslambda.callers.awaiting import AwaitingCaller

    Handler = Callable[[Any, Any], dict[str, Any]]


def load_handler() -> Handler:
    """Import the function and warm it up; return its handler or a substitute."""
    try:
        from lockgate.awslambda.app import lambda_handler  # under guard
        from lockgate.awslambda.warm_up import warm_up  # under guard

        warm_up(read_environment())
    except BaseException as error:  # noqa: BLE001 - callers get an answer, whatever happened
        return make_substitute(error)
    return lambda_handler


def make_substitute(error: BaseException) -> Handler:
    """Return a handler that answers every event with the import error.

    A Delete from CloudFormation or Terraform still succeeds, so that the stack can be rolled back.
    """
    # An ImportError names modules and files; any other error's message may contain anything.
    said = f": {error}" if isinstance(error, ImportError) else ""
    failure = UnexpectedFailure(
        f"The function's package cannot be imported. {type(error).__name__}{said}.",
        hint="Build the package with sam build, for the function's own runtime and architecture, and"
        " deploy it.",
    )

    def substitute(event: Any, context: Any) -> dict[str, Any]:
        metric = _count_failure(context)
        _emit("package_not_imported", error=failure.message, hint=failure.hint, **metric)
        kind, answering = detect_caller(event), read_answer_settings(read_environment())
        if is_awaiting(kind, answering):
            return _answer_awaiting(
                open_awaiting(kind, event, _make_invocation(context), answering), failure
            )
        caller = open_returning(kind, event, time.time())
        report = refuse_report("", failure, NOT_BEGUN) if caller.needs_run else None
        return caller.make_result(report, "")

    return substitute


def _answer_awaiting(caller: AwaitingCaller, failure: UnexpectedFailure) -> dict[str, Any]:
    report = refuse_report("", failure, NOT_BEGUN) if caller.needs_run else None
    answer = caller.make_answer(report)
    answer.deliver()
    return {"answered": answer.status}


def _make_invocation(context: Any) -> Invocation:
    timing = Timing(context.get_remaining_time_in_millis, time.sleep)
    function_arn = context.invoked_function_arn
    again = partial(invoke_again, function_arn)
    return Invocation(function_arn, timing, time.time, partial(make_client, attempts=1), again)


def _count_failure(context: Any) -> dict[str, object]:
    """Return the fields that turn a log line into the metric RunFailed, as `app` writes it.

    When a caller gets its answer, the function itself does not fail, so no other alarm would go off.
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
    print(json.dumps(line), flush=True)  # noqa: T201 - the logger itself may be missing
