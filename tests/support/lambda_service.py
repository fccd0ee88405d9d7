"""Lambda's asynchronous invocation of one function, and the endpoint at which it invokes itself.

::

    handle(event) ──> queue ──> Runtime ──> the next of the queue
                        ^          │ an error, or killed: the same event again, twice at most
                        └── POST …/invocations, by the function itself

Lambda waits one and two minutes before it repeats an event; here nothing waits.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote

from tests.support.lambda_context import FUNCTION_ARN

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from tests.support.runtime_api import Invocation, Runtime

Event = dict[str, Any]

DELIVERIES = 3
_PATH = f"/2015-03-31/functions/{FUNCTION_ARN}/invocations"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one invocation has of time, and when it is killed before that."""

    timeout_seconds: float | None = None
    told_seconds: float | None = None
    kill_when: Callable[[], bool] = lambda: False


@dataclass(slots=True)
class LambdaService:
    """Delivers events to the function that runs in ``runtime``; serves for as long as it is entered.

    ``limits`` are those of the first invocations, in order. ``before_next`` is called before an event
    that the function has sent itself is delivered. While ``is_denied`` the function may not.
    """

    runtime: Runtime | None = None
    limits: list[Limits] = field(default_factory=list)
    before_next: Callable[[], object] = lambda: None
    is_denied: bool = False
    invocations: list[Invocation] = field(default_factory=list)
    _queue: deque[Event] = field(default_factory=deque)
    _server: _Server = field(init=False)
    _serving: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self._server = _Server(self)
        self._serving = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._serving.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._serving.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """The endpoint, for AWS_ENDPOINT_URL_LAMBDA."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def errors(self) -> list[str | None]:
        """How each invocation ended: the type of its error, or None."""
        return [one.error["errorType"] if one.error else None for one in self.invocations]

    def handle(self, event: Event, context: object = None) -> None:
        """Deliver an event, and whatever the function then sends itself."""
        del context  # the runtime makes its own
        self._deliver(event)
        while self._queue:
            self.before_next()
            self._deliver(self._queue.popleft())

    def enqueue(self, event: Event) -> None:
        """Take an event from the function."""
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


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, service: LambdaService) -> None:
        super().__init__(("127.0.0.1", 0), _Invoke)
        self.service = service


class _Invoke(BaseHTTPRequestHandler):
    """The one operation: Invoke, asynchronously."""

    server: _Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Queue the event; refuse what Lambda would refuse."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.service.is_denied:
            self._answer(403, "AccessDeniedException", "not authorized: lambda:InvokeFunction")
        elif unquote(self.path) != _PATH:
            self._answer(404, "ResourceNotFoundException", f"no function at {self.path}")
        elif self.headers.get("X-Amz-Invocation-Type") != "Event":
            self._answer(400, "InvalidParameterValueException", "only asynchronous here")
        else:
            self.server.service.enqueue(json.loads(body))
            self._answer(202)

    def _answer(self, status: int, error: str | None = None, message: str = "") -> None:
        body = json.dumps({"Type": "User", "Message": message}).encode() if error else b""
        self.send_response(status)
        if error is not None:
            self.send_header("X-Amzn-ErrorType", error)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""
