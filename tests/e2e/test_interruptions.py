"""Invocations that end before their work: out of time, out of memory or killed, and what follows.

Lambda's asynchronous side delivers the stack's events (`lambda_service`): it repeats an event whose
invocation failed, and accepts the events that the function sends to itself.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.claim import find_false_claim, read_contents
from tests.support.cloudformation import Bucket, Stack, StackStatus
from tests.support.function import Function, read_error
from tests.support.lambda_service import LambdaService, Limits
from tests.support.waiting import Gate

# On a busy machine the run may lose the last answers.
MAY_BE = frozenset({"unknown"})
EVENTS = Path(__file__).parents[1] / "events"

# A quarter is reserved to stop, record and answer: enough even on a busy machine.
SHORT_SECONDS = 12
SLOW = """\
-- migrate:up
select pg_sleep(100);
"""
# Hangs only the first time, so that a later run can continue. Each creates a table.
HANGS_ONCE = """\
import pathlib
import time


def up(connection):
    connection.exec_driver_sql("create table more (id bigint)")
    marker = pathlib.Path({marker!r})
    if not marker.exists():
        marker.touch()
        time.sleep(600)
"""
# Blocks all threads of the process, so none can answer in time.
HOLDS_THE_PROCESS_ONCE = """\
import ctypes
import pathlib


def up(connection):
    connection.exec_driver_sql("create table more (id bigint)")
    marker = pathlib.Path({marker!r})
    if not marker.exists():
        marker.touch()
        ctypes.PyDLL(None).sleep(600)
"""
TAKES_MEMORY = """\
import time


def up(connection):
    connection.exec_driver_sql("create table more (id bigint)")
    taken = []
    for _ in range(25):
        taken.append(b"x" * 8_000_000)
        time.sleep(0.01)
"""
TAKES_MEMORY_ONCE = """\
import pathlib
import time


def up(connection):
    connection.exec_driver_sql("create table more (id bigint)")
    marker = pathlib.Path({marker!r})
    taken = []
    while not marker.exists() or taken:
        marker.touch()
        taken.append(b"x" * 8_000_000)
        time.sleep(0.01)
"""


def test_run_after_a_killed_one_takes_its_lock_and_finishes(
    function: Function, tmp_path: Path
) -> None:
    """A repeated event after a kill does not wait for the dead run's lease."""
    marker = tmp_path / "marker"
    function.write("3_more.py", HANGS_ONCE.format(marker=str(marker)))

    with function.start() as runtime:
        # With more time than the second run has, so its lease would outlast that run.
        killed = runtime.invoke({}, told_seconds=900, kill_when=marker.exists)
        again = runtime.invoke({})

    assert killed.timed_out
    assert again.error is None
    assert (again.result["status"], again.result["to_version"]) == ("applied", "3")
    assert function.tables() == ["accounts", "more", "orders"]


def test_statement_that_outlives_the_invocation_is_cancelled(function: Function) -> None:
    """The function reports an incomplete run before its own deadline."""
    function.write("3_sleep.sql", SLOW)
    before = read_contents(function.database)

    with function.start() as runtime:
        invocation = runtime.invoke({}, told_seconds=SHORT_SECONDS / 4)

    error, report = read_error(invocation)
    assert (error["errorType"], report["status"]) == ("RunIncomplete", "incomplete")
    problem = find_false_claim(report, [before], 0, read_contents(function.database), MAY_BE)
    assert problem is None
    assert not invocation.timed_out


def test_run_continues_in_another_invocation_and_is_answered_once(
    function: Function, service: LambdaService, bucket: Bucket
) -> None:
    """Out of time, the function invokes itself with the same event, and the last invocation answers."""
    function.write("3_gate.sql", Gate.SQL)
    function.write("4_more.sql", "create table more (id bigint);\n")
    gate = Gate(function.database)
    service.limits = [Limits(told_seconds=SHORT_SECONDS)]
    service.before_next = gate.open

    with function.start() as service.runtime:
        status = Stack(service.handle, bucket).create({"CodeVersion": "1"})

    assert status == StackStatus.CREATE_COMPLETE
    assert [put.status for put in bucket.puts] == [200]
    assert service.errors == [None, None]
    assert function.runs() == ["incomplete", "applied"]
    assert function.tables() == ["accounts", "more", "orders"]


def test_run_without_permission_to_invoke_itself_is_answered_at_once(
    function: Function, service: LambdaService, bucket: Bucket
) -> None:
    """Without the permission to invoke itself, the function answers immediately."""
    function.write("3_sleep.sql", SLOW)
    service.limits = [Limits(told_seconds=SHORT_SECONDS)]
    service.is_denied = True

    with function.start() as service.runtime:
        stack = Stack(service.handle, bucket)
        status = stack.create({"CodeVersion": "1"})

    assert status == StackStatus.ROLLBACK_COMPLETE
    assert "Allow lambda:InvokeFunction in the role's policy" in stack.exchanges[0].answer.reason


def test_invocation_killed_at_its_deadline_is_repeated_and_answers(
    function: Function, service: LambdaService, bucket: Bucket, tmp_path: Path
) -> None:
    """If even the second thread cannot answer, Lambda's repeated event does the work and answers."""
    function.write("3_more.py", HOLDS_THE_PROCESS_ONCE.format(marker=str(tmp_path / "marker")))
    service.limits = [Limits(timeout_seconds=SHORT_SECONDS)]

    with function.start() as service.runtime:
        stack = Stack(service.handle, bucket)
        status = stack.create({"CodeVersion": "1"})

    assert status == StackStatus.CREATE_COMPLETE
    assert service.errors == ["Sandbox.Timedout", None]
    assert [put.status for put in bucket.puts] == [200]
    assert stack.data["ToVersion"] == "3"
    assert function.tables() == ["accounts", "more", "orders"]


def test_run_that_hangs_is_answered_before_it_is_killed(
    function: Function, bucket: Bucket, tmp_path: Path
) -> None:
    """A second thread answers CloudFormation if the run does not stop."""
    function.write("3_more.py", HANGS_ONCE.format(marker=str(tmp_path / "marker")))
    event = json.loads((EVENTS / "cloudformation_create.json").read_text())
    event["ResponseURL"] = bucket.sign_url()

    with function.start() as runtime:
        # Killed once it has answered, not at a fixed time that a slow machine would miss.
        killed = runtime.invoke(
            event, told_seconds=SHORT_SECONDS, kill_when=lambda: bool(bucket.puts)
        )

    assert killed.timed_out
    answer = json.loads(bucket.puts[0].body)
    assert answer["Status"] == "FAILED"
    assert answer["Reason"].startswith("The run did not stop in time")


def test_run_out_of_memory_is_taken_over_with_more_memory(function: Function) -> None:
    """The process dies during the run, and a function with more memory takes the lock and finishes."""
    function.write("3_more.py", TAKES_MEMORY)

    with function.start(memory_mb=128) as runtime:
        killed = runtime.invoke({}, told_seconds=900)
    left = function.tables()
    with function.start(memory_mb=512) as runtime:
        again = runtime.invoke({})

    assert killed.error is not None
    assert killed.error["errorType"] == "Runtime.ExitError"
    assert killed.error["errorMessage"].endswith("Runtime exited with error: signal: killed")
    assert "more" not in left
    assert again.error is None
    assert (again.result["status"], again.result["to_version"]) == ("applied", "3")
    assert function.tables() == ["accounts", "more", "orders"]


def test_event_whose_invocation_ran_out_of_memory_is_answered_by_its_repetition(
    function: Function, service: LambdaService, bucket: Bucket, tmp_path: Path
) -> None:
    """After an out-of-memory kill, the repeated event does the work and answers CloudFormation."""
    function.write("3_more.py", TAKES_MEMORY_ONCE.format(marker=str(tmp_path / "marker")))

    with function.start(memory_mb=256) as service.runtime:
        status = Stack(service.handle, bucket).create({"CodeVersion": "1"})

    assert status == StackStatus.CREATE_COMPLETE
    assert service.errors == ["Runtime.ExitError", None]
    assert function.tables() == ["accounts", "more", "orders"]
