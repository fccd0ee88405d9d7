"""A direct command, as JSON: from the console, the AWS CLI, a CI job or Step Functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lockgate.awslambda.callers.detect import CallerKind
from lockgate.awslambda.callers.direct_answer import answer
from lockgate.core.command import EXAMPLES, describe_kind, read_command, refuse
from lockgate.core.request import Caller
from lockgate.fast_start.dataclass import dataclass
from lockgate.formats.names import list_tools

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lockgate.core.request import Request
    from lockgate.report.report import Report
    from lockgate.settings import Settings

_CALLER = Caller(CallerKind.DIRECT)
_CONSOLE_DEFAULT = {"key1", "key2", "key3"}

# Keys that identify events of other services: what the event is, and the hint.
_FOREIGN = {
    "LifecycleEventHookExecutionId": (
        "a CodeDeploy lifecycle hook without its DeploymentId",
        "Let CodeDeploy invoke the function, as a hook in an AppSpec.",
    ),
    "tf": (
        "a Terraform invocation whose tf is not an object",
        'Set lifecycle_scope = "CRUD" in aws_lambda_invocation, and leave tf to the provider.',
    ),
    "RequestType": (
        "a CloudFormation request without its StackId",
        "Let CloudFormation invoke the function, through a custom resource's ServiceToken.",
    ),
    "Records": ("a batch of records from SNS, SQS, S3 or a stream", EXAMPLES),
    "detail-type": (
        "an EventBridge event",
        f"Give the rule's target a constant input. {EXAMPLES}",
    ),
    "requestContext": ("an HTTP request", "Invoke the function directly; it does not serve HTTP."),
}


@dataclass(frozen=True, slots=True)
class DirectCaller:
    """One command sent by a console, the AWS CLI, a CI job or Step Functions."""

    event: Any

    @property
    def must_end_at(self) -> None:
        """A direct caller waits as long as the function may run."""
        return

    @property
    def needs_run(self) -> bool:
        """Always."""
        return True

    def read_request(self, settings: Settings) -> Request:
        """Return the request of the command; see `read_request`."""
        return read_request(self.event, settings)

    def make_result(self, report: Report | None, run_id: str) -> dict[str, Any]:
        """Return the report; see `direct_answer.answer`."""
        del run_id  # it is in the report
        assert report is not None
        return answer(self.event, report)


def read_request(event: object, settings: Settings, caller: Caller = _CALLER) -> Request:
    """Return the request of a command; ``{}`` and ``None`` mean ``{"action": "up"}``.

    Raises:
        RequestInvalid: the event is not a command, or `read_command` refuses it.
    """
    command = {} if event is None else event
    if not isinstance(command, dict):
        raise refuse(f"The event is {describe_kind(command)}, not a JSON object.", EXAMPLES)
    _refuse_foreign(command)
    return read_command(command, settings.allowed_actions, list_tools, caller)


def _refuse_foreign(command: Mapping[Any, Any]) -> None:
    if command.keys() == _CONSOLE_DEFAULT:
        raise refuse("The event is the Lambda console's default test event.", EXAMPLES)
    for key, (sender, hint) in _FOREIGN.items():
        if key in command:
            raise refuse(f"The event is {sender}.", hint)
