"""The decisions about retries, as tables."""

from __future__ import annotations

import pytest

from lockgate.core.failure import Failure
from lockgate.engine.retry import (
    MOST_RECOVERIES,
    AfterFailure,
    AfterLoss,
    Phase,
    decide_after_failure,
    decide_after_loss,
    make_stop,
    make_unreachable,
    may_finish,
    retry_pause,
)

BEFORE, HELD, FINISHING = Phase.BEFORE_LOCK, Phase.HELD, Phase.FINISHING
LOCK_TIMEOUT, DEADLOCK, CANCELLED, NO_LOCKS = "55P03", "40P01", "57014", "53200"


@pytest.mark.parametrize(
    ("phase", "losses", "is_over", "is_retaking", "expected"),
    [
        (BEFORE, 1, False, False, AfterLoss.START_AGAIN),
        (BEFORE, MOST_RECOVERIES, False, False, AfterLoss.START_AGAIN),
        (BEFORE, MOST_RECOVERIES + 1, False, False, AfterLoss.GIVE_UP),
        (BEFORE, 1, True, False, AfterLoss.GIVE_UP),
        (HELD, 1, False, False, AfterLoss.RETAKE_LOCK),
        (HELD, MOST_RECOVERIES, False, True, AfterLoss.RETAKE_LOCK),
        (HELD, MOST_RECOVERIES + 1, False, True, AfterLoss.GIVE_UP),
        (HELD, 1, True, False, AfterLoss.STOP),
        (HELD, MOST_RECOVERIES + 1, True, False, AfterLoss.STOP),
        (FINISHING, 1, False, False, AfterLoss.RETAKE_LOCK),
        (FINISHING, 1, True, False, AfterLoss.RETAKE_LOCK),
        (FINISHING, MOST_RECOVERIES, False, False, AfterLoss.RETAKE_LOCK),
        (FINISHING, 1, False, True, AfterLoss.LEAVE_LOCK),
    ],
)
def test_broken_connection_is_followed_by(
    phase: Phase, losses: int, expected: AfterLoss, *, is_over: bool, is_retaking: bool
) -> None:
    """The reaction to a lost connection depends on the phase, the number of losses and the time."""
    found = decide_after_loss(phase, losses, is_over=is_over, is_retaking=is_retaking)
    assert expected is found


def test_end_is_recorded_three_times_at_most() -> None:
    """Recording the end is tried three times."""
    assert [True, True, True, False] == [may_finish(losses) for losses in range(4)]


def decide(sqlstate: str | None, **changes: object) -> AfterFailure:
    """Decide about the first failure of a segment of two migrations."""
    terms = {"tries": 0, "most_tries": 5, "is_cancelled": False, "is_over": False, "parts": 2}
    has_committed = bool(changes.pop("has_committed", False))
    failure = Failure("1 a", "no", sqlstate=sqlstate, has_committed=has_committed)
    return decide_after_failure(failure, **(terms | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sqlstate", "changes", "expected"),
    [
        ("42601", {}, AfterFailure.FAIL),
        (None, {}, AfterFailure.FAIL),
        (LOCK_TIMEOUT, {}, AfterFailure.RETRY),
        (DEADLOCK, {"tries": 4}, AfterFailure.RETRY),
        (DEADLOCK, {"tries": 5}, AfterFailure.FAIL),
        (LOCK_TIMEOUT, {"most_tries": 0}, AfterFailure.FAIL),
        (LOCK_TIMEOUT, {"is_over": True}, AfterFailure.FAIL),
        (LOCK_TIMEOUT, {"has_committed": True}, AfterFailure.FAIL),
        (NO_LOCKS, {}, AfterFailure.SPLIT),
        (NO_LOCKS, {"parts": 1}, AfterFailure.FAIL),
        ("55P04", {"is_over": True}, AfterFailure.SPLIT),
        (CANCELLED, {}, AfterFailure.FAIL),
        (CANCELLED, {"is_cancelled": True}, AfterFailure.STOP),
        (CANCELLED, {"is_over": True}, AfterFailure.STOP),
    ],
)
def test_failed_step_is_followed_by(
    sqlstate: str | None, changes: dict[str, object], expected: AfterFailure
) -> None:
    """A lock conflict is retried, a segment too large for the server is split, other errors fail."""
    assert expected is decide(sqlstate, **changes)


def test_pauses_double_up_to_ten_seconds() -> None:
    """Pauses double up to ten seconds, and half of each is random."""
    assert [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0] == [retry_pause(n, 1.0) for n in range(1, 8)]
    assert [0.25, 5.0] == [retry_pause(n, 0.0) for n in (1, 9)]


@pytest.mark.parametrize(
    ("phase", "message"),
    [
        (BEFORE, "The run stopped before it began: SIGTERM."),
        (HELD, "The run stopped before it was done: SIGTERM."),
    ],
)
def test_stop_reports_how_far_the_run_came(phase: Phase, message: str) -> None:
    """The message states how far the run came and what interrupted it."""
    assert message == make_stop(phase, "SIGTERM").message


def test_stop_names_the_statement_that_was_cancelled() -> None:
    """The message names the cancelled statement, and time as the reason if there is no other."""
    error = make_stop(HELD, None, Failure("2 b", "no", statement=3, file="2_b.sql"))
    assert error.message == (
        "The run stopped before it was done: the time of this invocation is over."
        " It was in statement 3 of migration 2 b, which was cancelled."
    )
    assert {"file": "2_b.sql", "migration": "2 b"} == error.fields


@pytest.mark.parametrize(
    ("phase", "hint"),
    [(BEFORE, "Invoke again."), (HELD, "Invoke again: the run continues where it stopped.")],
)
def test_unreachable_database_reports_the_number_of_broken_connections(
    phase: Phase, hint: str
) -> None:
    """The message gives the number of losses and the last reason."""
    error = make_unreachable(phase, 4, "reset by peer")
    assert ("The connection broke 4 times: reset by peer.", hint) == (error.message, error.hint)
