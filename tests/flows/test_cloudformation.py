"""What only CloudFormation has: timeouts of its own, requests that overtake each other, and frameworks.

The contract of all callers that wait for an answer is in `test_awaiting`.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from tests.flows.awaiting import CloudFormation
from tests.support.cloudformation import Bucket
from tests.support.hurry import LEFT_MS, LIVES_MS, SLEEPS, count_runs
from tests.support.lambda_context import LambdaContext, ManualClock
from tests.support.waiting import Background, Gate, is_asleep, wait_until

from lockgate.awslambda import app
from lockgate.errors import RunIncomplete, UnexpectedFailure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.flows.conftest import Function
    from tests.support.aws_api import AwsApi


@pytest.fixture
def caller(function: Function, api: AwsApi) -> Iterator[CloudFormation]:
    """Return CloudFormation with a stack whose custom resource is the function."""
    with Bucket() as bucket:
        yield CloudFormation(function, api, bucket=bucket)


def statuses(caller: CloudFormation, *events: dict[str, Any]) -> list[str]:
    """Return the statuses of the answers to these events."""
    return [heard.status for event in events for heard in caller.hear(event)]


# Another request.


@pytest.fixture
def gate(function: Function) -> Gate:
    """Return a gate at which a run with the lock waits."""
    function.project.write({"1_slow.sql": Gate.SQL})
    return Gate(function.project.database)


@pytest.mark.parametrize("change", [{"RequestId": "two"}, {"LogicalResourceId": "Other"}, {}])
def test_another_request_is_told_that_the_database_is_busy(
    function: Function, caller: CloudFormation, gate: Gate, change: dict[str, str]
) -> None:
    """The holder answers only its own event; a repeated request with another URL gets its own answer."""
    event = caller.make_event()
    other = {**event, "ResponseURL": caller.bucket.sign_url(), **change}
    first = Background.start(lambda: function.handle(event))
    gate.wait()
    function.set(LOCKGATE_LOCK_WAIT="200ms")
    answered = function.handle(other)["answered"]
    assert ("FAILED", ["FAILED"]) == (answered, statuses(caller, event, other))
    gate.open()
    assert "SUCCESS" == first.result()["answered"]
    assert ["FAILED", "SUCCESS"] == statuses(caller, other, event)


def test_report_of_a_busy_database_names_the_holders_request(
    function: Function, caller: CloudFormation, gate: Gate
) -> None:
    """The report of a refused run names the stack of the run that holds the lock."""
    event = caller.make_event()
    first = Background.start(lambda: function.handle(event))
    gate.wait()
    report = function.project.run(LOCKGATE_LOCK_WAIT="0")
    gate.open()
    first.result()
    assert report.lock is not None
    assert report.lock.holder is not None
    assert caller.find_identity(event).items() <= report.lock.holder.reference.items()


def test_delete_with_an_invented_id_while_create_runs(
    function: Function, caller: CloudFormation, gate: Gate
) -> None:
    """Delete answers immediately and changes nothing while Create still runs."""
    event = caller.make_event()
    deletion = caller.make_event(RequestType="Delete", PhysicalResourceId="shop-Migration-1ABC")
    create = Background.start(lambda: function.handle(event))
    gate.wait()
    answered = function.handle(deletion)["answered"]
    assert (False, 1) == (create.is_over, len(caller.sent))
    gate.open()
    assert ("SUCCESS", "SUCCESS") == (answered, create.result()["answered"])
    assert [("1", "applied")] == function.project.history()


def test_rollback_that_overtakes_the_failed_update(
    function: Function, caller: CloudFormation
) -> None:
    """A rollback Update waits until the failed Update has been cancelled, and then runs."""
    project = function.project
    project.write({"1_t.sql": "CREATE TABLE t ();"})
    function.handle(caller.make_event())
    project.write({"2_endless.sql": SLEEPS})

    def refuse(_arn: str, _event: object) -> None:
        raise RunIncomplete("The run is not done, and the function cannot be invoked: denied.")

    function.patch.setattr(app, "invoke_again", refuse)
    failing, back = (
        caller.make_event(RequestType="Update", PhysicalResourceId="x") for _ in range(2)
    )
    contexts = [LambdaContext(deadline_ms=LIVES_MS) for _ in range(2)]
    update = Background.start(lambda: function.handle(failing, contexts[0]))
    wait_until(lambda: is_asleep(project.database), "an update that sleeps")
    project.remove("2_endless.sql")
    project.write({"3_back.sql": "SELECT 3;"})
    rollback = Background.start(lambda: function.handle(back, contexts[1]))
    wait_until(lambda: count_runs(project) == len(contexts), "a second run")
    contexts[0].clock.advance(LIVES_MS - LEFT_MS)
    assert "SUCCESS" == rollback.result()["answered"]
    assert "FAILED" == update.result()["answered"]
    assert [("1", "applied"), ("3", "applied")] == project.history()
    assert project.lock_owner() is None


# Deadlines.


def test_emergency_answer_follows_the_reserve_setting(
    function: Function, caller: CloudFormation
) -> None:
    """The emergency answer is scheduled after the run must have stopped."""
    intervals: list[float] = []

    class Timer(threading.Timer):
        def __init__(self, interval: float, function: Callable[[], None]) -> None:
            intervals.append(interval)
            super().__init__(interval, function)

    function.patch.setattr(threading, "Timer", Timer)
    function.set(LOCKGATE_RESERVE="200ms")
    function.project.write({"1_t.sql": "CREATE TABLE t ();"})
    event = caller.make_event()
    function.handle(event, LambdaContext(deadline_ms=12_000))
    assert [pytest.approx(11.94)] == intervals
    assert ["SUCCESS"] == statuses(caller, event)


def test_time_runs_from_when_cloudformation_signed_the_url(
    function: Function, caller: CloudFormation
) -> None:
    """An event that Lambda redelivers after a kill is answered before CloudFormation's timeout."""
    function.project.write({"1_endless.sql": "SELECT pg_sleep(100);"})
    signed_at, passed = datetime(2026, 11, 22, tzinfo=UTC), [920.0]
    function.patch.setattr(app, "_now", lambda: signed_at.timestamp() + passed[0])
    event = caller.make_event(ResourceProperties={"ServiceTimeout": "1000"})
    event["ResponseURL"] += f"&X-Amz-Date={signed_at:%Y%m%dT%H%M%SZ}"
    delivery = Background.start(lambda: function.handle(event))
    wait_until(lambda: is_asleep(function.project.database), "a statement that sleeps")
    passed[0] = 985.0
    assert "FAILED" == delivery.result()["answered"]
    assert ["FAILED"] == statuses(caller, event)


def test_run_past_the_service_timeout_is_answered_in_time(
    function: Function, caller: CloudFormation
) -> None:
    """A ServiceTimeout shorter than the invocation is the deadline."""
    function.project.write({"1_endless.sql": SLEEPS})
    clock = ManualClock()
    function.patch.setattr(app, "_now", lambda: clock.now_ms / 1000)
    event = caller.make_event(ResourceProperties={"CodeVersion": "1", "ServiceTimeout": "80"})
    caller.handler = lambda event, _: function.handle_passing(event, clock, 80_000 - LEFT_MS)
    assert ("FAILED", 0) == (caller.follow(event).status, caller.further)
    assert function.project.lock_owner() is None


# A framework that answers itself.


def test_defect_is_readable_through_a_framework(function: Function, caller: CloudFormation) -> None:
    """In return mode, the reason that the framework shows is a readable sentence."""

    def fail(*_: object) -> None:
        raise RuntimeError("hush")

    function.set(LOCKGATE_CFN_RESPONSE="return")
    function.patch.setattr(app, "read_settings", fail)
    with pytest.raises(UnexpectedFailure, match=r"^An unexpected RuntimeError") as caught:
        function.handle(caller.make_event())
    assert "hush" not in str(caught.value)
