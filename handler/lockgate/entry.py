"""What Lambda calls. Knows how to answer; knows nothing that could keep it from being imported.

A package without its dependencies, or with those of another Python, cannot be imported. Lambda would
say so in its log only, and CloudFormation would wait for an answer until its ServiceTimeout, an hour
for each event. So the function behind this module is imported under guard, in Lambda's
initialisation; where that fails, every event is answered with the reason. Imports of ours only, and
of ours nothing that needs another library.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from lockgate import start  # the first of ours: it makes the others cheap
from lockgate.callers import cloudformation, direct
from lockgate.callers.cloudformation import RequestType
from lockgate.callers.cloudformation_answer import encode_answer, make_answer, returned_answer
from lockgate.callers.detect import CallerKind, detect_caller
from lockgate.callers.response_url import Answerer, Timing
from lockgate.errors import UnexpectedFailure
from lockgate.report import Status
from lockgate.report_draft import refuse_report
from lockgate.settings import CfnResponse, read_answer_settings, read_environment

if TYPE_CHECKING:
    from collections.abc import Callable

    Handler = Callable[[Any, Any], dict[str, Any]]


def make_substitute(error: BaseException) -> Handler:
    """Return a handler that answers every event with why the function cannot be imported.

    CloudFormation's Delete is a success as ever, so that the stack can be taken back.
    """
    # An import names modules and files; another error's message may quote anything.
    said = f": {error}" if isinstance(error, ImportError) else ""
    failure = UnexpectedFailure(
        f"The function's package cannot be imported. {type(error).__name__}{said}. Nothing was run.",
        hint="Build the package with sam build, for the function's own runtime and architecture, and"
        " deploy what it made.",
    )

    def substitute(event: Any, context: Any) -> dict[str, Any]:
        _emit("package_not_imported", error=failure.message, hint=failure.hint)
        if detect_caller(event) is CallerKind.CLOUDFORMATION:
            return _answer_cloudformation(event, context, failure)
        return direct.answer(refuse_report("", failure, Status.FAILED))

    return substitute


def _answer_cloudformation(event: Any, context: Any, failure: UnexpectedFailure) -> dict[str, Any]:
    envelope = cloudformation.read_envelope(event)
    outcome = None if envelope.request_type is RequestType.DELETE else failure
    answering = read_answer_settings(read_environment())
    if answering.cfn_response is CfnResponse.RETURN:
        return returned_answer(envelope, outcome)
    timing = Timing(context.get_remaining_time_in_millis, time.sleep)
    answer = make_answer(envelope, outcome)
    answerer = Answerer(envelope.response_url, timing, loopback=answering.cfn_loopback)
    answerer.answer(encode_answer(answer))
    return {"answered": answer["Status"]}


def _emit(name: str, **fields: object) -> None:
    line = {"level": "ERROR", "message": name, "service": "lockgate", **fields}
    print(json.dumps(line), flush=True)  # noqa: T201 - the logger may be what is missing


lambda_handler: Handler
try:
    from lockgate.app import lambda_handler
    from lockgate.preparation import prepare

    prepare(read_environment())
except BaseException as error:  # noqa: BLE001 - whatever it is, callers are answered
    lambda_handler = make_substitute(error)
finally:
    start.finish()
