"""Commands are read strictly, and the answer is the report or an error that contains it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.reach import must_reach, reached

from lockgate import errors
from lockgate.awslambda.callers.direct import read_request
from lockgate.awslambda.callers.direct_answer import answer, to_exception
from lockgate.core.request import Action, Caller, Repair, Request
from lockgate.core.run_record import RunRecord
from lockgate.core.state_after import NOT_BEGUN
from lockgate.errors import LockgateError, RequestInvalid
from lockgate.report.refusal import refuse_report
from lockgate.report.report import Entry, ErrorInfo, Report, Status
from lockgate.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

SETTINGS = Settings()
CALLER = Caller("direct")
EXAMPLES = 'Send {} to migrate, or {"action": "status"} to see the state of the database.'
ALL_KEYS = "Accepted: action, target, first_run, reason, requested_by, execution."


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (None, Request(Action.UP, CALLER)),
        ({}, Request(Action.UP, CALLER)),
        ({"action": "up"}, Request(Action.UP, CALLER)),
        ({"action": "plan", "target": "0007"}, Request(Action.PLAN, CALLER, target="0007")),
        ({"target": 20261122093000}, Request(Action.UP, CALLER, target="20261122093000")),
        ({"target": "1.2"}, Request(Action.UP, CALLER, target="1.2")),
        ({"action": "validate"}, Request(Action.VALIDATE, CALLER)),
        (
            {"reason": "release 8", "requested_by": "ci"},
            Request(Action.UP, CALLER, reason="release 8", requested_by="ci"),
        ),
        (
            {"execution": "build 12"},
            Request(Action.UP, Caller("direct", {"execution": "build 12"})),
        ),
    ],
)
def test_command_becomes_a_request(event: object, expected: Request) -> None:
    """Every key sets its field, and an empty command migrates."""
    assert expected == read_request(event, SETTINGS)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "direct_up",
            Request(Action.UP, CALLER, "20261122093000", reason="release 8", requested_by="ci"),
        ),
        ("direct_status", Request(Action.STATUS, CALLER)),
    ],
)
def test_stored_command_becomes_a_request(
    read_event: Callable[[str], Any], name: str, expected: Request
) -> None:
    """Each stored event is read into the expected request."""
    assert expected == read_request(read_event(name), SETTINGS)


@pytest.mark.parametrize(
    ("event", "problem"),
    [
        ([{}], "The event is a list, not a JSON object."),
        ("up", "The event is text, not a JSON object."),
        (5, "The event is a number, not a JSON object."),
        (True, "The event is true or false, not a JSON object."),
        ({"action": None}, "The action is null, not text."),
        ({"action": {}}, "The action is an object, not text."),
        (
            {"action": "Up"},
            (
                'Unknown action "Up". Did you mean "up"? This function accepts up, plan, status,'
                " validate, history."
            ),
        ),
        (
            {"action": "drop" * 20},
            (
                'Unknown action "dropdropdropdropdropdropdropdropdropdrop…". This function'
                " accepts up, plan, status, validate, history."
            ),
        ),
        (
            {"aktion": "status"},
            f'Unknown key "aktion" for the action "up". Did you mean "action"? {ALL_KEYS}',
        ),
        (
            {"x": 1, "y": 2},
            f'Unknown key "x" (and 1 more) for the action "up". {ALL_KEYS}',
        ),
        (
            {"action": "status", "target": "7"},
            (
                'Unknown key "target" for the action "status".'
                " Accepted: action, reason, requested_by, execution."
            ),
        ),
    ],
)
def test_command_that_is_not_known_is_refused(event: object, problem: str) -> None:
    """The message names the unknown value, the nearest match and the accepted ones."""
    with pytest.raises(RequestInvalid) as caught:
        read_request(event, SETTINGS)
    assert (f"{problem}", EXAMPLES) == (str(caught.value), caught.value.hint)


@pytest.mark.parametrize(
    ("event", "problem", "hint"),
    [
        (
            {"target": "v\n7"},
            'The value "v\\n7" of target is invalid.',
            "Send a version, such as 20261122093000, or leave target out.",
        ),
        *(
            (
                {"target": value},
                "The value of target is invalid.",
                "Send a version, such as 20261122093000, or leave target out.",
            )
            for value in (None, True, -1.5, ["7"], {"version": "7"})
        ),
        *(
            (
                {key: value},
                f"The value of {key} is invalid.",
                f"Send text of 1 to 1,000 characters, or leave {key} out.",
            )
            for key in ("reason", "requested_by", "execution")
            for value in (None, 7, "", " ", "x" * 1_001, ["x"])
        ),
    ],
)
def test_value_of_a_wrong_type_is_refused(event: object, problem: str, hint: str) -> None:
    """The message names the key and what it accepts."""
    with pytest.raises(RequestInvalid) as caught:
        read_request(event, SETTINGS)
    assert (f"{problem}", hint) == (str(caught.value), caught.value.hint)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("console_default", "The event is the Lambda console's default test event."),
        ("eventbridge_schedule", "The event is an EventBridge event."),
        ("sqs", "The event is a batch of records from SNS, SQS, S3 or a stream."),
    ],
)
def test_event_of_another_service_is_refused_by_name(
    read_event: Callable[[str], Any], name: str, problem: str
) -> None:
    """The message names the sender, the hint says what to do, and nothing of the event is shown."""
    with pytest.raises(RequestInvalid) as caught:
        read_request(read_event(name), SETTINGS)
    assert f"{problem}" == str(caught.value)
    assert caught.value.hint is not None
    assert "SENTINEL" not in f"{caught.value.hint} {caught.value.fields}"


def test_action_that_is_not_allowed_is_refused() -> None:
    """A read-only function does not migrate, even for an empty command."""
    only_status = Settings(allowed_actions=("status",))
    with pytest.raises(RequestInvalid) as caught:
        read_request({}, only_status)
    assert (
        str(caught.value) == 'The action "up" is not allowed on this function; it accepts status.'
    )
    assert Request(Action.STATUS, CALLER) == read_request({"action": "status"}, only_status)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
COMMAND_KEYS = {"action", "target", "reason", "requested_by", "execution"}
COMMANDS = st.dictionaries(
    st.sampled_from(sorted(COMMAND_KEYS)),
    st.sampled_from([*Action, "1", "x"]) | VALUES,
    max_size=3,
)


@must_reach(read=4, refused_value=10, refused_key=1)
@given(st.one_of(VALUES, COMMANDS))
def test_any_event_is_read_or_refused(event: object) -> None:
    """Any JSON value is read or refused as invalid, and only {}, null or a command migrates."""
    try:
        request = read_request(event, SETTINGS)
    except RequestInvalid:
        is_command = isinstance(event, dict) and event.keys() <= COMMAND_KEYS
        reached("refused_value", when=is_command)
        reached("refused_key", when=isinstance(event, dict) and not is_command)
        return
    reached("read")
    assert event in (None, {}) or (isinstance(event, dict) and event.keys() <= COMMAND_KEYS)
    assert request.action == (event or {}).get("action", Action.UP)


def test_success_is_answered_with_the_report() -> None:
    """A success returns the whole report."""
    report = Report(status=Status.UP_TO_DATE, action=Action.UP, run_id="run-1")
    assert report.to_json() == answer({"action": "up"}, report)


@pytest.mark.parametrize(
    ("type_name", "expected"),
    [
        ("MigrationFailed", errors.MigrationFailed),
        ("DriftDetected", errors.DriftDetected),
        ("RequestInvalid", errors.RequestRefused),
        ("CertificateUntrusted", errors.DatabaseUnreachable),
        ("LockgateError", errors.UnexpectedFailure),
        ("KeyError", errors.UnexpectedFailure),
        ("annotations", errors.UnexpectedFailure),
    ],
)
def test_failure_raises_the_public_class_with_the_report(
    type_name: str, expected: type[LockgateError]
) -> None:
    """The exception class is public, and its message is the report as JSON."""
    error = ErrorInfo(code="x", message="It broke.", type=type_name, hint="Fix it.")
    report = Report(status=Status.FAILED, action=Action.UP, run_id="run-1", error=error)
    with pytest.raises(LockgateError) as caught:
        answer({"action": "up"}, report)
    assert expected is type(caught.value)
    assert report.to_json() == json.loads(str(caught.value))
    assert caught.value.hint == "Fix it."


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (Status.BUSY, errors.DatabaseBusy),
        (Status.REFUSED, errors.RequestRefused),
        (Status.INCOMPLETE, errors.RunIncomplete),
        (Status.FAILED, errors.UnexpectedFailure),
    ],
)
def test_failure_without_error_has_the_class_of_its_status(
    status: Status, expected: type[LockgateError]
) -> None:
    """A report without an error gets its class from the status."""
    report = Report(status=status, action=Action.UP, run_id="run-1")
    assert expected is type(to_exception(report))


def test_long_report_is_shortened_to_what_step_functions_keeps() -> None:
    """Lists are cut, counts stay complete, and the JSON stays valid."""
    entries = tuple(Entry(str(n), f'say_"{n}"', "versioned") for n in range(5_000))
    report = Report(
        status=Status.FAILED, action=Action.UP, run_id="run-1", applied=entries, pending=entries
    )
    message = str(to_exception(report))
    value = json.loads(message)
    assert len(json.dumps(message)) <= 24_000
    assert (value["counts"]["applied"], value["counts"]["pending"]) == (5_000, 5_000)
    assert 0 < len(value["applied"]) < 1_000


def test_text_of_the_longest_length_is_not_cut() -> None:
    """A text of the maximum length stays whole, and a longer one ends with an ellipsis."""
    state = " Nothing was changed."
    longest = "x" * (4_000 - len(state))
    hint = '"' * 1_500 + "y" * 6_500
    error = errors.MigrationFailed(longest, hint=hint)
    value = json.loads(str(to_exception(refuse_report("run-1", error, NOT_BEGUN))))
    assert longest + state == value["error"]["message"]
    assert f"{hint[:4_000]}…" == value["error"]["hint"]


@pytest.mark.parametrize("text", ["x" * 5_000_000, 'é"\\\n' * 1_000_000])
def test_long_error_is_shortened_too(text: str) -> None:
    """The message of an error of any size is cut, and the JSON stays valid."""
    error = errors.MigrationFailed(text, hint=text)
    report = refuse_report("run-1", error, NOT_BEGUN)
    message = str(to_exception(report))
    value = json.loads(message)
    assert len(json.dumps(message)) <= 24_000
    assert text.startswith(value["error"]["message"].rstrip("…"))
    assert len(value["error"]["message"]) > 100
    assert len(report.to_text()) < 100_000


@pytest.mark.parametrize(
    "event",
    [
        {"x" * 6_000_000: 1},
        {f"key{n}": n for n in range(300_000)},
        {"action": "x" * 6_000_000},
        {"target": "7" * 6_000_000},
        {"reason": "x" * 6_000_000},
        {"requested_by": ["x"] * 1_000_000},
        ["x"] * 1_000_000,
        "x" * 6_000_000,
    ],
    ids=["key", "keys", "action", "target", "reason", "requested_by", "list", "text"],
)
def test_huge_event_is_refused_in_few_words(event: object) -> None:
    """For an event of the maximum size, the error message is still short."""
    with pytest.raises(RequestInvalid) as caught:
        read_request(event, SETTINGS)
    assert len(caught.value.message) < 500


OPERATOR: dict[str, Any] = {"reason": "why", "requested_by": "me"}
ALL_ACTIONS = replace(SETTINGS, allowed_actions=tuple(Action))


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"action": "down", "steps": 2}, {"steps": 2}),
        ({"action": "down", "steps": "2"}, {"steps": 2}),
        (
            {"action": "down", "target": 7, "allow_data_loss": True},
            {"target": "7", "allow_data_loss": True},
        ),
        (
            {"action": "plan", "direction": "down", "steps": 1},
            {"is_down": True, "steps": 1},
        ),
        ({"action": "plan", "direction": "up"}, {"is_down": False}),
        ({"action": "baseline", "target": "7"}, {"target": "7"}),
        (
            {"action": "repair", "accept": "7"},
            {"repair": Repair.ACCEPT, "version": "7", "dry_run": True},
        ),
        (
            {"action": "repair", "forget": "R__v", "dry_run": False},
            {"repair": Repair.FORGET, "version": "R__v", "dry_run": False},
        ),
        (
            {"action": "repair", "mark": "7"},
            {"repair": Repair.MARK, "version": "7", "dry_run": True},
        ),
        (
            {"action": "adopt", "from": "goose", "dry_run": True},
            {"source": "goose", "dry_run": True},
        ),
        ({"action": "adopt"}, {}),
        ({"action": "unlock"}, {}),
        ({"action": "history", "limit": 5}, {"limit": 5}),
    ],
)
def test_operators_commands_are_read(event: dict[str, Any], expected: dict[str, Any]) -> None:
    """Each key sets its field of the request."""
    given = {**event, **OPERATOR}
    found = read_request(given, ALL_ACTIONS)
    caller = Caller("direct")
    assert found == Request(Action(event["action"]), caller, **expected, **OPERATOR)


@pytest.mark.parametrize(
    ("event", "problem", "hint"),
    [
        (
            {"action": "down", **OPERATOR},
            "A down needs target or steps.",
            'Send either "steps" (the number of migrations) or "target" (the version to stop at).',
        ),
        (
            {"action": "down", "steps": 1, "target": "7", **OPERATOR},
            "A down takes either target or steps; the command has both.",
            'Send either "steps" (the number of migrations) or "target" (the version to stop at).',
        ),
        (
            {"action": "down", "steps": 0, **OPERATOR},
            "The value of steps is invalid.",
            "Send a whole number from 1 to 99999, or leave steps out.",
        ),
        (
            {"action": "plan", "steps": 1},
            '"steps" is only for a down.',
            'Add "direction": "down".',
        ),
        (
            {"action": "repair", **OPERATOR},
            "A repair makes one change to one migration; the command has 0.",
            'Send one of "accept", "forget" and "mark", each with a version.',
        ),
        (
            {"action": "repair", "accept": "1", "mark": "2", **OPERATOR},
            "A repair makes one change to one migration; the command has 2.",
            'Send one of "accept", "forget" and "mark", each with a version.',
        ),
        (
            {"action": "baseline", **OPERATOR},
            "A baseline needs target.",
            'Send "target": the last version that the database already contains.',
        ),
        *(
            (
                {"action": action, **given},
                f'The action "{action}" needs {needed}.',
                (
                    f'Send {{"action": "{action}", "requested_by": "…", "reason": "…"}};'
                    " both are recorded with the run."
                ),
            )
            for action in ("down", "baseline", "adopt", "repair", "unlock")
            for needed, given in (
                ("reason", {"requested_by": "me"}),
                ("requested_by", {"reason": "why"}),
            )
        ),
    ],
)
def test_operators_command_that_does_not_fit_is_refused(
    event: dict[str, Any], problem: str, hint: str
) -> None:
    """An action that changes something must give its extent, its requester and its reason."""
    with pytest.raises(RequestInvalid) as caught:
        read_request(event, ALL_ACTIONS)
    assert (f"{problem}", hint) == (caught.value.message, caught.value.hint)


def test_long_history_fits_into_what_lambda_returns() -> None:
    """A history of 1,000 long runs is cut, and its count stays complete."""
    now = datetime(2026, 11, 30, tzinfo=UTC)
    record = RunRecord("r", "up", "applied", now, now, "direct", reason="é" * 1_000)
    value = answer({}, Report(Status.UP_TO_DATE, Action.HISTORY, "1", runs=(record,) * 1_000))
    assert len(json.dumps(value)) <= 5_500_000
    assert 1_000 == value["counts"]["runs"]
    assert 0 < len(value["runs"]) < 1_000
