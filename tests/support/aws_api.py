"""CodePipeline, CodeDeploy and Lambda on loopback, as far as a function and its callers use them.

The variables in `AwsApi.environment` direct an AWS client here. Arguments are checked against the
service's own model: what AWS would refuse (too long, a wrong pattern, an unknown key) is refused here.

::

    Pipeline.run ── job ──> handler ── PutJobSuccessResult(token) ──> AwsApi
         └───────── next job, with the token <──────────────────────────────┘
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import botocore.session
from tests.support.lambda_context import LambdaContext
from tests.support.local_http import LocalServer, RequestHandler, Served

if TYPE_CHECKING:
    import ssl

    from botocore.model import OperationModel, Shape

Event = dict[str, Any]
Handler = Callable[[Event, Any], object]

REGION = "eu-west-1"
ACCOUNT = "123456789012"
# Lambda delivers an asynchronous event twice more if the handler raises or is killed.
DELIVERIES = 3
_SERVICES = ("codepipeline", "codedeploy", "lambda")


class Refusal(Enum):
    """How the API can fail a call: HTTP status and error code, or a reset connection."""

    THROTTLED = (400, "ThrottlingException")
    BROKEN = (500, "InternalFailure")
    DENIED = (400, "AccessDeniedException")
    RESET = (0, "connection reset")


@dataclass(frozen=True, slots=True)
class Call:
    """A call and its error code; ``None`` means success."""

    operation: str
    arguments: dict[str, Any]
    error: str | None


@dataclass(frozen=True, slots=True)
class Invoked:
    """The Lambda API's answer: status, payload and ``X-Amz-Function-Error``."""

    payload: Any
    function_error: str | None = None
    status: int = 200
    error_type: str | None = None


Function = Callable[[str, Any], Invoked]


_JSON = "application/x-amz-json-1.1"


class AwsApi(Served):
    """The API's server, and the calls it received. A synchronous Invoke runs ``function``.

    With a server's TLS context it uses HTTPS, otherwise HTTP.
    """

    def __init__(self, function: Function | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.calls: list[Call] = []
        self.waiting: set[str] = set()
        self.over: set[str] = set()
        self.handed_on: list[Event] = []
        self.function = function
        self._refusals: list[Refusal] = []
        self.server = LocalServer(_Api, self, tls)

    @property
    def environment(self) -> dict[str, str]:
        """Variables that direct an AWS client here, with invalid credentials."""
        url = self.server.url
        return {
            **{f"AWS_ENDPOINT_URL_{service.upper()}": url for service in _SERVICES},
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def fail_next(self, count: int, refusal: Refusal) -> None:
        """Fail the next calls."""
        self._refusals.extend([refusal] * count)

    def heard(self, operation: str | None = None) -> list[dict[str, Any]]:
        """Return the arguments of every successful call."""
        return [
            call.arguments
            for call in self.calls
            if call.error is None and operation in {None, call.operation}
        ]

    def take(self, operation: str, arguments: dict[str, Any]) -> Refusal | str | None:
        """Carry out a call; return its error, or ``None`` for success."""
        refusal = self._refusals.pop(0) if self._refusals else None
        error = self._judge(operation, arguments) if refusal is None else refusal.value[1]
        self.calls.append(Call(operation, arguments, error))
        return refusal or error

    def _judge(self, operation: str, arguments: dict[str, Any]) -> str | None:
        service = "codedeploy" if "Hook" in operation else "codepipeline"
        model = _MODELS[service].operation_model(operation)
        flaws = list(find_flaws(model, arguments))
        assert flaws == [], flaws
        waiting = arguments.get("jobId") or arguments["lifecycleEventHookExecutionId"]
        unknown, over = _ERRORS[service]
        if waiting in self.over:
            return over
        if waiting not in self.waiting:
            return unknown
        self.waiting.remove(waiting)
        self.over.add(waiting)
        return None


_ERRORS = {
    "codepipeline": ("JobNotFoundException", "InvalidJobStateException"),
    "codedeploy": (
        "InvalidLifecycleEventHookExecutionIdException",
        "LifecycleEventAlreadyCompletedException",
    ),
}
_MODELS = {name: botocore.session.get_session().get_service_model(name) for name in _ERRORS}


def find_flaws(model: OperationModel, arguments: Mapping[str, Any]) -> list[str]:
    """Return what the service's model does not accept in these arguments."""
    assert model.input_shape is not None
    flaws = list(_find_flaws(model.input_shape, arguments, ""))
    if {"continuationToken", "outputVariables"} <= arguments.keys():
        flaws.append("outputVariables beside a continuationToken")
    return flaws


def _find_flaws(shape: Any, value: Any, place: str) -> list[str]:
    match shape.type_name:
        case "structure":
            unknown = [f"{place}.{key} is unknown" for key in value if key not in shape.members]
            missing = [
                f"{place}.{key} is missing" for key in shape.required_members if key not in value
            ]
            inner = [
                flaw
                for key, item in value.items()
                if key in shape.members
                for flaw in _find_flaws(shape.members[key], item, f"{place}.{key}")
            ]
            return [*unknown, *missing, *inner]
        case "map":
            return [
                flaw
                for key, item in value.items()
                for flaw in (
                    *_find_flaws(shape.key, key, f"{place}{{}}"),
                    *_find_flaws(shape.value, item, f"{place}.{key}"),
                )
            ]
        case "string":
            return _find_flaws_of_text(shape, value, place)
        case "integer":
            lowest, highest = shape.metadata.get("min", value), shape.metadata.get("max", value)
            is_fine = isinstance(value, int) and lowest <= value <= highest
            return [] if is_fine else [f"{place} is {value}"]
        case other:
            raise AssertionError(f"{place}: {other} is not known here")


def _find_flaws_of_text(shape: Shape, value: Any, place: str) -> list[str]:
    metadata: Mapping[str, Any] = shape.metadata
    if not isinstance(value, str):
        return [f"{place} is no text"]
    # AWS counts UTF-16 code units in some places and characters in others.
    length = len(value.encode("utf-16-le")) // 2
    if not metadata.get("min", 0) <= length <= metadata.get("max", length):
        return [f"{place} has {length} characters"]
    if value not in metadata.get("enum", [value]):
        return [f"{place} is {value}"]
    if re.fullmatch(metadata.get("pattern", ".*"), value, re.DOTALL) is None:
        return [f"{place} does not match"]
    return []


class _Api(RequestHandler):
    """JSON 1.1 for CodePipeline and CodeDeploy, and Lambda's Invoke."""

    def post(self) -> None:
        """Carry out a call."""
        body = self.read_body()
        if self.path.startswith("/2015-03-31/functions/"):
            self._invoke(unquote(self.path.split("/")[3]), json.loads(body or b"{}"))
            return
        operation = self.headers["X-Amz-Target"].rpartition(".")[2]
        error = self.fake.take(operation, json.loads(body))
        if error is Refusal.RESET:
            self.reset()
        elif isinstance(error, Refusal):
            self._answer(error.value[0], {"__type": error.value[1], "message": "No."})
        elif error is not None:
            self._answer(400, {"__type": error, "message": "No."})
        else:
            self._answer(200, {})

    def _invoke(self, name: str, payload: Any) -> None:
        if self.headers.get("X-Amz-Invocation-Type") == "Event":
            self.fake.handed_on.append(payload)
            self._answer(202, None)
            return
        assert self.fake.function is not None
        invoked = self.fake.function(name, payload)
        headers = {}
        if invoked.function_error is not None:
            headers["X-Amz-Function-Error"] = invoked.function_error
        if invoked.error_type is not None:
            headers["x-amzn-ErrorType"] = invoked.error_type
        if invoked.status == 0:
            self.reset()
        else:
            self._answer(invoked.status, invoked.payload, headers)

    def _answer(self, status: int, value: Any, headers: Mapping[str, str] | None = None) -> None:
        body = b"" if value is None else json.dumps(value).encode()
        self.answer(status, body, {"Content-Type": _JSON, **(headers or {})})


# CodePipeline.


@dataclass(frozen=True, slots=True)
class Action:
    """The result of a pipeline's action: the arguments of its last call and of each job's."""

    is_success: bool
    result: dict[str, Any]
    steps: list[dict[str, Any]]

    @property
    def message(self) -> str:
        """The reason for the failure."""
        return str(self.result["failureDetails"]["message"])

    @property
    def variables(self) -> dict[str, str]:
        """The output variables for later actions."""
        variables: dict[str, str] = self.result["outputVariables"]
        return variables


@dataclass(slots=True)
class Pipeline:
    """Runs one Invoke action: job after job, until an answer has no token.

    Before each further job, ``on_job`` is called with the number of jobs sent so far.
    """

    api: AwsApi
    handler: Handler
    make_context: Callable[[], Any] = LambdaContext
    on_job: Callable[[int], object] = lambda _: None
    events: list[Event] = field(default_factory=list)

    def run(self, user_parameters: str | None = None) -> Action:
        """Run the action to its end, as CodePipeline does."""
        steps: list[dict[str, Any]] = []
        token: str | None = None
        while True:
            event = self.make_event(user_parameters, token)
            self.deliver(event)
            call = self._read_answer(event)
            steps.append(call.arguments)
            token = call.arguments.get("continuationToken")
            if token is None:
                is_success = call.operation == "PutJobSuccessResult"
                return Action(is_success, call.arguments, steps)
            self.on_job(len(steps))

    def make_event(self, user_parameters: str | None = None, token: str | None = None) -> Event:
        """Return the event of a new job, and mark the job as in progress."""
        job_id = str(uuid.uuid4())
        configuration = {"FunctionName": "lockgate-Migrate"}
        if user_parameters is not None:
            configuration["UserParameters"] = user_parameters
        data: dict[str, Any] = {
            "actionConfiguration": {"configuration": configuration},
            "inputArtifacts": [],
            "outputArtifacts": [],
            "artifactCredentials": {
                "accessKeyId": "hush-key",
                "secretAccessKey": "hush-secret",
                "sessionToken": "hush-session",
            },
        }
        if token is not None:
            data["continuationToken"] = token
        self.api.waiting.add(job_id)
        event = {"CodePipeline.job": {"id": job_id, "accountId": ACCOUNT, "data": data}}
        self.events.append(event)
        return event

    def deliver(self, event: Event) -> None:
        """Invoke the function asynchronously, with retries if it raises."""
        deliver(self.handler, event, self.make_context)

    def _read_answer(self, event: Event) -> Call:
        job_id = event["CodePipeline.job"]["id"]
        calls = [
            call
            for call in self.api.calls
            if call.error is None and call.arguments.get("jobId") == job_id
        ]
        assert len(calls) == 1, f"the job was answered {len(calls)} times"
        return calls[0]


def deliver(handler: Handler, event: Event, make_context: Callable[[], Any]) -> None:
    """Invoke a function asynchronously, as Lambda does: twice more if it raises."""
    for delivery in range(DELIVERIES):
        try:
            handler(json.loads(json.dumps(event)), make_context())
        except Exception:
            if delivery == DELIVERIES - 1:
                raise
        else:
            return


# CodeDeploy.


@dataclass(slots=True)
class Deployment:
    """Runs one lifecycle hook, over all invocations that the function makes of itself."""

    api: AwsApi
    handler: Handler
    make_context: Callable[[], Any] = LambdaContext
    on_hop: Callable[[int], object] = lambda _: None
    hops: int = 0

    def run_hook(self) -> str:
        """Run the hook to its end and return the status that CodeDeploy received."""
        event = self.make_event()
        self.deliver(event)
        return self.read_status(event)

    def deliver(self, event: Event) -> None:
        """Deliver an event, and every event that the function sends to itself."""
        deliver(self.handler, event, self.make_context)
        while self.api.handed_on:
            self.hops += 1
            self.on_hop(self.hops)
            deliver(self.handler, self.api.handed_on.pop(), self.make_context)

    def make_event(self) -> Event:
        """Return the event of a new hook, and mark the hook as in progress."""
        execution_id = f"hush-{uuid.uuid4()}"
        self.api.waiting.add(execution_id)
        return {"DeploymentId": "d-ABCDEF123", "LifecycleEventHookExecutionId": execution_id}

    def read_status(self, event: Event) -> str:
        """Return the status sent for an event's hook; assert that it was sent once."""
        statuses = [
            str(arguments["status"])
            for arguments in self.api.heard("PutLifecycleEventHookExecutionStatus")
            if arguments["lifecycleEventHookExecutionId"] == event["LifecycleEventHookExecutionId"]
        ]
        assert len(statuses) == 1, f"the hook was answered {len(statuses)} times"
        return statuses[0]
