"""Lambda's asynchronous invocation of one function, and the endpoint at which it invokes itself.

::

    handle(event) ──> queue ──> Runtime ──> next event in the queue
                        ^          │ error or killed: the same event again, at most twice
                        └── POST …/invocations, by the function itself

Lambda waits one and two minutes before it repeats an event; this service does not wait.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from tests.support.lambda_context import FUNCTION_ARN
from tests.support.local_http import LocalServer, RequestHandler, Served

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.runtime_api import Invocation, Runtime

Event = dict[str, Any]

DELIVERIES = 3
_PATH = f"/2015-03-31/functions/{FUNCTION_ARN}/invocations"


@dataclass(frozen=True, slots=True)
class Limits:
    """The time of one invocation, and a condition for killing it earlier."""

    timeout_seconds: float | None = None
    told_seconds: float | None = None
    kill_when: Callable[[], bool] = lambda: False


@dataclass(slots=True)
class LambdaService(Served):
    """Delivers events to the function in ``runtime``; serves while its context is open.

    ``limits`` apply to the first invocations, in order. ``before_next`` is called before an event that
    the function sent to itself is delivered. With ``is_denied``, the function may not send any.
    """

    runtime: Runtime | None = None
    limits: list[Limits] = field(default_factory=list)
    before_next: Callable[[], object] = lambda: None
    is_denied: bool = False
    invocations: list[Invocation] = field(default_factory=list)
    _queue: deque[Event] = field(default_factory=deque)
    server: LocalServer = field(init=False)

    def __post_init__(self) -> None:
        self.server = LocalServer(_Invoke, self)

    @property
    def url(self) -> str:
        """The endpoint, for AWS_ENDPOINT_URL_LAMBDA."""
        return self.server.url

    @property
    def errors(self) -> list[str | None]:
        """The type of each invocation's error, or None."""
        return [one.error["errorType"] if one.error else None for one in self.invocations]

    def handle(self, event: Event, context: object = None) -> None:
        """Deliver an event, and every event that the function then sends to itself."""
        del context  # the runtime creates its own
        self._deliver(event)
        while self._queue:
            self.before_next()
            self._deliver(self._queue.popleft())

    def enqueue(self, event: Event) -> None:
        """Queue an event from the function."""
        self._queue.append(event)

    def _deliver(self, event: Event) -> None:
        assert self.runtime is not None
        for _ in range(DELIVERIES):
            limits = self.limits.pop(0) if self.limits else Limits()
            invocation = self.runtime.invoke(
                event,
                limits.timeout_seconds,
                told_seconds=limits.told_seconds,
                kill_when=limits.kill_when,
            )
            self.invocations.append(invocation)
            if invocation.error is None:
                return
        raise AssertionError(f"Lambda gave the event up: {self.errors}")


class _Invoke(RequestHandler):
    """The only operation: asynchronous Invoke."""

    def post(self) -> None:
        """Queue the event; refuse what Lambda would refuse."""
        body = self.read_body()
        if self.fake.is_denied:
            self._refuse(403, "AccessDeniedException", "not authorized: lambda:InvokeFunction")
        elif unquote(self.path) != _PATH:
            self._refuse(404, "ResourceNotFoundException", f"no function at {self.path}")
        elif self.headers.get("X-Amz-Invocation-Type") != "Event":
            self._refuse(400, "InvalidParameterValueException", "only asynchronous here")
        else:
            self.fake.enqueue(json.loads(body))
            self.answer(202)

    def _refuse(self, status: int, error: str, message: str) -> None:
        body = json.dumps({"Type": "User", "Message": message}).encode()
        self.answer(status, body, {"X-Amzn-ErrorType": error})
