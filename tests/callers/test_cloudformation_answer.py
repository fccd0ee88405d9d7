"""Every answer fits into 4,096 bytes and puts the most important information first."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.reach import must_reach, reached

from lockgate.awslambda.callers.cloudformation import Envelope, RequestType, read_envelope
from lockgate.awslambda.callers.cloudformation_answer import (
    MAX_ANSWER_BYTES,
    encode_answer,
    make_answer,
    returned_answer,
)
from lockgate.core.request import Action
from lockgate.core.state_after import NOT_BEGUN, StateAfter
from lockgate.errors import (
    DatabaseBusy,
    LockgateError,
    MigrationFailed,
    RequestRefused,
    SettingInvalid,
    UnexpectedFailure,
)
from lockgate.report.refusal import refuse_report
from lockgate.report.report import Entry, ErrorInfo, Report, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    ReadEvent = Callable[[str], dict[str, Any]]

ENTRY = Entry("0007", "add_orders", "versioned")
APPLIED = Report(
    status=Status.APPLIED,
    action=Action.UP,
    run_id="run-1",
    from_version="0006",
    to_version="0007",
    applied=(ENTRY,),
)
FAILED = Report(
    status=Status.FAILED,
    action=Action.UP,
    run_id="run-1",
    from_version="0006",
    to_version="0006",
    error=ErrorInfo(
        code="migration-failed",
        message="It broke.",
        type="MigrationFailed",
        sqlstate="42701",
        migration="0007 add_orders",
        state_after=StateAfter.ROLLED_BACK,
    ),
)
REASON = (
    "Migration 0007 add_orders failed (42701). No migration of this run stays; the database is at"
    " version 0006. It broke. Run run-1."
)


@pytest.fixture
def envelope(read_event: ReadEvent) -> Envelope:
    """Return the envelope of an Update."""
    return read_envelope(read_event("cloudformation_update"))


def test_success_carries_data(envelope: Envelope) -> None:
    """All ids are echoed, and the data are strings."""
    assert {
        "Status": "SUCCESS",
        "PhysicalResourceId": "lockgate-Migration-0123456789ab",
        "StackId": envelope.stack_id,
        "RequestId": envelope.request_id,
        "LogicalResourceId": "Migration",
        "Data": {
            "Status": "applied",
            "RunId": "run-1",
            "FromVersion": "0006",
            "ToVersion": "0007",
            "AppliedCount": "1",
            "PendingCount": "0",
            "RevertedCount": "0",
        },
    } == make_answer(envelope, APPLIED)


def test_database_that_is_ahead_is_a_success(envelope: Envelope) -> None:
    """A rolled-back stack may find a newer database, which is a success."""
    report = Report(Status.UP_TO_DATE, Action.UP, "run-1", ahead=(ENTRY,))
    answer = make_answer(envelope, report)
    assert answer["Status"] == "SUCCESS"
    assert answer["Data"]["FromVersion"] == ""


def test_failure_carries_the_reason(envelope: Envelope) -> None:
    """The reason starts with migration, SQLSTATE and state, and there is no data."""
    answer = make_answer(envelope, FAILED)
    assert (answer["Status"], answer["Reason"]) == ("FAILED", REASON)
    assert "Data" not in answer


@pytest.mark.parametrize("status", [Status.FAILED, Status.BUSY, Status.REFUSED, Status.INCOMPLETE])
def test_every_other_status_is_a_failure(envelope: Envelope, status: Status) -> None:
    """Only a success is reported as one, and every failure has a reason."""
    answer = make_answer(envelope, Report(status=status, action=None, run_id="run-1"))
    assert answer["Status"] == "FAILED"
    assert answer["Reason"]


def test_error_before_the_run_is_a_failure(envelope: Envelope) -> None:
    """An error in the settings is reported to CloudFormation as well."""
    error = SettingInvalid("LOCKGATE_PORT is wrong.", hint="Correct it.")
    answer = make_answer(envelope, refuse_report("run-1", error, NOT_BEGUN))
    assert answer["Status"] == "FAILED"
    assert answer["Reason"] == "LOCKGATE_PORT is wrong. Nothing was changed. Correct it. Run run-1."


def test_delete_succeeds_without_data(read_event: ReadEvent) -> None:
    """A Delete is answered with success and its own id."""
    envelope = read_envelope(read_event("cloudformation_delete"))
    answer = make_answer(envelope, None)
    assert (
        answer["Status"],
        answer["PhysicalResourceId"],
    ) == ("SUCCESS", "lockgate-Migration-0123456789ab")
    assert not {"Data", "Reason"} & answer.keys()


@pytest.mark.parametrize("character", ["x", "ß", "€", "😀", '"', "\\"])
def test_reason_is_cut_at_a_character_to_the_last_byte(envelope: Envelope, character: str) -> None:
    """A long reason is cut between characters, uses all the space, and keeps its beginning."""
    error = MigrationFailed("It broke. " + character * 5_000)
    body = encode_answer(make_answer(envelope, error))
    reason = json.loads(body)["Reason"]
    assert MAX_ANSWER_BYTES - 4 < len(body) <= MAX_ANSWER_BYTES
    assert reason.startswith(f"It broke. {character}")
    assert reason.endswith(f"{character}…")


# Any text, including lone surrogates and control characters.
texts = st.one_of(
    st.text(max_size=3_000),
    st.builds(
        lambda text, times: text * times, st.text(min_size=1, max_size=9), st.integers(1_000, 4_000)
    ),
)
ids = st.text(st.characters(codec="utf-8"), min_size=1, max_size=80)
envelopes = st.builds(
    Envelope,
    request_type=st.sampled_from([RequestType.CREATE, RequestType.UPDATE]),
    stack_id=ids.map(lambda text: text * 2),
    request_id=st.uuids().map(str),
    logical_id=ids,
    given_physical_id=st.none() | ids,
    response_url=st.none(),
    properties=st.none(),
)
error_infos = st.builds(
    ErrorInfo,
    code=st.just("migration-failed"),
    message=texts,
    type=st.just("MigrationFailed"),
    hint=st.none() | texts,
    sqlstate=st.none() | st.just("42701"),
    migration=st.none() | texts,
    state_after=st.sampled_from(StateAfter),
)
reports = st.builds(
    Report,
    status=st.sampled_from(Status),
    action=st.just(Action.UP),
    run_id=st.uuids().map(str) | texts,
    from_version=st.none() | texts,
    to_version=st.none() | texts,
    error=st.none() | error_infos,
)
failures = st.builds(UnexpectedFailure, texts, hint=st.none() | texts)


@must_reach(cut=3, whole=30, data=4)
@given(envelopes, reports | failures | st.none())
@settings(max_examples=200)
def test_answer_fits_in_every_case(
    envelope: Envelope, outcome: Report | LockgateError | None
) -> None:
    """Every outcome is encoded as valid JSON in UTF-8 of at most 4,096 bytes."""
    answer = make_answer(envelope, outcome)
    body = encode_answer(answer)
    assert len(body) <= MAX_ANSWER_BYTES
    assert answer == json.loads(body)
    is_cut = answer.get("Reason", "").endswith("…")
    reached("cut", when=is_cut)
    reached("whole", when=not is_cut)
    reached("data", when="Data" in answer)
    assert (envelope.stack_id, envelope.logical_id) == (
        answer["StackId"],
        answer["LogicalResourceId"],
    )
    if answer["Status"] == "FAILED":
        assert answer["Reason"]
    elif outcome is not None:
        assert len(answer["Data"]) == 7


@pytest.mark.parametrize("character", ["x", "ß", '"', "\\"])
def test_answer_fits_beside_the_longest_ids(read_event: ReadEvent, character: str) -> None:
    """Even the longest ids leave room for the start of the reason and for all data."""
    width = len(json.dumps(character, ensure_ascii=False).encode()) - 2
    longest = {
        "StackId": character * (1_022 // width),
        "RequestId": character * (254 // width),
        "LogicalResourceId": character * (510 // width),
        "PhysicalResourceId": character * (1_022 // width),
    }
    envelope = read_envelope({**read_event("cloudformation_update"), **longest})
    failed = Report(
        status=Status.FAILED,
        action=Action.UP,
        run_id="run-1",
        from_version="0006",
        error=ErrorInfo(
            "x",
            "x" * 9_000,
            "MigrationFailed",
            migration="0007",
            sqlstate="42701",
            state_after=StateAfter.ROLLED_BACK,
        ),
    )
    answer = make_answer(envelope, failed)
    assert len(encode_answer(answer)) <= MAX_ANSWER_BYTES
    assert answer["Reason"].startswith("Migration 0007 failed (42701). No migration of this run")
    applied = Report(
        Status.APPLIED, Action.UP, run_id='"' * 900, from_version='"' * 900, to_version='"' * 900
    )
    answer = make_answer(envelope, applied)
    assert len(encode_answer(answer)) <= MAX_ANSWER_BYTES
    assert answer["Data"]["Status"] == "applied"
    widest = Report(
        Status.APPLIED, Action.UP, "😀" * 900, from_version="😀" * 900, to_version="😀" * 900
    )
    answer = make_answer(envelope, widest)
    assert len(encode_answer(answer)) <= MAX_ANSWER_BYTES
    assert answer["Data"]["RunId"] == "😀" * 50


def test_framework_gets_id_and_data(envelope: Envelope) -> None:
    """In return mode the function returns the id and the data for the framework."""
    expected = {
        "PhysicalResourceId": "lockgate-Migration-0123456789ab",
        "Data": make_answer(envelope, APPLIED)["Data"],
    }
    assert expected == returned_answer(envelope, APPLIED)


def test_framework_gets_the_id_of_a_delete(read_event: ReadEvent) -> None:
    """Delete returns the id that it was given."""
    envelope = read_envelope(read_event("cloudformation_delete"))
    expected = {"PhysicalResourceId": "lockgate-Migration-0123456789ab"}
    assert expected == returned_answer(envelope, None)


@pytest.mark.parametrize(
    ("outcome", "expected", "message"),
    [
        (FAILED, MigrationFailed, REASON),
        (
            refuse_report("run-1", DatabaseBusy("Busy."), NOT_BEGUN),
            DatabaseBusy,
            "Busy. Nothing was changed. Run run-1.",
        ),
        (SettingInvalid("Wrong.", hint="Correct it."), RequestRefused, "Wrong. Correct it."),
        # At most 2,000 bytes as JSON, including the quotes, for any character.
        (UnexpectedFailure("x" * 5_000), UnexpectedFailure, "x" * 1_995 + "…"),
        (UnexpectedFailure('"' * 5_000), UnexpectedFailure, '"' * 997 + "…"),
        (UnexpectedFailure("𝄞" * 5_000), UnexpectedFailure, "𝄞" * 498 + "…"),
    ],
)
def test_framework_gets_an_error_for_a_failure(
    envelope: Envelope,
    outcome: Report | LockgateError,
    expected: type[LockgateError],
    message: str,
) -> None:
    """The framework uses the message as the reason, so it is short and not a report."""
    with pytest.raises(LockgateError) as caught:
        returned_answer(envelope, outcome)
    assert (expected, message) == (type(caught.value), str(caught.value))
