"""What the callers that wait for an answer have in common: identity, time, and two words for an answer.

What only one of them has is tested in its own file.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from tests.callers.conftest import NOW_SECONDS

from lockgate.awslambda.callers.codedeploy import HOOK_SECONDS
from lockgate.awslambda.callers.detect import CallerKind, detect_caller
from lockgate.awslambda.callers.event_continuation import add_continuation
from lockgate.awslambda.callers.registry import open_awaiting
from lockgate.core.continuation import MOST_HOPS, Continuation
from lockgate.core.request import Action, Caller, Request
from lockgate.errors import LockgateError, RequestInvalid
from lockgate.report.report import HolderInfo, Report, Status
from lockgate.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from lockgate.awslambda.callers.awaiting import AwaitingCaller, Invocation

    Event = dict[str, Any]
    ReadEvent = Callable[[str], Event]
    Read = Callable[[Event], AwaitingCaller]

NOW = datetime.fromtimestamp(NOW_SECONDS, UTC)


@dataclass(frozen=True, slots=True)
class Sender:
    """One caller: a stored event, and its words for success and failure.

    ``identity`` are the fields that distinguish one event from another. Without one of them the event
    cannot be answered, and is refused with ``refusal``.
    """

    kind: CallerKind
    event: str
    success: str
    failure: str
    waits_seconds: int
    identity: tuple[str, ...]
    refusal: str

    def change(self, event: Event, name: str, value: object) -> Event:
        """Return the event with another value of a field."""
        changed = copy.deepcopy(event)
        self._find(changed)[name] = value
        return changed

    def extend(self, event: Event, name: str) -> Event:
        """Return the event with another, valid value of a field."""
        value = str(self._find(event)[name])
        last = "1" if value[-1] != "1" else "2"
        return self.change(event, name, value[:-1] + last)

    def _find(self, event: Event) -> Event:
        return event["CodePipeline.job"] if self.kind is CallerKind.CODEPIPELINE else event


CLOUDFORMATION = Sender(
    CallerKind.CLOUDFORMATION,
    "cloudformation_create",
    "SUCCESS",
    "FAILED",
    1_800,  # the ServiceTimeout in the event
    ("RequestId", "StackId", "LogicalResourceId", "ResponseURL"),
    "The event's {name} (is|contains) |does not point to CloudFormation",
)
CODEPIPELINE = Sender(
    CallerKind.CODEPIPELINE,
    "codepipeline",
    "Succeeded",
    "Failed",
    24 * 3_600,
    ("id",),
    "job has no {name}, so CodePipeline cannot be sent the outcome",
)
CODEDEPLOY = Sender(
    CallerKind.CODEDEPLOY,
    "codedeploy",
    "Succeeded",
    "Failed",
    HOOK_SECONDS,
    ("DeploymentId", "LifecycleEventHookExecutionId"),
    "The event's {name} is missing or invalid, so CodeDeploy cannot be sent the outcome",
)
SENDERS = (CLOUDFORMATION, CODEPIPELINE, CODEDEPLOY)
# They invoke the function again themselves; CodePipeline sends the next job.
HANDED_ON = (CLOUDFORMATION, CODEDEPLOY)
FIELDS = [(sender, name) for sender in SENDERS for name in sender.identity]


def name_of(sender: Sender) -> str:
    """Return the name of a caller, which selects its tests."""
    return sender.kind.value


@pytest.fixture(params=SENDERS, ids=name_of)
def sender(request: pytest.FixtureRequest) -> Sender:
    """Return each caller."""
    found: Sender = request.param
    return found


@pytest.fixture
def event(sender: Sender, read_event: ReadEvent) -> Event:
    """Return the caller's event."""
    return read_event(sender.event)


@pytest.fixture
def sent() -> list[Event]:
    """Return the events with which the function invokes itself."""
    return []


@pytest.fixture
def read(invocation: Invocation, sent: list[Event]) -> Read:
    """Return a function that reads an event, without an AWS client."""
    alone = replace(
        invocation,
        clients=lambda _service, _region: None,
        invoke_again=lambda event: sent.append(dict(event)),
    )
    return lambda event: open_awaiting(detect_caller(event), event, alone, Settings())


# The request and the answer.


def test_event_asks_for_an_up(sender: Sender, event: Event, read: Read) -> None:
    """Each caller migrates, and the request names the caller."""
    caller = read(event)
    request = caller.read_request(Settings())
    assert (sender.kind, True) == (caller.kind, caller.needs_run)
    assert Request(Action.UP, Caller(sender.kind, request.caller.reference)) == request
    assert Continuation(0, NOW_SECONDS, sender.waits_seconds) == replace(
        caller.continuation, most_hops=MOST_HOPS
    )


def test_up_that_is_not_allowed_is_refused(event: Event, read: Read) -> None:
    """A function that does not allow up refuses a caller's request to migrate."""
    with pytest.raises(RequestInvalid, match='The action "up" is not allowed on this function'):
        read(event).read_request(Settings(allowed_actions=("status",)))


@pytest.mark.parametrize(
    ("outcome", "is_success"),
    [
        (Report(Status.APPLIED, Action.UP, "run-1"), True),
        (Report(Status.UP_TO_DATE, Action.UP, "run-1"), True),
        (Report(Status.PLANNED, Action.UP, "run-1"), True),
        (Report(Status.ROLLED_BACK, Action.UP, "run-1"), True),
        (Report(Status.FAILED, Action.UP, "run-1"), False),
        (Report(Status.INCOMPLETE, Action.UP, "run-1"), False),
        (Report(Status.BUSY, Action.UP, "run-1"), False),
        (Report(Status.REFUSED, Action.UP, "run-1"), False),
        (LockgateError("x"), False),
    ],
)
def test_answer_has_one_of_two_words(
    sender: Sender,
    event: Event,
    read: Read,
    outcome: Report | LockgateError,
    *,
    is_success: bool,
) -> None:
    """Only a success is reported as one, in the caller's own words."""
    expected = sender.success if is_success else sender.failure
    assert expected == read(event).make_answer(outcome).status


@pytest.mark.parametrize("value", [None, "", 7, ["hush"], "hush\0", "hush" * 2_000])
@pytest.mark.parametrize(("sender", "name"), FIELDS, indirect=["sender"])
def test_event_without_its_identity_is_refused(
    sender: Sender, event: Event, read: Read, name: str, value: object
) -> None:
    """An event that cannot be answered is refused, and the message shows nothing of it."""
    with pytest.raises(RequestInvalid, match=sender.refusal.format(name=name)) as caught:
        read(sender.change(event, name, value))
    assert "hush" not in f"{caught.value} {caught.value.hint} {caught.value.fields}"


# Who answers.


def make_holder(of: AwaitingCaller, **changes: Any) -> HolderInfo:
    """Return the lock's holder: a run for the same event, in its second invocation."""
    reference = of.read_request(Settings()).caller.reference
    holder = HolderInfo(
        run_id="0123456789abcdef",
        caller=of.kind,
        taken_at=NOW - timedelta(minutes=2),
        expires_at=NOW + timedelta(minutes=10),
        reference={**reference, "hop": "1"},
    )
    return replace(holder, **changes)


def test_run_for_the_same_event_will_answer(event: Event, read: Read) -> None:
    """A second delivery leaves the answer to the first, in whichever invocation that is."""
    caller = read(event)
    assert caller.is_same_event(make_holder(caller))


@pytest.mark.parametrize(
    "changes",
    [
        {"caller": "direct"},
        {"reference": {}},
        # Its invocation has ended: only the lease's margin is left.
        {"expires_at": NOW + timedelta(seconds=30)},
        {"expires_at": NOW + timedelta(seconds=29)},
        {"expires_at": NOW - timedelta(seconds=1)},
    ],
)
def test_other_holder_will_not_answer(event: Event, read: Read, changes: dict[str, Any]) -> None:
    """Another caller's run, or a run that has ended, will not answer this event."""
    caller = read(event)
    assert not caller.is_same_event(make_holder(caller, **changes))


@pytest.mark.parametrize(("sender", "name"), FIELDS, indirect=["sender"])
def test_run_for_another_event_will_not_answer(
    sender: Sender, event: Event, read: Read, name: str
) -> None:
    """An event with another value of any identifying field needs an answer of its own."""
    other = read(sender.extend(event, name))
    assert not other.is_same_event(make_holder(read(event)))


def test_reference_and_repr_hold_no_secret(event: Event, read: Read) -> None:
    """Neither has a signed URL, credentials, or an id with which anyone could answer."""
    caller = read(event)
    reference = caller.read_request(Settings()).caller.reference
    assert reference
    shown = f"{reference} {caller!r}"
    assert not [word for word in ("http", "X-Amz-Signature", "SENTINEL") if word in shown]


# Further invocations.


@pytest.mark.parametrize("sender", HANDED_ON, indirect=True, ids=name_of)
def test_event_goes_on_with_its_count_and_time(sender: Sender, event: Event, read: Read) -> None:
    """The continuation in the event is read back and belongs to the same event."""
    first = read(event)
    assert Continuation(0, NOW_SECONDS, sender.waits_seconds) == first.continuation
    following = replace(first.continuation.next(), began_at=NOW_SECONDS - 900)
    second = read(add_continuation(event, following))
    assert following == second.continuation
    assert "1" == second.read_request(Settings()).caller.reference["hop"]
    assert second.is_same_event(make_holder(first))


@pytest.mark.parametrize("sender", HANDED_ON, indirect=True, ids=name_of)
def test_run_is_continued_with_the_same_event(
    sender: Sender, event: Event, read: Read, sent: list[Event]
) -> None:
    """The function invokes itself with the event and the next number."""
    read(event).continue_run(Report(Status.INCOMPLETE, Action.UP, "run-1"))
    following = Continuation(1, NOW_SECONDS, sender.waits_seconds)
    assert [add_continuation(event, following)] == sent


@pytest.mark.parametrize("sender", HANDED_ON, indirect=True, ids=name_of)
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
    sender: Sender, event: Event, read: Read, carried: object
) -> None:
    """A continuation that Lockgate did not write is ignored."""
    forged = {**event, "LockgateContinuation": carried}
    assert Continuation(0, NOW_SECONDS, sender.waits_seconds) == read(forged).continuation


@pytest.mark.parametrize("sender", HANDED_ON, indirect=True, ids=name_of)
@pytest.mark.parametrize("began_at", [float("nan"), float("inf"), -5, 1e300, 10**400, 9e9])
def test_carried_time_is_never_in_the_future(
    sender: Sender, event: Event, read: Read, began_at: float
) -> None:
    """A forged start time does not give an event more time."""
    forged = {**event, "LockgateContinuation": {"hop": 2, "began_at": began_at}}
    assert Continuation(2, NOW_SECONDS, sender.waits_seconds) == read(forged).continuation
