"""A custom resource's event is read into an envelope, which can be answered, and a request."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from tests.callers.conftest import NOW_SECONDS

from lockgate.awslambda.callers.cloudformation import (
    Envelope,
    RequestType,
    read_continuation,
    read_envelope,
    read_request,
)
from lockgate.awslambda.callers.cloudformation_caller import open_stack
from lockgate.awslambda.callers.event_continuation import add_continuation
from lockgate.core.continuation import Continuation
from lockgate.core.policy import FirstRun
from lockgate.core.request import Action, Caller, Request
from lockgate.errors import RequestInvalid
from lockgate.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from lockgate.awslambda.callers.awaiting import Invocation

    ReadEvent = Callable[[str], dict[str, Any]]

SETTINGS = Settings()
STACK = (
    "arn:aws:cloudformation:eu-west-1:123456789012:stack/orders/"
    "51af3dc0-da77-11e4-872e-1234567db123"
)


def caller_of(envelope: Envelope) -> Caller:
    """Return the caller in a request of this envelope."""
    reference = {
        "stack_id": STACK,
        "request_id": envelope.request_id,
        "logical_id": "Migration",
        "url_digest": hashlib.sha256((envelope.response_url or "").encode()).hexdigest()[:16],
    }
    return Caller("cloudformation", reference)


def test_create_migrates_everything(read_event: ReadEvent) -> None:
    """Create is an up without a target, and the properties that only trigger updates are ignored."""
    envelope = read_envelope(read_event("cloudformation_create"))
    assert Request(Action.UP, caller_of(envelope)) == read_request(envelope, SETTINGS)


def test_update_takes_target_and_reason(read_event: ReadEvent) -> None:
    """Update is also an up, with the target and reason of its properties."""
    envelope = read_envelope(read_event("cloudformation_update"))
    expected = Request(Action.UP, caller_of(envelope), "20261122093000", reason="release 8")
    assert expected == read_request(envelope, SETTINGS)


def test_delete_needs_no_run(read_event: ReadEvent, invocation: Invocation) -> None:
    """Delete changes nothing whatever its properties are, while Create and Update need a run."""
    deletion = {**read_event("cloudformation_delete"), "ResourceProperties": ["nonsense"]}
    events = [read_event("cloudformation_create"), read_event("cloudformation_update"), deletion]
    found = [open_stack(event, invocation, loopback=False).needs_run for event in events]
    assert [True, True, False] == found


def test_envelope_shows_neither_url_nor_properties(read_event: ReadEvent) -> None:
    """The repr shows neither the signed URL nor the properties of the stack."""
    event = read_event("cloudformation_create")
    event["ResourceProperties"]["Password"] = "hunter2"
    shown = repr(read_envelope(event))
    assert "X-Amz-Signature" not in shown
    assert "hunter2" not in shown
    assert "request_id='9e0e3f2c-3e5f-4bd4-9c0a-0d1f5f0c0001'" in shown


def test_physical_id_is_the_same_over_create_and_updates(read_event: ReadEvent) -> None:
    """The id of a Create depends only on stack and logical id, and later events echo it."""
    create = read_envelope(read_event("cloudformation_create"))
    update = read_event("cloudformation_update")
    assert create.physical_id == "lockgate-Migration-b713b840f959"
    given = {**update, "PhysicalResourceId": create.physical_id}
    assert create.physical_id == read_envelope(given).physical_id
    del given["PhysicalResourceId"]
    assert create.physical_id == read_envelope(given).physical_id


def test_physical_id_of_another_maker_is_echoed(read_event: ReadEvent) -> None:
    """An id that was invented by CloudFormation or made by another tool is kept."""
    event = {**read_event("cloudformation_delete"), "PhysicalResourceId": "orders-Migration-1A2B"}
    assert read_envelope(event).physical_id == "orders-Migration-1A2B"


def test_physical_id_of_a_repeated_create_is_not_another(read_event: ReadEvent) -> None:
    """Create ignores a given id, since the resource does not exist yet."""
    event = read_event("cloudformation_create")
    expected = read_envelope(event).physical_id
    assert expected == read_envelope({**event, "PhysicalResourceId": "invented"}).physical_id


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"RequestType": "Replace"}, "The event's RequestType is not Create, Update or Delete."),
        ({"RequestType": ["Create"]}, "The event's RequestType is missing or not text."),
        ({"StackId": None}, "The event's StackId is missing or not text."),
        ({"RequestId": 5}, "The event's RequestId is missing or not text."),
        ({"LogicalResourceId": ""}, "The event's LogicalResourceId is missing or not text."),
        ({"PhysicalResourceId": {}}, "The event's PhysicalResourceId is missing or not text."),
        ({"ResponseURL": 5}, "The event's ResponseURL is not text."),
        ({"StackId": "ß" * 600}, "The event's StackId is longer than CloudFormation makes it."),
        ({"RequestId": '"' * 200}, "The event's RequestId is longer than CloudFormation makes it."),
        ({"StackId": "\ud800"}, "The event's StackId contains NUL or invalid Unicode."),
        ({"RequestId": "a\0b"}, "The event's RequestId contains NUL or invalid Unicode."),
        ({"ResponseURL": "https://\ud800"}, "The event's ResponseURL is not text."),
    ],
)
def test_envelope_of_a_wrong_type_is_refused(
    read_event: ReadEvent, change: dict[str, Any], problem: str
) -> None:
    """A field that cannot be echoed is refused, and the message shows nothing of the event."""
    event = {**read_event("cloudformation_update"), **change}
    with pytest.raises(RequestInvalid) as caught:
        read_envelope(event)
    assert f"{problem}" == str(caught.value)


@pytest.mark.parametrize(
    ("properties", "problem"),
    [
        ({"Target": "v\n7"}, "The property Target cannot be read."),
        ({"Target": ["7"]}, "The property Target cannot be read."),
        ({"Reason": {}}, "The property Reason cannot be read."),
        ({"Reason": "x" * 1_001}, "The property Reason cannot be read."),
        ({"target": "7"}, "The property target is not known; did you mean Target?"),
        ({"REASON": "x"}, "The property REASON is not known; did you mean Reason?"),
        (["Target"], "The event's ResourceProperties are not an object."),
    ],
)
def test_property_that_cannot_be_read_is_refused(
    read_event: ReadEvent, properties: object, problem: str
) -> None:
    """A bad property is refused when the request is read, so the envelope can still be answered."""
    event = {**read_event("cloudformation_update"), "ResourceProperties": properties}
    envelope = read_envelope(event)
    with pytest.raises(RequestInvalid) as caught:
        read_request(envelope, SETTINGS)
    assert f"{problem}" == str(caught.value)


def test_reason_of_the_most_characters_is_read(read_event: ReadEvent) -> None:
    """A reason of the maximum length is accepted."""
    longest = {"Reason": "x" * 1_000}
    event = {**read_event("cloudformation_update"), "ResourceProperties": longest}
    assert "x" * 1_000 == read_request(read_envelope(event), SETTINGS).reason


@pytest.mark.parametrize("properties", [None, {}, {"Target": "", "Reason": ""}, {"Other": [{}]}])
def test_property_that_says_nothing_is_not_given(read_event: ReadEvent, properties: object) -> None:
    """CloudFormation cannot omit a parameter, so an empty property counts as not given."""
    event = {**read_event("cloudformation_create"), "ResourceProperties": properties}
    envelope = read_envelope(event)
    assert Request(Action.UP, caller_of(envelope)) == read_request(envelope, SETTINGS)


def test_event_without_url_can_be_read(read_event: ReadEvent) -> None:
    """An event without a URL is readable, since a framework that answers itself may remove it."""
    event = read_event("cloudformation_create")
    del event["ResponseURL"]
    assert RequestType.CREATE is read_envelope(event).request_type


# Until when CloudFormation waits.

NOW = datetime.fromtimestamp(NOW_SECONDS, UTC)


def test_reference_does_not_hold_the_url(read_event: ReadEvent) -> None:
    """The stored digest distinguishes URLs without containing one."""
    envelope = read_envelope(read_event("cloudformation_create"))
    assert 16 == len(envelope.reference["url_digest"])
    assert all("http" not in value for value in envelope.reference.values())


@pytest.mark.parametrize(
    ("signed_at", "began_seconds_ago"),
    [
        ("&X-Amz-Date=20261122T115000Z", 600),
        ("&X-Amz-Date=20261122T115000Z&X-Amz-Expires=7200", 600),
        ("&X-Amz-Date=20261122T120000Z", 0),
        # Older than the longest timeout, in the future, or unreadable: treated as missing.
        ("&X-Amz-Date=20261122T105959Z", 0),
        ("&X-Amz-Date=20261122T120001Z", 0),
        ("&X-Amz-Date=20261199T120001Z", 0),
        ("&X-Amz-Date=yesterday", 0),
        ("", 0),
    ],
)
def test_time_runs_from_when_the_url_was_signed(
    read_event: ReadEvent, signed_at: str, began_seconds_ago: int
) -> None:
    """The age of a redelivered event counts from the date in its URL."""
    event = read_event("cloudformation_create")
    event["ResponseURL"] = f"https://bucket.invalid/x?X-Amz-Signature=1{signed_at}"
    event["ResourceProperties"] = {}
    now = NOW.timestamp()
    assert Continuation(0, now - began_seconds_ago, 3_600) == read_continuation(event, now)


@pytest.mark.parametrize(
    ("given", "seconds"),
    [("90", 90), ("3600", 3_600), (90, 90), ("0", 3_600), ("3601", 3_600), ("-1", 3_600),
     ("9" * 5_000, 3_600), ("soon", 3_600), (["1"], 3_600), ("٣", 3_600), (None, 3_600)],
)  # fmt: skip
def test_service_timeout_is_read_or_is_an_hour(given: object, seconds: int) -> None:
    """An invalid ServiceTimeout counts as CloudFormation's default of one hour."""
    event = {"ResourceProperties": {"ServiceTimeout": given}}
    assert seconds == read_continuation(event, 0.0).timeout_seconds


def test_further_invocation_knows_when_the_first_began(read_event: ReadEvent) -> None:
    """The continuation in the event is read back and takes precedence over the URL's date."""
    event = read_event("cloudformation_create")
    event["ResponseURL"] += "&X-Amz-Date=20261122T115900Z"
    first = Continuation(0, NOW.timestamp() - 900, 1_800)
    following = add_continuation(event, first.next())
    assert first.next() == read_continuation(following, NOW.timestamp())


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"FirstRun": "allow"}, FirstRun.ALLOW),
        ({"FirstRun": "refuse"}, FirstRun.REFUSE),
        ({"FirstRun": ""}, None),
        ({}, None),
    ],
)
def test_first_run_is_part_of_the_request(
    read_event: ReadEvent, properties: dict[str, str], expected: FirstRun | None
) -> None:
    """An empty FirstRun counts as not given, so the setting decides."""
    envelope = read_envelope(
        {**read_event("cloudformation_create"), "ResourceProperties": properties}
    )
    assert expected == read_request(envelope, SETTINGS).first_run


@pytest.mark.parametrize(
    ("properties", "problem"),
    [
        ({"FirstRun": "yes"}, "The property FirstRun cannot be read."),
        ({"first_run": "allow"}, "The property first_run is not known; did you mean FirstRun?"),
        ({"firstrun": "allow"}, "The property firstrun is not known; did you mean FirstRun?"),
    ],
)
def test_first_run_that_cannot_be_read_is_refused(
    read_event: ReadEvent, properties: dict[str, str], problem: str
) -> None:
    """A misspelled FirstRun is refused rather than silently ignored."""
    envelope = read_envelope(
        {**read_event("cloudformation_create"), "ResourceProperties": properties}
    )
    with pytest.raises(RequestInvalid) as caught:
        read_request(envelope, SETTINGS)
    assert caught.value.message.startswith(problem)
