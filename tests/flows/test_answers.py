"""CloudFormation gets exactly one answer, from the run that did the work, in every case.

An event may be delivered twice, time may be short, and the code may have a defect: the answer must
be true and must always be sent.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pg8000.native
import pytest
from tests.support.cloudformation import Bucket
from tests.support.lambda_context import LambdaContext
from tests.support.waiting import Background, is_asleep, wait_until

from lockgate import entry
from lockgate.awslambda import app, load
from lockgate.errors import LockgateError, UnexpectedFailure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.project import Project

Event = dict[str, Any]

HANDLER = Path(__file__).parents[2] / "handler"
URL = "http://127.0.0.1:1/x?X-Amz-Signature=hush"
# Holds the lock until a file exists.
HOLDS = """
import pathlib
import time


def up(connection):
    while not pathlib.Path({mark!r}).exists():
        time.sleep(0.01)
"""
RAISES = """
def up(connection):
    raise {error}("hush")
"""


def make_event(url: str, **more: Any) -> Event:
    """Return a Create event as delivered."""
    return {
        "RequestType": "Create",
        "ResponseURL": url,
        "StackId": "arn:aws:cloudformation:eu-west-1:123456789012:stack/shop/1",
        "RequestId": "one",
        "LogicalResourceId": "Migration",
        "ResourceProperties": {"CodeVersion": "1"},
        **more,
    }


def handle(event: Event, **context: Any) -> Any:
    """Call the handler as Lambda does."""
    handler: Any = app.lambda_handler
    return handler(event, LambdaContext(**context))


def read_puts(bucket: Bucket) -> list[dict[str, Any]]:
    """Return the answers to CloudFormation, in order."""
    return [json.loads(put.body) for put in bucket.puts]


def statuses(bucket: Bucket) -> list[str]:
    """Return the statuses sent to CloudFormation, in order."""
    return [put["Status"] for put in read_puts(bucket)]


def failures_measured(capfd: pytest.CaptureFixture[str]) -> list[float]:
    """Return RunFailed of each invocation, as CloudWatch reads it."""
    lines = capfd.readouterr().out.splitlines()
    return [json.loads(line)["RunFailed"][0] for line in lines if '"_aws"' in line]


@pytest.fixture
def environment(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Return a project whose settings are in the process environment."""
    settings = {
        **project.database.environment,
        "LOCKGATE_MIGRATIONS": str(project.folder),
        "LOCKGATE_CFN_LOOPBACK": "true",
        "LOCKGATE_LOCK_WAIT": "200ms",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return project


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    """Return the server behind the signed URL."""
    with Bucket() as running:
        yield running


class Working:
    """A first delivery that holds the lock until released."""

    def __init__(self, project: Project, event: Event, mark: Path) -> None:
        self._project = project
        self._event = event
        self._mark = mark
        self._running: Background | None = None
        self.result: Any = None

    def __enter__(self) -> Self:
        self._project.write({"1_holds.py": HOLDS.format(mark=str(self._mark))})
        self._running = Background.start(lambda: handle(self._event))
        wait_until(self._holds_the_lock, "a first delivery that holds the lock")
        return self

    def __exit__(self, *_: object) -> None:
        self._mark.touch()
        assert self._running is not None
        self.result = self._running.result()

    def _holds_the_lock(self) -> bool:
        # Before the first run the table does not exist.
        with contextlib.suppress(pg8000.native.DatabaseError):
            return self._project.lock_owner() is not None
        return False


@pytest.fixture
def work(environment: Project, tmp_path: Path) -> Callable[[Event], Working]:
    """Return a factory of first deliveries that hold the lock."""
    return lambda event: Working(environment, event, tmp_path / "mark")


# Delivered twice.


def test_second_delivery_leaves_the_answer_to_the_first(
    work: Callable[[Event], Working], bucket: Bucket, capfd: pytest.CaptureFixture[str]
) -> None:
    """While the first delivery runs, the second one sends no answer and counts no failure."""
    event = make_event(bucket.sign_url())
    with work(event) as first:
        second = handle(event)
        assert [] == bucket.puts
    assert ["SUCCESS"] == statuses(bucket)
    assert "SUCCESS" == first.result["answered"]
    assert first.result["run_id"] == second["left_to"]
    assert [0, 0] == failures_measured(capfd)


@pytest.mark.parametrize("change", [{"RequestId": "two"}, {"LogicalResourceId": "Other"}, {}])
def test_another_request_hears_that_the_database_is_busy(
    work: Callable[[Event], Working], bucket: Bucket, change: dict[str, str]
) -> None:
    """The holder answers only its own event; a repeated request with another URL gets its own answer."""
    with work(make_event(bucket.sign_url())):
        other = handle(make_event(bucket.sign_url(), **change))
        assert ["FAILED"] == statuses(bucket)
    assert "FAILED" == other["answered"]
    assert ["FAILED", "SUCCESS"] == statuses(bucket)


def test_report_of_a_busy_database_names_the_holders_request(
    work: Callable[[Event], Working], environment: Project, bucket: Bucket
) -> None:
    """The report of a refused run names the stack of the run that holds the lock."""
    event = make_event(bucket.sign_url())
    with work(event):
        report = environment.run(LOCKGATE_LOCK_WAIT="0")
    assert report.lock is not None
    assert report.lock.holder is not None
    reference = report.lock.holder.reference
    assert (event["StackId"], "one") == (reference["stack_id"], reference["request_id"])


# Deadlines.


def test_emergency_comes_by_the_reserve_that_was_set(
    environment: Project, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The emergency answer is scheduled after the run must have stopped."""
    intervals: list[float] = []

    class Timer(threading.Timer):
        def __init__(self, interval: float, function: Callable[[], None]) -> None:
            intervals.append(interval)
            super().__init__(interval, function)

    monkeypatch.setattr(threading, "Timer", Timer)
    monkeypatch.setenv("LOCKGATE_RESERVE", "200ms")
    environment.write({"1_t.sql": "CREATE TABLE t ();"})
    handle(make_event(bucket.sign_url()), deadline_ms=12_000)
    assert [pytest.approx(11.94)] == intervals
    assert ["SUCCESS"] == statuses(bucket)


def test_time_runs_from_when_cloudformation_signed_the_url(
    environment: Project, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event that Lambda redelivers after a kill is answered before CloudFormation's timeout."""
    environment.write({"1_endless.sql": "SELECT pg_sleep(100);"})
    signed_at, passed = datetime(2026, 11, 22, tzinfo=UTC), [920.0]
    monkeypatch.setattr(app, "_now", lambda: signed_at.timestamp() + passed[0])
    url = f"{bucket.sign_url()}&X-Amz-Date={signed_at:%Y%m%dT%H%M%SZ}"
    event = make_event(url, ResourceProperties={"ServiceTimeout": "1000"})
    delivery = Background.start(lambda: handle(event))
    wait_until(lambda: is_asleep(environment.database), "a statement that sleeps")
    passed[0] = 985.0
    assert "FAILED" == delivery.result()["answered"]
    assert ["FAILED"] == statuses(bucket)


# Failures of the function.


def break_with(error: BaseException) -> Callable[..., Any]:
    """Return a function that raises the error."""

    def fail(*_: object, **__: object) -> Any:
        raise error

    return fail


@pytest.mark.parametrize(
    "name", ["read_settings", "make_runner", "_make_deadline", "_yield_answer"]
)
def test_defect_anywhere_is_answered(
    environment: Project, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A defect anywhere between reading the settings and the last decision is answered."""
    environment.write({"1_t.sql": "CREATE TABLE t ();"})
    monkeypatch.setattr(app, name, break_with(RuntimeError("hush")))
    handle(make_event(bucket.sign_url()))
    (put,) = read_puts(bucket)
    assert put["Reason"].startswith("An unexpected RuntimeError ended the run.")
    assert "hush" not in put["Reason"]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_interruption_is_answered_and_goes_on(
    environment: Project,
    bucket: Bucket,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[BaseException],
) -> None:
    """An interruption ends the process, but only after the answer."""
    environment.write({"1_t.sql": "CREATE TABLE t ();"})
    monkeypatch.setattr(app, "make_runner", break_with(kind("hush")))
    with pytest.raises(kind):
        handle(make_event(bucket.sign_url()))
    assert ["FAILED"] == statuses(bucket)
    assert f"An unexpected {kind.__name__} ended the run." in read_puts(bucket)[0]["Reason"]


@pytest.mark.parametrize("error", ["KeyboardInterrupt", "SystemExit", "GeneratorExit"])
def test_migration_that_ends_the_process_is_answered(
    environment: Project, bucket: Bucket, error: str
) -> None:
    """If a Python migration raises an interruption, the stack is answered and the lock is free."""
    environment.write({"1_raises.py": RAISES.format(error=error)})
    with contextlib.suppress(KeyboardInterrupt, SystemExit, GeneratorExit):
        handle(make_event(bucket.sign_url()))
    assert ["FAILED"] == statuses(bucket)
    environment.remove("1_raises.py")
    environment.write({"1_t.sql": "CREATE TABLE t ();"})
    assert "applied" == environment.run(LOCKGATE_LOCK_WAIT="5s").status


def test_run_is_not_failed_by_its_metrics(
    environment: Project, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure of the metrics does not turn an applied run into a failed one."""
    environment.write({"1_t.sql": "CREATE TABLE t ();"})
    monkeypatch.setattr(app.metrics, "flush_metrics", break_with(RuntimeError("hush")))
    handle(make_event(bucket.sign_url()))
    assert ["SUCCESS"] == statuses(bucket)
    app.metrics.clear_metrics()


def test_defect_is_readable_behind_a_framework(
    environment: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In return mode, the reason that the framework shows is a readable sentence."""
    environment.write({"1_t.sql": "CREATE TABLE t ();"})
    monkeypatch.setenv("LOCKGATE_CFN_RESPONSE", "return")
    monkeypatch.setattr(app, "read_settings", break_with(RuntimeError("hush")))
    with pytest.raises(UnexpectedFailure, match=r"^An unexpected RuntimeError") as caught:
        handle(make_event(URL))
    assert "hush" not in str(caught.value)


# A package that cannot be imported.


def test_function_without_its_package_answers(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Create is answered with the reason, and Delete succeeds, so the stack can be rolled back."""
    monkeypatch.setenv("LOCKGATE_CFN_LOOPBACK", "true")
    substitute = load.make_substitute(ModuleNotFoundError("No module named 'pg8000'"))
    context = LambdaContext()
    substitute(make_event(bucket.sign_url()), context)
    substitute(make_event(bucket.sign_url(), RequestType="Delete", PhysicalResourceId="x"), context)
    created, deleted = read_puts(bucket)
    assert (
        "The function's package cannot be imported. ModuleNotFoundError: No module named"
        " 'pg8000'. Nothing was changed. Build the package with sam build, for the function's own"
        " runtime and architecture, and deploy it."
    ) == created["Reason"]
    assert ("SUCCESS", "x") == (deleted["Status"], deleted["PhysicalResourceId"])


def test_function_without_its_package_is_counted_where_the_alarm_looks(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An answered event is not a function error, so the metric has to count it."""
    monkeypatch.setenv("LOCKGATE_CFN_LOOPBACK", "true")
    load.make_substitute(ImportError("broken"))(make_event(bucket.sign_url()), LambdaContext())
    line = json.loads(capsys.readouterr().out)
    (directive,) = line["_aws"]["CloudWatchMetrics"]

    assert {
        "Namespace": "Lockgate",
        "Dimensions": [["database", "function_name", "service"]],
        "Metrics": [{"Name": "RunFailed", "Unit": "Count"}],
    } == directive
    assert 1_000_000_000_000 < line["_aws"]["Timestamp"]
    assert ("unknown", LambdaContext().function_name, "lockgate", 1) == (
        line["database"],
        line["function_name"],
        line["service"],
        line["RunFailed"],
    )


def test_function_without_its_package_quotes_no_other_error() -> None:
    """Only the message of an import error is quoted, since it contains nothing but names."""
    substitute = load.make_substitute(ValueError("hush"))
    with pytest.raises(UnexpectedFailure) as caught:
        substitute({}, LambdaContext())
    report = json.loads(str(caught.value))
    assert ("failed", "unexpected-failure") == (report["status"], report["error"]["code"])
    assert "ValueError. Nothing was changed." in report["error"]["message"]
    assert "hush" not in str(caught.value)


def test_function_without_its_package_is_readable_behind_a_framework(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In return mode the reason is raised, and Delete returns its id."""
    monkeypatch.setenv("LOCKGATE_CFN_RESPONSE", "return")
    substitute = load.make_substitute(ImportError("broken"))
    with pytest.raises(LockgateError, match=r"^The function's package cannot be imported\."):
        substitute(make_event(URL), LambdaContext())
    deletion = make_event(URL, RequestType="Delete", PhysicalResourceId="x")
    assert {"PhysicalResourceId": "x"} == substitute(deletion, LambdaContext())


def test_entry_needs_no_library() -> None:
    """The entry can be imported without any library, and reports why the rest cannot."""
    script = (
        f"import sys; sys.path.insert(0, {str(HANDLER)!r})\n"
        "from lockgate.entry import lambda_handler\n"
        "try:\n    lambda_handler({}, None)\n"
        "except Exception as error:\n    print(type(error).__name__)\n"
    )
    # -S ignores installed packages, -I the environment.
    result = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script],
        env={"PATH": os.environ.get("PATH", os.defpath)},
        capture_output=True,
        text=True,
        check=True,
    )
    log, name = result.stdout.splitlines()
    assert "No module named 'aws_lambda_powertools'" in json.loads(log)["error"]
    assert "UnexpectedFailure" == name


def test_entry_is_the_app_where_it_can_be_imported() -> None:
    """Normally the entry point is the app's handler itself."""
    assert entry.lambda_handler is app.lambda_handler
