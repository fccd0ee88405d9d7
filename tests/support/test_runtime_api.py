"""The runtime of the end-to-end tests, driven with handlers of a few lines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.runtime_api import Runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest.importorskip("awslambdaric", reason="awslambdaric is not installed")

_FUNCTION = """
import os, time

count = 0


class TooMuch(Exception):
    pass


def handler(event, context):
    global count
    count += 1
    if event.get("raise"):
        raise TooMuch(event["raise"])
    if event.get("exit"):
        os._exit(event["exit"])
    if event.get("take_mb"):
        taken = b"x" * (event["take_mb"] << 20)
        time.sleep(30)
    if event.get("sleep"):
        time.sleep(event["sleep"])
    print("said", event.get("say"))
    return {
        "count": count,
        "remaining_ms": context.get_remaining_time_in_millis(),
        "name": context.function_name,
        "folder": os.getcwd(),
        "root": os.environ["LAMBDA_TASK_ROOT"],
        "home": os.environ.get("HOME"),
        "extra": os.environ.get("EXTRA"),
    }
"""


@pytest.fixture
def task_root(tmp_path: Path) -> Path:
    """Give a folder with a handler."""
    (tmp_path / "function.py").write_text(_FUNCTION)
    return tmp_path


@pytest.fixture
def runtime(task_root: Path) -> Iterator[Runtime]:
    """Give a runtime of that handler."""
    with Runtime(task_root, "function.handler", {"EXTRA": "given"}) as started:
        yield started


def test_invocation_gets_the_environment_of_lambda(runtime: Runtime, task_root: Path) -> None:
    """The handler gets Lambda's variables and the given ones, and none of the caller's."""
    result = runtime.invoke({}).result

    assert str(task_root) == result["folder"] == result["root"]
    assert (result["extra"], result["home"]) == ("given", None)
    assert 0 < result["remaining_ms"] <= 120_000


def test_second_invocation_is_warm(runtime: Runtime) -> None:
    """One process serves several invocations."""
    first, second = runtime.invoke({"say": "one"}), runtime.invoke({"say": "two"})

    assert [(i.is_cold, i.result["count"]) for i in (first, second)] == [(True, 1), (False, 2)]
    assert (first.logs, second.logs) == ("said one\n", "said two\n")


def test_raising_handler_returns_its_class_and_message(runtime: Runtime) -> None:
    """An exception becomes an error object, and the process stays alive."""
    invocation = runtime.invoke({"raise": "too much"})

    assert invocation.error is not None
    assert invocation.error["errorType"] == "TooMuch"
    assert invocation.error["errorMessage"] == "too much"
    assert runtime.invoke({}).result["count"] == 2


def test_handler_over_its_time_is_killed(runtime: Runtime) -> None:
    """A handler that exceeds its time is killed, and the next invocation is a cold start."""
    invocation = runtime.invoke({"sleep": 30}, timeout_seconds=0.3)

    assert invocation.timed_out
    assert invocation.error is not None
    assert invocation.error["errorType"] == "Sandbox.Timedout"
    assert runtime.invoke({}).is_cold


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="the system does not report memory"
)
def test_handler_over_its_memory_is_killed(task_root: Path) -> None:
    """A handler that exceeds its memory is killed without a message, and the next start is cold."""
    with Runtime(task_root, "function.handler", memory_mb=64) as runtime:
        invocation = runtime.invoke({"take_mb": 100})
        again = runtime.invoke({})

    assert invocation.error is not None
    assert invocation.error["errorType"] == "Runtime.ExitError"
    assert invocation.error["errorMessage"].endswith("Runtime exited with error: signal: killed")
    assert not invocation.timed_out
    assert again.is_cold


def test_start_can_be_had_before_the_first_event(runtime: Runtime) -> None:
    """A start before the first event imports the handler once."""
    assert runtime.start() > 0
    pid = runtime.pid

    assert runtime.invoke({}).is_cold
    assert pid == runtime.pid


def test_process_that_ends_is_an_exit_error(runtime: Runtime) -> None:
    """A process that exits is reported as an exit error, not as an exception."""
    invocation = runtime.invoke({"exit": 3})

    assert invocation.error is not None
    assert invocation.error["errorType"] == "Runtime.ExitError"
    assert invocation.error["errorMessage"].endswith("Runtime exited with error: exit status 3")
    assert runtime.invoke({}).is_cold


def test_handler_that_does_not_import_is_an_init_error(task_root: Path) -> None:
    """A handler that cannot be imported is reported with the exception's class."""
    (task_root / "broken.py").write_text("import nowhere\n")
    with Runtime(task_root, "broken.handler") as runtime:
        invocation = runtime.invoke({})

    assert invocation.error is not None
    assert invocation.error["errorType"] == "Runtime.ImportModuleError"
    assert "nowhere" in invocation.error["errorMessage"]
