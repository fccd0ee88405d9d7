"""Decides what a run does after a broken connection, a failed migration or the deadline.

Whether a step of the run is done again is decided here and nowhere else: connecting, taking the lock,
applying a segment, recording the end. `interruptions` carries it out.

What is done again *inside* one step is decided where it is sent, because only that code knows that
nothing was changed or lost:

* ``postgres/server/connector.py`` connects again while a server starts or a password is rotated.
* ``engine/lock_wait.py`` waits while another run holds the lock. ``postgres/tables/lock.py`` starts
  over if the holder changed between its statements, and waits for a dead run's session to end.
* ``postgres/database.py`` (`install`) and ``postgres/held_lock.py`` (`finish`) send Lockgate's own
  statements again if another session creates or uses the same tables.
* ``postgres/apply/`` repeats a transaction that it has rolled back itself, to lock what a script drops
  (``data_loss_guard.py``) or to find the migration at fault (``replay.py``). Before a statement outside
  a transaction, it waits for another session that builds the same index (``lone_statement.py``).
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from lockgate.core.sqlstate import CANCELLED, LOCK_CONFLICTS
from lockgate.errors import DatabaseUnreachable, RunIncomplete

if TYPE_CHECKING:
    from lockgate.core.failure import Failure

# How often a run resumes its work after a broken connection.
MOST_RECOVERIES = 3

# 53200 out_of_memory (the lock table is full), 55P04 unsafe_new_enum_value_usage, 55006 pending
# trigger events, 25001 a transaction that must be set up first: too much for one transaction, though
# not for several.
_TOO_MUCH_FOR_ONE = frozenset({"53200", "55P04", "55006", "25001"})

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 10.0


class Phase(StrEnum):
    """How far a run has come: what a broken connection means depends on it."""

    BEFORE_LOCK = "before_lock"
    HELD = "held"
    FINISHING = "finishing"


class AfterLoss(StrEnum):
    """What follows a broken connection."""

    START_AGAIN = "start_again"
    RETAKE_LOCK = "retake_lock"
    STOP = "stop"
    GIVE_UP = "give_up"
    LEAVE_LOCK = "leave_lock"


class AfterFailure(StrEnum):
    """What follows a failed step."""

    SPLIT = "split"
    RETRY = "retry"
    STOP = "stop"
    FAIL = "fail"


def decide_after_loss(
    phase: Phase, losses: int, *, is_over: bool, is_retaking: bool = False
) -> AfterLoss:
    """Decide what follows a broken connection.

    ``losses`` counts those of the phase, this one included. ``is_retaking``: the connection broke while
    the lock was being taken up after another loss. ``is_over``: no further work may start.
    """
    if phase is Phase.FINISHING:
        return AfterLoss.LEAVE_LOCK if is_retaking else AfterLoss.RETAKE_LOCK
    if phase is Phase.HELD and is_over:
        return AfterLoss.STOP
    if is_over or losses > MOST_RECOVERIES:
        return AfterLoss.GIVE_UP
    return AfterLoss.START_AGAIN if phase is Phase.BEFORE_LOCK else AfterLoss.RETAKE_LOCK


def may_finish(losses: int) -> bool:
    """Tell whether the end of a run is recorded once more after so many losses while finishing."""
    return losses < MOST_RECOVERIES


def decide_after_failure(
    failure: Failure, *, tries: int, most_tries: int, is_cancelled: bool, is_over: bool, parts: int
) -> AfterFailure:
    """Decide what follows a failed step.

    ``tries`` counts the failures of its segment that were retried before. ``is_cancelled``: Lockgate
    itself has cancelled a statement. ``parts`` is how many transactions the segment can be split into.
    """
    if failure.sqlstate == CANCELLED and (is_cancelled or is_over):
        return AfterFailure.STOP
    if failure.sqlstate in _TOO_MUCH_FOR_ONE and parts > 1:
        return AfterFailure.SPLIT
    is_retryable = failure.sqlstate in LOCK_CONFLICTS and not failure.has_committed
    if is_retryable and tries < most_tries and not is_over:
        return AfterFailure.RETRY
    return AfterFailure.FAIL


def retry_pause(attempt: int, jitter: float) -> float:
    """Return the seconds to pause before retry ``attempt``, from 1. ``jitter`` is from 0 to 1."""
    pause: float = min(_FIRST_PAUSE_SECONDS * 2 ** (attempt - 1), _LONGEST_PAUSE_SECONDS)
    return pause * (0.5 + jitter / 2)


def make_unreachable(phase: Phase, losses: int, reason: str) -> DatabaseUnreachable:
    """Return the error of a connection that broke too often."""
    rest = "" if phase is Phase.BEFORE_LOCK else ": the run continues where it stopped"
    return DatabaseUnreachable(
        f"The connection broke {losses} times: {reason}.", hint=f"Invoke again{rest}."
    )


def make_stop(
    phase: Phase, interrupted_by: str | None, cut_off: Failure | None = None
) -> RunIncomplete:
    """Return the error of a run that stops at its deadline or is interrupted.

    ``cut_off`` is the step that was cancelled for it.
    """
    why = interrupted_by or "the time of this invocation is over"
    if phase is Phase.BEFORE_LOCK:
        return RunIncomplete(f"The run stopped before it began: {why}.", hint="Invoke again.")
    where = ""
    if cut_off is not None:
        statement = f"statement {cut_off.statement} of " if cut_off.statement else ""
        where = f" It was in {statement}migration {cut_off.migration}, which was cancelled."
    return RunIncomplete(
        f"The run stopped before it was done: {why}.{where}",
        hint="Invoke again: the run continues where it stopped.",
        file=None if cut_off is None else cut_off.file,
        migration=None if cut_off is None else cut_off.migration,
    )
