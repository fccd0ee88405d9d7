"""The callers that wait for an answer, with what differs between them, for the contract of all three.

Each sends an event to the function, delivers it again as Lambda does, and follows a run over further
invocations to its one answer.
"""

from __future__ import annotations

import json
import time
import uuid
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from tests.support import aws_api, cloudformation
from tests.support.aws_api import deliver
from tests.support.cloudformation import Bucket, Stack, StackStatus, read_answer
from tests.support.lambda_context import FUNCTION_ARN, LambdaContext

from lockgate.awslambda.callers.codedeploy import HOOK_SECONDS
from lockgate.awslambda.callers.detect import CallerKind
from lockgate.awslambda.callers.event_continuation import add_continuation
from lockgate.core.continuation import MOST_HOPS, Continuation

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.flows.conftest import Function
    from tests.support.aws_api import AwsApi

    Event = dict[str, Any]

STACK_ID = "arn:aws:cloudformation:eu-west-1:123456789012:stack/shop/1"


@dataclass(frozen=True, slots=True)
class Heard:
    """An answer that a caller accepted. CodeDeploy's has no ``reason``.

    ``category`` is CodePipeline's type of a failure.
    """

    status: str
    reason: str | None = None
    category: str | None = None


@dataclass(slots=True)
class Waiting(ABC):
    """One caller. ``on_further`` is called before each further invocation, with its number."""

    function: Function
    api: AwsApi
    handler: Callable[[Event, Any], Any] = field(init=False)
    make_context: Callable[[], LambdaContext] = LambdaContext
    on_further: Callable[[int], object] = lambda _: None
    further: int = 0

    kind: ClassVar[CallerKind]
    success: ClassVar[str] = "Succeeded"
    failure: ClassVar[str] = "Failed"
    # What the handler returns for a second delivery whose event was answered meanwhile.
    answered_before: ClassVar[str] = "not_awaited"
    gives_reasons: ClassVar[bool] = True
    refusal: ClassVar[str]
    # The fields of a recorded run that are the same in all invocations for one event.
    lasting: ClassVar[tuple[str, ...]] = ()
    # CloudFormation sends a Delete after a failed creation.
    answers_to_failure: ClassVar[int] = 1
    waits_seconds: ClassVar[int] = HOOK_SECONDS
    most_further: ClassVar[int] = MOST_HOPS

    def __post_init__(self) -> None:
        self.handler = self.function.handle

    @abstractmethod
    def make_event(self) -> Event:
        """Return a new event, for whose answer the caller waits."""

    @abstractmethod
    def make_unanswerable(self) -> list[Event]:
        """Return events that do not say where to send the answer."""

    @abstractmethod
    def find_secret(self, event: Event) -> str:
        """Return the text in an event that must not be shown."""

    @abstractmethod
    def find_identity(self, event: Event) -> dict[str, str]:
        """Return fields of a recorded run that identify its event."""

    @abstractmethod
    def hear(self, event: Event) -> list[Heard]:
        """Return the accepted answers to an event."""

    @property
    def sent(self) -> list[object]:
        """The body of every attempt to answer."""
        return [json.dumps(call.arguments) for call in self.api.calls]

    def fail_next(self, *refusals: aws_api.Refusal) -> None:
        """Fail the next attempts to answer."""
        for refusal in refusals:
            self.api.fail_next(1, refusal)

    def run(self) -> Heard:
        """Send an event and return its answer."""
        return self.follow(self.make_event())

    def run_endless(self) -> Heard:
        """Send an event whose run has ``most_further`` invocations left, and return its answer."""
        return self.run()

    def follow(self, event: Event) -> Heard:
        """Deliver an event and each that follows from it; return the one answer."""
        deliver(self.handler, event, self.make_context)
        while (following := self.find_following(event)) is not None:
            event = following
            deliver(self.handler, event, self.make_context)
        (heard,) = self.hear(event)
        return heard

    def find_following(self, event: Event) -> Event | None:
        """Return the event of the next invocation, if the run continues in one."""
        del event  # the function has sent it to itself
        return self.count(self.api.handed_on.pop()) if self.api.handed_on else None

    def count(self, event: Event) -> Event:
        """Count a further invocation."""
        self.further += 1
        self.on_further(self.further)
        return event


@dataclass(slots=True)
class CloudFormation(Waiting):
    """CloudFormation, with a custom resource. If its creation fails, the stack is rolled back."""

    bucket: Bucket = field(kw_only=True)

    kind = CallerKind.CLOUDFORMATION
    success = "SUCCESS"
    failure = "FAILED"
    answered_before = "SUCCESS"
    refusal = "does not point to CloudFormation"
    lasting = ("stack_id", "request_id", "logical_id", "url_digest")
    answers_to_failure = 2

    def make_event(self, **more: Any) -> Event:
        """Return the event of a stack's creation."""
        return {
            "RequestType": "Create",
            "ServiceToken": FUNCTION_ARN,
            "ResponseURL": self.bucket.sign_url(),
            "StackId": STACK_ID,
            "RequestId": str(uuid.uuid4()),
            "LogicalResourceId": "Migration",
            "ResourceType": "Custom::LockgateMigration",
            "ResourceProperties": {"CodeVersion": "1"},
            **more,
        }

    def make_unanswerable(self) -> list[Event]:
        """Return an event with another URL than CloudFormation's."""
        return [self.make_event(ResponseURL="https://example.com/?X-Amz-Signature=hush")]

    def find_secret(self, event: Event) -> str:
        """Return the signature of the URL."""
        return str(event["ResponseURL"]).partition("X-Amz-Signature=")[2]

    def find_identity(self, event: Event) -> dict[str, str]:
        """Return the stack and its request."""
        return {"stack_id": STACK_ID, "request_id": event["RequestId"]}

    def hear(self, event: Event) -> list[Heard]:
        """Return the answers that reached the signed URL, checked as CloudFormation does."""
        puts = [put for put in self.bucket.puts_to(event["ResponseURL"]) if put.status == 200]
        answers = [read_answer(event, [put]) for put in puts]
        return [Heard(answer.status, answer.reason) for answer in answers]

    @property
    def sent(self) -> list[object]:
        """The body of every PUT."""
        return [put.body for put in self.bucket.puts]

    def fail_next(self, *refusals: aws_api.Refusal) -> None:
        """Fail the next PUTs."""
        for refusal in refusals:
            is_reset = refusal is aws_api.Refusal.RESET
            kind = cloudformation.Refusal
            self.bucket.fail_next(1, kind.RESET if is_reset else kind.UNAVAILABLE)

    def run(self) -> Heard:
        """Create a stack, and return the answer to its first event."""
        stack = Stack(self._handle, self.bucket, make_context=self.make_context)
        status = stack.create({"CodeVersion": "1"})
        answer = stack.exchanges[0].answer
        is_created = status is StackStatus.CREATE_COMPLETE
        assert is_created or status is StackStatus.ROLLBACK_COMPLETE
        assert is_created == answer.is_success
        return Heard(answer.status, answer.reason)

    def _handle(self, event: Event, context: LambdaContext) -> None:
        self.handler(event, context)
        while (following := self.find_following(event)) is not None:
            deliver(self.handler, following, self.make_context)


@dataclass(slots=True)
class CodePipeline(Waiting):
    """CodePipeline, with an action that takes as many jobs as needed."""

    kind = CallerKind.CODEPIPELINE
    refusal = "has no id, so CodePipeline cannot be sent"
    waits_seconds = 24 * 3_600
    # The contract lowers the limit, because 200 jobs take too long.
    most_further = 3

    def make_event(self, token: str | None = None) -> Event:
        """Return the event of a job."""
        return aws_api.Pipeline(self.api, self.handler).make_event(token=token)

    def make_unanswerable(self) -> list[Event]:
        """Return jobs without a valid id."""
        return [{"CodePipeline.job": job} for job in (None, {"id": "hush"})]

    def find_secret(self, event: Event) -> str:
        """Return what the credentials in the event have in common."""
        del event  # each event has the same
        return "hush"

    def find_identity(self, event: Event) -> dict[str, str]:
        """Return the job."""
        return {"job_id": event["CodePipeline.job"]["id"]}

    def hear(self, event: Event) -> list[Heard]:
        """Return the results of a job."""
        return [
            Heard(self.failure, details["message"], details["type"])
            if (details := arguments.get("failureDetails"))
            else Heard(self.success)
            for arguments in self._hear(event)
        ]

    def find_following(self, event: Event) -> Event | None:
        """Return the event of the next job, if the result has a token."""
        (arguments,) = self._hear(event)
        token = arguments.get("continuationToken")
        return None if token is None else self.count(self.make_event(token))

    def _hear(self, event: Event) -> list[dict[str, Any]]:
        job_id = event["CodePipeline.job"]["id"]
        return [arguments for arguments in self.api.heard() if arguments["jobId"] == job_id]


@dataclass(slots=True)
class CodeDeploy(Waiting):
    """CodeDeploy, with a lifecycle hook."""

    kind = CallerKind.CODEDEPLOY
    gives_reasons = False
    refusal = "is missing or invalid, so CodeDeploy cannot be sent"
    lasting = ("deployment_id", "hook_digest")
    most_further = 1

    def make_event(self) -> Event:
        """Return the event of a hook."""
        return aws_api.Deployment(self.api, self.handler).make_event()

    def make_unanswerable(self) -> list[Event]:
        """Return hooks without one of the two ids."""
        event = self.make_event()
        return [{**event, name: None} for name in event]

    def run_endless(self) -> Heard:
        """Begin with the last invocation but one."""
        last_but_one = Continuation(MOST_HOPS - 1, time.time(), HOOK_SECONDS)
        return self.follow(add_continuation(self.make_event(), last_but_one))

    def find_secret(self, event: Event) -> str:
        """Return the hook's id, which allows anyone to answer."""
        return str(event["LifecycleEventHookExecutionId"])

    def find_identity(self, event: Event) -> dict[str, str]:
        """Return the deployment."""
        return {"deployment_id": event["DeploymentId"]}

    def hear(self, event: Event) -> list[Heard]:
        """Return the statuses of a hook."""
        return [
            Heard(arguments["status"])
            for arguments in self.api.heard()
            if arguments["lifecycleEventHookExecutionId"] == event["LifecycleEventHookExecutionId"]
        ]
