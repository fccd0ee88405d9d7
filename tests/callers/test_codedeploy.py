"""A hook's event contains the ids for the answer, and requests an up."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.callers.conftest import NOW_SECONDS

from lockgate.awslambda.callers.codedeploy import HOOK_SECONDS, open_hook
from lockgate.awslambda.callers.event_continuation import add_continuation
from lockgate.core.continuation import Continuation
from lockgate.core.request import Action, Caller, Request
from lockgate.errors import LockgateError, RequestInvalid
from lockgate.report.report import Report, Status
from lockgate.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from lockgate.awslambda.callers.awaiting import Invocation

    ReadEvent = Callable[[str], dict[str, Any]]


@pytest.fixture
def alone(invocation: Invocation) -> Invocation:
    """Return an invocation without an AWS client."""
    return replace(invocation, clients=lambda _service, _region: None)


def test_hook_asks_for_an_up(read_event: ReadEvent, alone: Invocation) -> None:
    """The reference contains the deployment and a digest of the hook's id."""
    hook = open_hook(read_event("codedeploy"), alone)
    request = hook.read_request(Settings())
    reference = request.caller.reference
    assert Request(Action.UP, Caller("codedeploy", reference)) == request
    assert ("d-ABCDEF123", 16) == (reference["deployment_id"], len(reference["hook_digest"]))
    assert Continuation(0, NOW_SECONDS, HOOK_SECONDS) == hook.continuation


def test_hook_goes_on_with_its_count_and_time(read_event: ReadEvent, alone: Invocation) -> None:
    """The continuation in the event is read back and belongs to the same hook."""
    first = open_hook(read_event("codedeploy"), alone)
    following = replace(first.continuation.next(), began_at=NOW_SECONDS - 900)
    second = open_hook(add_continuation(read_event("codedeploy"), following), alone)
    assert following == second.continuation
    assert first.reference == second.reference
    assert "1" == second.read_request(Settings()).caller.reference["hop"]


@pytest.mark.parametrize(
    "carried",
    [
        *(None, {}, [], "x", {"hop": 1}, {"hop": 0, "began_at": 1.0}, {"hop": -1, "began_at": 1.0}),
        *(
            {"hop": True, "began_at": 1.0},
            {"hop": "1", "began_at": 1.0},
            {"hop": 1, "began_at": "1"},
        ),
    ],
)
def test_carried_nonsense_is_none(
    read_event: ReadEvent, alone: Invocation, carried: object
) -> None:
    """A continuation that Lockgate did not write is ignored."""
    event = {**read_event("codedeploy"), "LockgateContinuation": carried}
    assert Continuation(0, NOW_SECONDS, HOOK_SECONDS) == open_hook(event, alone).continuation


@pytest.mark.parametrize("began_at", [float("nan"), float("inf"), -5, 1e300, 10**400, 9e9])
def test_carried_time_is_never_in_the_future(
    read_event: ReadEvent, alone: Invocation, began_at: float
) -> None:
    """A forged start time does not give a hook more time."""
    carried = {"hop": 2, "began_at": began_at}
    event = {**read_event("codedeploy"), "LockgateContinuation": carried}
    assert Continuation(2, NOW_SECONDS, HOOK_SECONDS) == open_hook(event, alone).continuation


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Report(Status.APPLIED, Action.UP, "run-1"), "Succeeded"),
        (Report(Status.UP_TO_DATE, Action.UP, "run-1"), "Succeeded"),
        (Report(Status.ROLLED_BACK, Action.UP, "run-1"), "Succeeded"),
        (Report(Status.FAILED, Action.UP, "run-1"), "Failed"),
        (Report(Status.INCOMPLETE, Action.UP, "run-1"), "Failed"),
        (Report(Status.BUSY, Action.UP, "run-1"), "Failed"),
        (Report(Status.REFUSED, Action.UP, "run-1"), "Failed"),
        (LockgateError("x"), "Failed"),
    ],
)
def test_outcome_has_one_of_two_words(
    read_event: ReadEvent, alone: Invocation, outcome: Report | LockgateError, expected: str
) -> None:
    """CodeDeploy accepts only Succeeded and Failed."""
    assert expected == open_hook(read_event("codedeploy"), alone).make_answer(outcome).status


@pytest.mark.parametrize("name", ["DeploymentId", "LifecycleEventHookExecutionId"])
@pytest.mark.parametrize("value", [None, "", 7, ["hush"], "hush\0", "hush" * 2_000])
def test_hook_without_an_id_is_refused(
    read_event: ReadEvent, alone: Invocation, name: str, value: object
) -> None:
    """Without its ids a hook cannot be answered, and the message shows nothing of the event."""
    with pytest.raises(RequestInvalid, match=f"The event's {name} is missing") as caught:
        open_hook({**read_event("codedeploy"), name: value}, alone)
    assert "hush" not in f"{caught.value} {caught.value.hint} {caught.value.fields}"


def test_up_that_is_not_allowed_is_refused(read_event: ReadEvent, alone: Invocation) -> None:
    """A function that does not allow up refuses a deployment's request to migrate."""
    hook = open_hook(read_event("codedeploy"), alone)
    with pytest.raises(RequestInvalid, match='The action "up" is not allowed on this function'):
        hook.read_request(Settings(allowed_actions=("status",)))
