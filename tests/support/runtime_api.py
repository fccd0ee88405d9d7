"""Lambda's Runtime API on loopback, so that `awslambdaric` runs a handler as Lambda does.

::

    Runtime.invoke          _Sandbox (server)                process (awslambdaric)
         │── first one: start ──>│────────────────────────────────>│ imports the handler
         │                       │<──── GET invocation/next ───────│ or POST init/error
         │── event ─────────────>│──── event, deadline ───────────>│ runs the handler
         │<── result or error ───│<──── POST response | error ─────│
         │── deadline or memory exceeded: SIGKILL; the next invocation starts a new process

Contains only the Runtime API and processes, nothing specific to Lockgate.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.support.lambda_context import FUNCTION_ARN, FUNCTION_NAME
from tests.support.local_http import LocalServer, RequestHandler

from lockgate.local.privileges import NAMESPACE, may_unshare

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

_API = "/2018-06-01/runtime"
# Lambda allows an import 10 s; a busy test machine is slower.
_INIT_LIMIT_SECONDS = 120.0
# Interval of checks whether to kill; answers are received at once.
_LOOK_SECONDS = 0.05
MEMORY_MB = 512
_STOP = None


@dataclass(frozen=True, slots=True)
class Invocation:
    """The result of one invocation. ``error`` is the object that Lambda returns to a caller.

    ``duration_ms`` is the handler's own time, without the start of the process; ``peak_mb`` is the
    process's peak memory so far, 0 if the machine does not report it.
    """

    result: Any
    error: dict[str, Any] | None
    timed_out: bool
    is_cold: bool
    duration_ms: float
    peak_mb: float
    logs: str


@dataclass(frozen=True, slots=True)
class _Delivery:
    """An event on its way to the process."""

    body: bytes
    timeout_seconds: float
    told_seconds: float
    is_to_be_killed: Callable[[], bool]
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))


@dataclass(frozen=True, slots=True)
class _Word:
    """A message from the process: an answer, a failed start, or its end."""

    kind: str
    body: bytes


class Runtime:
    """A function: its code, handler and environment. The first invocation starts its process.

    ``task_root`` is the folder of the code and the working folder, as in Lambda. ``environment`` is
    added to Lambda's own variables; no other variables of the caller are passed on. ``python`` has
    awslambdaric. On Linux, a process with more than ``memory_mb`` is killed. ``launcher`` is the
    command that starts it: see `find_launcher`.
    """

    def __init__(
        self,
        task_root: Path,
        handler: str,
        environment: Mapping[str, str] | None = None,
        *,
        timeout_seconds: float = 120.0,
        python: Path = Path(sys.executable),
        memory_mb: int = MEMORY_MB,
        launcher: tuple[str, ...] = (),
    ) -> None:
        self._task_root = task_root
        self._handler = handler
        self._environment = {
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(memory_mb),
            **(environment or {}),
        }
        self._timeout_seconds = timeout_seconds
        self._python = python
        self._memory_mb = memory_mb
        self._launcher = launcher
        self._sandbox: _Sandbox | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """The process id, if there is a process."""
        return None if self._sandbox is None else self._sandbox.pid

    def start(self) -> float:
        """Start the process if there is none; return the duration of the start in milliseconds."""
        if self._sandbox is None:
            self._sandbox = _Sandbox(
                [*self._launcher, str(self._python), "-m", "awslambdaric", self._handler],
                self._task_root,
                self._environment,
                self._memory_mb,
            )
        return self._sandbox.await_start()

    def stop(self) -> None:
        """Kill the process, if there is one; the next invocation is a cold start."""
        if self._sandbox is not None:
            self._sandbox.close()
            self._sandbox = None

    def invoke(
        self,
        event: object,
        timeout_seconds: float | None = None,
        *,
        told_seconds: float | None = None,
        kill_when: Callable[[], bool] = lambda: False,
    ) -> Invocation:
        """Run the handler on ``event``, a JSON value, and wait for its end.

        A handler that exceeds its time or memory is killed without notice. After that, and after a
        process that ended or could not import the handler, the next invocation starts a new process.
        A test may announce less time than the handler has (``told_seconds``), so that a slow machine
        does not kill it, and may decide itself when to kill (``kill_when``).
        """
        limit = self._timeout_seconds if timeout_seconds is None else timeout_seconds
        self.start()
        assert self._sandbox is not None
        invocation, is_alive = self._sandbox.deliver(
            _Delivery(json.dumps(event).encode(), limit, told_seconds or limit, kill_when)
        )
        if not is_alive:
            self.stop()
        return invocation


def find_launcher() -> tuple[str, ...] | None:
    """Return the command prefix that makes file modes apply to a process, even for root.

    ``None`` means that this is root and cannot drop its capabilities.
    """
    if os.geteuid() != 0:
        return ()
    if may_unshare():
        return NAMESPACE
    if shutil.which("setpriv") is not None:
        return ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
    return None


class _Sandbox:
    """One process, and its server."""

    def __init__(
        self, command: list[str], task_root: Path, environment: Mapping[str, str], memory_mb: int
    ) -> None:
        self._memory_mb = memory_mb
        self._deliveries = 0
        self.events: queue.Queue[_Delivery | None] = queue.Queue()
        self.words: queue.Queue[_Word] = queue.Queue()
        self.is_ready = threading.Event()
        self._ready_at = 0.0
        self._failed_start: _Word | None = None
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        self._log_read = 0
        self._server = LocalServer(_Api, self)
        self._server.start()
        api = self._server.address
        self._started_at = time.monotonic()
        self._process = subprocess.Popen(
            command,
            cwd=task_root,
            env={**_lambda_environment(task_root, command[-1], api), **environment},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )
        self._watching = threading.Thread(target=self._watch)
        self._watching.start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def await_start(self) -> float:
        """Wait until the handler is imported or fails to import; return the duration in milliseconds."""
        give_up_at = time.monotonic() + _INIT_LIMIT_SECONDS
        while not self.is_ready.wait(0.005) and self._failed_start is None:
            if not self.words.empty():
                self._failed_start = self.words.get()
            elif time.monotonic() > give_up_at:
                self._failed_start = _Word("exit", b"the import did not end")
        self._ready_at = self._ready_at or time.monotonic()
        return (self._ready_at - self._started_at) * 1_000

    def note_ready(self) -> None:
        """Record that the process has requested an event."""
        if not self.is_ready.is_set():
            self._ready_at = time.monotonic()
            self.is_ready.set()

    def deliver(self, delivery: _Delivery) -> tuple[Invocation, bool]:
        """Deliver one event; return the result, and whether the process can take another."""
        self._deliveries += 1
        started_at = time.monotonic()
        word = self._failed_start
        if word is None:
            self.events.put(delivery)
            word = self._hear(delivery)
        result, error = _interpret(word, delivery)
        invocation = Invocation(
            result=result,
            error=error,
            timed_out=word is None,
            is_cold=self._deliveries == 1,
            duration_ms=(time.monotonic() - started_at) * 1_000,
            peak_mb=read_peak_mb(self.pid),
            logs=self._read_log(),
        )
        return invocation, word is not None and word.kind in {"response", "error"}

    def close(self) -> None:
        """Kill the process and end the threads."""
        self._process.kill()
        self._process.wait()
        self.events.put(_STOP)
        self._watching.join()
        self._server.stop()
        self._log.close()

    def _hear(self, delivery: _Delivery) -> _Word | None:
        ends_at = time.monotonic() + delivery.timeout_seconds
        while (left := ends_at - time.monotonic()) > 0 and not delivery.is_to_be_killed():
            with contextlib.suppress(queue.Empty):
                return self.words.get(timeout=min(left, _LOOK_SECONDS))
            if read_peak_mb(self.pid) > self._memory_mb:
                self._process.kill()
        return None

    def _watch(self) -> None:
        status = self._process.wait()
        ended = f"exit status {status}" if status >= 0 else f"signal: {signal.strsignal(-status)}"
        self.words.put(_Word("exit", ended.lower().encode()))

    def _read_log(self) -> str:
        content = os.pread(self._log.fileno(), 1 << 30, self._log_read)
        self._log_read += len(content)
        return content.decode(errors="replace")


class _Api(RequestHandler):
    """The four calls that a runtime makes."""

    def get(self) -> None:
        """Wait for the next event and return it."""
        if self.path != f"{_API}/invocation/next":
            self.answer(404)
            return
        self.fake.note_ready()
        delivery = self.fake.events.get()
        if delivery is _STOP:
            self.close_connection = True
            return
        deadline_ms = int((time.time() + delivery.told_seconds) * 1_000)
        self.answer(
            200,
            delivery.body,
            {
                "Content-Type": "application/json",
                "Lambda-Runtime-Aws-Request-Id": delivery.request_id,
                "Lambda-Runtime-Deadline-Ms": str(deadline_ms),
                "Lambda-Runtime-Invoked-Function-Arn": FUNCTION_ARN,
                "Lambda-Runtime-Trace-Id": "Root=1-00000000-000000000000000000000000;Sampled=0",
            },
        )

    def post(self) -> None:
        """Accept an answer."""
        body = self.read_body()
        kind = "init" if self.path == f"{_API}/init/error" else self.path.rpartition("/")[2]
        self.answer(202)
        self.fake.words.put(_Word(kind, body))


def _interpret(word: _Word | None, delivery: _Delivery) -> tuple[Any, dict[str, Any] | None]:
    if word is None:
        return None, _platform_error(
            delivery,
            "Sandbox.Timedout",
            f"Task timed out after {delivery.timeout_seconds:.2f} seconds",
        )
    if word.kind == "response":
        return json.loads(word.body), None
    if word.kind == "exit":
        return None, _platform_error(
            delivery, "Runtime.ExitError", f"Runtime exited with error: {word.body.decode()}"
        )
    return None, json.loads(word.body)


def _platform_error(delivery: _Delivery, kind: str, message: str) -> dict[str, Any]:
    text = f"RequestId: {delivery.request_id} Error: {message}"
    return {"errorType": kind, "errorMessage": text}


def read_peak_mb(pid: int) -> float:
    """Return a process's peak memory in MB; 0 if the machine does not report it."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0.0


def _lambda_environment(task_root: Path, handler: str, api: str) -> dict[str, str]:
    return {
        "AWS_LAMBDA_RUNTIME_API": api,
        "_HANDLER": handler,
        "LAMBDA_TASK_ROOT": str(task_root),
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_FUNCTION_NAME": FUNCTION_NAME,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{FUNCTION_NAME}",
        "AWS_LAMBDA_LOG_STREAM_NAME": "2026/11/22/[$LATEST]0123456789abcdef",
        "AWS_LAMBDA_LOG_FORMAT": "JSON",
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_SESSION_TOKEN": "testing",
        "AWS_EC2_METADATA_DISABLED": "true",
        "PATH": os.defpath,
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
    }
