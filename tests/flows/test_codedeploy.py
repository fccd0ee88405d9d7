"""A deployment's hook: CodeDeploy gets Succeeded or Failed once, and the log has the reason."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.aws_api import Deployment, Refusal
from tests.support.hurry import LEFT_MS, LIVES_MS, SLEEPS, count_runs
from tests.support.lambda_context import LambdaContext, ManualClock
from tests.support.waiting import Background, Gate, wait_until

from lockgate.awslambda import app
from lockgate.awslambda.callers.codedeploy import HOOK_SECONDS
from lockgate.awslambda.callers.event_continuation import add_continuation
from lockgate.core.continuation import MOST_HOPS, Continuation
from lockgate.errors import UnexpectedFailure

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.flows.conftest import Function
    from tests.support.aws_api import AwsApi

# Messages to callers do not depend on the server.
pytestmark = pytest.mark.one_major

ACCOUNT = "CREATE TABLE account (id int PRIMARY KEY);\n"
BROKEN = "ALTER TABLE account ADD COLUMN id int;\n"
HANGS = """
import pathlib
import time


def up(connection):
    pathlib.Path({begun!r}).touch()
    while not pathlib.Path({mark!r}).exists():
        time.sleep(0.01)
    connection.exec_driver_sql("CREATE TABLE never (id int)")
"""


@pytest.fixture
def deployment(function: Function, api: AwsApi) -> Deployment:
    """Return a deployment whose hook is the function, with one migration."""
    function.project.write({"1_account.sql": ACCOUNT})
    return Deployment(api, function.handle)


def test_hook_migrates_and_succeeds(function: Function, deployment: Deployment) -> None:
    """The run is recorded with its deployment, and with a digest instead of the hook's id."""
    assert "Succeeded" == deployment.run_hook()
    assert [("1", "applied")] == function.project.history()
    ((caller, reference, *rest),) = function.recorded()
    assert ("codedeploy", "d-ABCDEF123", [None, None]) == (
        caller,
        reference["deployment_id"],
        rest,
    )
    assert {"deployment_id", "hook_digest"} == reference.keys()
    assert "Succeeded" == deployment.run_hook()
    assert ["applied"] == function.project.runs()


def test_failing_migration_fails_the_hook(function: Function, deployment: Deployment) -> None:
    """The status has no room for a reason, so the log has it, and the failure is counted."""
    function.project.write({"2_broken.sql": BROKEN})
    assert "Failed" == deployment.run_hook()
    lines = [json.loads(line) for line in function.log_stream.getvalue().splitlines()]
    (failed,) = (line for line in lines if line["message"] == "run_failed")
    assert ("failed", "migration-failed") == (failed["status"], failed["error_code"])
    assert "2_broken.sql:1:1. " in failed["error"]
    assert (
        "The failed migration was rolled back. Applied before it by this run, and still there: 1."
        in failed["error"]
    )
    assert [1] == function.failures_measured()


@pytest.mark.parametrize(
    "variables",
    [
        {"LOCKGATE_TLS": "perhaps"},
        {"LOCKGATE_ALLOWED_ACTIONS": "status,down"},
        {"LOCKGATE_DATABASE_URL": "postgresql://u:hush@127.0.0.1:1/x"},
    ],
)
def test_function_that_cannot_work_fails_the_hook(
    function: Function, deployment: Deployment, variables: dict[str, str]
) -> None:
    """A problem with settings, permissions or database fails the deployment."""
    function.set(**variables)
    assert "Failed" == deployment.run_hook()
    assert function.project.database.run("SELECT to_regclass('account')") == [[None]]


@pytest.mark.usefixtures("no_pauses")
def test_status_is_sent_until_it_is_taken(deployment: Deployment, api: AwsApi) -> None:
    """The status is sent again after throttling, server errors and broken connections."""
    for refusal in (Refusal.THROTTLED, Refusal.BROKEN, Refusal.RESET):
        api.fail_next(1, refusal)
    assert "Succeeded" == deployment.run_hook()
    assert 4 == len(api.calls)


def test_function_that_may_not_answer_says_what_it_lacks(
    function: Function, deployment: Deployment, api: AwsApi
) -> None:
    """A missing permission is not retried, and the error names it."""
    api.fail_next(1, Refusal.DENIED)
    with pytest.raises(UnexpectedFailure, match="CodeDeploy cannot be sent the outcome") as caught:
        function.handle(deployment.make_event())
    hint = str(caught.value.hint)
    assert hint.startswith("Allow codedeploy:PutLifecycleEventHookExecutionStatus in the role's")


def test_ids_of_the_event_are_not_written(function: Function, deployment: Deployment) -> None:
    """The hook execution id, which authorises an answer, is in no log and not in the database."""
    function.project.write({"2_broken.sql": BROKEN})
    deployment.run_hook()
    stored = function.project.database.run("SELECT r::text FROM lockgate.migration_run AS r")
    assert "d-ABCDEF123" in str(stored)
    assert "hush" not in f"{function.read_output()} {stored}"


def test_run_longer_than_an_invocation_goes_on_in_further_ones(
    function: Function, deployment: Deployment
) -> None:
    """The function invokes itself with the same event; CodeDeploy gets one answer, at the end."""
    project = function.project
    slow = {1: "2_b.sql", 2: "4_d.sql"}
    project.write({"3_c.sql": "SELECT 3;", **dict.fromkeys(slow.values(), SLEEPS)})
    deployment.handler = function.handle_hurried
    deployment.on_hop = lambda hop: project.write({slow[hop]: "SELECT 1;"})
    assert "Succeeded" == deployment.run_hook()
    assert [(str(n), "applied") for n in range(1, 5)] == project.history()
    references = [row[1] for row in function.recorded()]
    assert [None, "1", "2"] == [reference.get("hop") for reference in references]
    assert 1 == len({reference["hook_digest"] for reference in references})
    assert [0, 0, 0] == function.failures_measured()


def test_run_that_never_ends_fails_after_the_last_hop(
    function: Function, deployment: Deployment
) -> None:
    """A statement longer than any invocation ends in Failed after a limited number of hops."""
    function.project.write({"2_endless.sql": SLEEPS})
    deployment.handler = function.handle_hurried
    event = deployment.make_event()
    last_but_one = Continuation(MOST_HOPS - 1, time.time(), HOOK_SECONDS)
    deployment.deliver(add_continuation(event, last_but_one))
    assert (1, "Failed") == (deployment.hops, deployment.read_status(event))
    assert function.project.lock_owner() is None


def test_run_that_would_outlast_the_hook_is_not_continued(
    function: Function, deployment: Deployment
) -> None:
    """A run that cannot finish within CodeDeploy's hour fails while CodeDeploy still waits."""
    clock, passing = ManualClock(), [LIVES_MS - LEFT_MS, 50_000]
    function.patch.setattr(app, "_now", lambda: 1_790_000_000 + clock.now_ms / 1_000)
    function.project.write({"2_endless.sql": SLEEPS})
    deployment.handler = lambda event, _: function.handle_passing(event, clock, passing.pop(0))
    deployment.on_hop = lambda _: clock.advance(HOOK_SECONDS * 1_000 - 60_000 - clock.now_ms)
    assert ("Failed", 1) == (deployment.run_hook(), deployment.hops)


def test_hook_delivered_twice_at_once_does_the_work_once(
    function: Function, deployment: Deployment, api: AwsApi
) -> None:
    """The second delivery waits, finds the work done, and learns that the hook was answered."""
    gate = Gate(function.project.database)
    function.project.write({"2_once.sql": f"{Gate.SQL}INSERT INTO account VALUES (1);"})
    event = deployment.make_event()
    deliveries = [Background.start(lambda: function.handle(event)) for _ in range(2)]
    gate.wait()
    wait_until(lambda: count_runs(function.project) == len(deliveries), "a second run")
    gate.open()
    answered = sorted(one.result()["answered"] for one in deliveries)
    assert ["Succeeded", "nobody"] == answered
    assert 1 == len(api.heard())
    assert [[1]] == function.project.database.run("SELECT count(*) FROM account")


def test_second_delivery_leaves_the_answer_to_the_first(
    function: Function, deployment: Deployment, api: AwsApi
) -> None:
    """While the first delivery runs, the second one sends no answer to CodeDeploy."""
    gate = Gate(function.project.database)
    function.project.write({"2_slow.sql": Gate.SQL})
    event = deployment.make_event()
    first = Background.start(lambda: function.handle(event))
    gate.wait()
    function.set(LOCKGATE_LOCK_WAIT="100ms")
    second = function.handle(event)
    other = function.handle(deployment.make_event())
    gate.open()
    assert first.result()["run_id"] == second["left_to"]
    assert "Failed" == other["answered"]
    assert ["Failed", "Succeeded"] == [heard["status"] for heard in api.heard()]


def test_answer_comes_in_time_though_python_hangs(
    function: Function, deployment: Deployment, api: AwsApi, tmp_path: Path
) -> None:
    """If a Python migration hangs, a second thread answers in time and the migration never commits."""
    begun, mark = tmp_path / "begun", tmp_path / "mark"
    function.project.write({"2_hangs.py": HANGS.format(begun=str(begun), mark=str(mark))})
    context = LambdaContext(deadline_ms=60_000)
    make_timer = threading.Timer

    def make_hurried(seconds: float, answer: Callable[[], None]) -> threading.Timer:
        def run() -> None:
            try:
                wait_until(begun.exists, "a migration that hangs")
                context.clock.advance(round(seconds * 1_000))
                answer()
                wait_until(lambda: not count_runs(function.project), "the end of the session")
            finally:
                mark.touch()

        return make_timer(0, run)

    function.patch.setattr(threading, "Timer", make_hurried)
    deployment.make_context = lambda: context
    assert "Failed" == deployment.run_hook()
    assert 1 == len(api.calls)
    assert [("1", "applied")] == function.project.history()


@pytest.mark.parametrize("name", ["read_settings", "_yield_answer"])
def test_defect_anywhere_is_answered(function: Function, deployment: Deployment, name: str) -> None:
    """A defect anywhere between reading the settings and the last decision is answered."""

    def fail(*_: object, **__: object) -> Any:
        raise RuntimeError("hush")

    function.patch.setattr(app, name, fail)
    assert "Failed" == deployment.run_hook()
    assert "hush" not in function.read_output()
