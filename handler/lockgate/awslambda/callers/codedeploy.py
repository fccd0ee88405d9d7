"""CodeDeploy as a caller: a lifecycle hook's event, its request, and the status that it waits for.

CodeDeploy accepts `Succeeded` or `Failed` without a reason, so only the log has the reason. It waits an
hour; a run that does not fit into one invocation continues in further ones.
"""

from __future__ import annotations

import hashlib
from dataclasses import field
from functools import partial
from typing import TYPE_CHECKING, Any

from lockgate.aws.call import Call, region_of
from lockgate.awslambda.callers.awaiting import Invocation, is_at_work
from lockgate.awslambda.callers.delivery import Answer, send_outcome
from lockgate.awslambda.callers.detect import CallerKind
from lockgate.awslambda.callers.event_continuation import add_continuation, find_continuation
from lockgate.core.command import is_storable, refuse_disallowed
from lockgate.core.continuation import Continuation
from lockgate.core.request import Action, Caller, Request
from lockgate.errors import RequestInvalid, UnexpectedFailure
from lockgate.fast_start.dataclass import dataclass
from lockgate.report.report import Report

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lockgate.awslambda.callers.awaiting import Outcome
    from lockgate.report.report import HolderInfo
    from lockgate.settings import Settings

HOOK_SECONDS = 3_600

_MAX_ID = 4_096
_CALL = Call(
    subject="CodeDeploy",
    permission="codedeploy:PutLifecycleEventHookExecutionStatus",
    service="codedeploy",
    verb="sent the outcome",
    error_class=UnexpectedFailure,
    meanings={
        "LifecycleEventAlreadyCompletedException": (
            "the hook was already answered or has timed out (LifecycleEventAlreadyCompletedException)",
            "See the deployment's events. If migrations take longer, invoke the function before it.",
        ),
    },
)
_OVER = frozenset({"LifecycleEventAlreadyCompletedException"})


@dataclass(frozen=True, slots=True)
class CodeDeployCaller:
    """One execution of a hook. Its id is a secret: it lets anyone set the status."""

    deployment_id: str
    continuation: Continuation
    invocation: Invocation
    execution_id: str = field(repr=False)
    event: Mapping[str, Any] = field(repr=False)
    client: Any = field(repr=False)

    @property
    def kind(self) -> CallerKind:
        """CodeDeploy."""
        return CallerKind.CODEDEPLOY

    @property
    def reference(self) -> dict[str, str]:
        """The fields that identify this execution, with a digest instead of its id."""
        digest = hashlib.sha256(self.execution_id.encode()).hexdigest()
        return {"deployment_id": self.deployment_id, "hook_digest": digest[:16]}

    @property
    def needs_run(self) -> bool:
        """Always."""
        return True

    def read_request(self, settings: Settings) -> Request:
        """Return the request to migrate, since a hook cannot contain a command.

        Raises:
            RequestInvalid: ``up`` is not allowed here.
        """
        refuse_disallowed(Action.UP, settings.allowed_actions)
        reference = self.reference
        if self.continuation.hop:
            reference["hop"] = str(self.continuation.hop)
        return Request(Action.UP, Caller(self.kind, reference))

    def make_answer(self, outcome: Outcome) -> Answer:
        """Return the status of the hook."""
        is_success = isinstance(outcome, Report) and outcome.is_success
        status = "Succeeded" if is_success else "Failed"
        return Answer(status, partial(self._put, status))

    def is_same_event(self, holder: HolderInfo) -> bool:
        """Return whether the holder is a run for the same hook; see `is_at_work`."""
        return is_at_work(holder, self.kind, self.reference, self.invocation.now())

    def continue_run(self, report: Report) -> None:
        """Invoke this function again with the event."""
        del report  # the next invocation reads from the history what is done
        self.invocation.invoke_again(add_continuation(self.event, self.continuation.next()))

    def _put(self, status: str) -> None:
        call = partial(
            self.client.put_lifecycle_event_hook_execution_status,
            deploymentId=self.deployment_id,
            lifecycleEventHookExecutionId=self.execution_id,
            status=status,
        )
        send_outcome(call, _CALL, _OVER, self.invocation.timing)


def open_hook(event: Mapping[str, Any], invocation: Invocation) -> CodeDeployCaller:
    """Return the caller of a hook's event.

    Raises:
        RequestInvalid: an id is missing or invalid, so the event cannot be answered.
    """
    now = invocation.now()
    carried = find_continuation(event, now, HOOK_SECONDS)
    return CodeDeployCaller(
        deployment_id=_read_id(event, "DeploymentId"),
        execution_id=_read_id(event, "LifecycleEventHookExecutionId"),
        continuation=carried or Continuation(0, now, HOOK_SECONDS),
        invocation=invocation,
        event=event,
        client=invocation.clients("codedeploy", region_of(invocation.function_arn)),
    )


def _read_id(event: Mapping[str, Any], name: str) -> str:
    value = event.get(name)
    if isinstance(value, str) and 0 < len(value) <= _MAX_ID and is_storable(value):
        return value
    raise RequestInvalid(
        f"The event's {name} is missing or invalid, so CodeDeploy cannot be sent the outcome.",
        hint="Let CodeDeploy invoke the function, as a hook in an AppSpec.",
    )
