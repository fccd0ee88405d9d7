"""A run in a deployed function: makes the command, invokes until the run is done, reads the report.

A run that does not fit into one invocation ends ``incomplete`` and is invoked again, up to a limit.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lockgate.core.command import KEYS, read_command
from lockgate.core.request import Action, Caller
from lockgate.core.state_after import (
    NOT_BEGUN,
    Evidence,
    StateAfter,
    StateClaim,
    make_unknown,
)
from lockgate.errors import (
    FunctionBusy,
    FunctionFailed,
    LockgateError,
    RequestInvalid,
    RunIncomplete,
)
from lockgate.formats.names import list_tools
from lockgate.report.refusal import refuse_report
from lockgate.report.report import FORMAT, Report, Status

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping, Sequence

    from lockgate.aws.function import FunctionResponse

# Six hours of full invocations, as long as a hosted CI job may last.
MOST_INVOCATIONS = 24

# Lambda makes an idle function active within minutes; the CDK's framework waits as long.
START_SECONDS = 300
_START_PAUSE_SECONDS = 10

_KILLED = "Sandbox.Timedout"
# Lambda did not always send that type; then only the message shows it.
_KILLED_MESSAGE = "Task timed out after"
_MAX_QUOTED = 500
_HINT = "Run lockgate invoke --help to see the options of each action."
_ADVICE = {
    "Runtime.ExitError": "If the function ran out of memory, increase its MemorySize.",
    "Runtime.OutOfMemory": "Increase the function's MemorySize.",
    "Runtime.ImportModuleError": "Build the package with sam build, for the function's own runtime.",
    "Runtime.HandlerNotFound": "Set the function's handler to lockgate.entry.lambda_handler.",
}


def make_command(options: argparse.Namespace) -> dict[str, Any]:
    """Return the command for the function that the options describe.

    Raises:
        RequestInvalid: the function would refuse it.
    """
    command: dict[str, Any] = {"action": options.action}
    for key in KEYS:
        value = getattr(options, key.field, None)
        if value is not None:
            command[key.name] = value
    if command.pop("direction", False):
        command["direction"] = "down"
    try:
        read_command(command, tuple(Action), list_tools, Caller("direct"))
    except RequestInvalid as error:
        raise RequestInvalid(error.message, hint=_HINT, was_invoked=False) from None
    return command


def wait_for_start(
    invoke: Callable[[Mapping[str, Any]], FunctionResponse],
    announce: Callable[[str], object],
    sleep: Callable[[float], object],
) -> Callable[[Mapping[str, Any]], FunctionResponse]:
    """Wrap ``invoke``: try again for up to five minutes while Lambda cannot start the function.

    ``announce`` is called once. A function that was not started ran nothing, so no command runs twice.
    """

    def invoke_when_started(command: Mapping[str, Any]) -> FunctionResponse:
        waited = 0
        while True:
            try:
                return invoke(command)
            except FunctionBusy as error:
                if not error.fields.get("may_start_soon") or waited >= START_SECONDS:
                    raise
                if waited == 0:
                    announce(str(error.fields["aws_code"]))
            sleep(_START_PAUSE_SECONDS)
            waited += _START_PAUSE_SECONDS

    return invoke_when_started


def invoke_to_the_end(
    invoke: Callable[[Mapping[str, Any]], FunctionResponse],
    command: Mapping[str, Any],
    announce: Callable[[dict[str, Any], int], object],
) -> dict[str, Any]:
    """Invoke until the run is over, and return the last report in its JSON form.

    ``announce`` gets each report but the last, and the number of invocations so far. A ``down`` by
    steps is invoked only once, because a second invocation would undo as many again.
    """
    most = 1 if "steps" in command else MOST_INVOCATIONS
    former: list[dict[str, Any]] = []
    while True:
        try:
            report = read_report(invoke(command))
        except LockgateError as error:
            return report_failure(error, former)
        former.append(report)
        if report["status"] != Status.INCOMPLETE or len(former) == most:
            return report
        announce(report, len(former))


def read_report(reply: FunctionResponse) -> dict[str, Any]:
    """Return the report in a response: the result, or the message of the function's error.

    Keys that an older function does not send have the values of an empty report.

    Raises:
        RunIncomplete: the function was killed at its timeout.
        FunctionFailed: the response contains no report.
    """
    value = reply.payload
    if reply.is_error:
        message = value.get("errorMessage") if isinstance(value, dict) else None
        value = _parse(message)
        if not _is_report(value):
            raise _describe_error(reply.payload)
    if not _is_report(value):
        raise FunctionFailed(
            "The function did not return a Lockgate report.",
            hint="Give the name of Lockgate's function; the stack's output FunctionArn contains it.",
        )
    known = Report(Status.FAILED, None, "").to_json()
    return {**known, **value, "counts": {**known["counts"], **value.get("counts", {})}}


def report_failure(
    error: LockgateError, former: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """Return a report for a run about which the function returned none.

    ``former``: the reports of earlier invocations.
    """
    if error.fields.get("was_invoked", True):
        claim = make_unknown("the function was invoked and returned no report")
    elif not former:
        claim = NOT_BEGUN
    else:
        claim = _sum_up(former)
    return refuse_report("", error, claim).to_json()


def _sum_up(former: Sequence[Mapping[str, Any]]) -> StateClaim:
    """Return the state of the database in the last report, with what all invocations applied."""
    last = former[-1]["error"] or {}
    state = StateAfter(last.get("state_after", StateAfter.UNKNOWN))
    kept = tuple(str(e["version"] or e["name"]) for report in former for e in report["applied"])
    if kept and state in {StateAfter.UNCHANGED, StateAfter.ROLLED_BACK}:
        state = StateAfter.KEPT
    evidence = Evidence(last.get("state_evidence", Evidence.NONE))
    part = last.get("migration")
    return StateClaim(
        state, evidence, kept, in_part=part, reason="the last report does not contain it"
    )


def _is_report(value: object) -> bool:
    return (
        isinstance(value, dict)
        and value.get("format") == FORMAT
        and value.get("status") in list(Status)
    )


def _describe_error(payload: Any) -> LockgateError:
    error = payload if isinstance(payload, dict) else {}
    kind = str(error.get("errorType") or "an error without a name")
    message = " ".join(str(error.get("errorMessage") or "").split())[:_MAX_QUOTED]
    if kind == _KILLED or _KILLED_MESSAGE in message:
        return RunIncomplete(
            f"The function was killed at its timeout: {message}",
            hint="Invoke again: the next run takes over the lock. Lockgate normally stops before the"
            " timeout, so look in the function's log for what hung.",
        )
    return FunctionFailed(
        f"The function ended with {kind}, without a report: {message}",
        hint=f"{_ADVICE.get(kind, 'See its log.')} Invoke with --action status to see the state of the"
        " database.",
    )


def _parse(text: object) -> Any:
    try:
        return json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return None
