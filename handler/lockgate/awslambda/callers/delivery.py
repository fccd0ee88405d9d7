"""Delivering an answer: once, and again where the network failed. Knows tries and threads; no caller.

An answer that is owed comes from whichever thread is first, and is tried again within the time that
is left of the invocation.
"""

from __future__ import annotations

import random
import threading
from dataclasses import field
from typing import TYPE_CHECKING

from lockgate.aws.clients import may_pass, translated
from lockgate.errors import LockgateError, UnexpectedFailure
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from lockgate.aws.call import Call

MAX_TRIES = 5

# Less than this is too little for a connection and an answer.
LEAST_MS = 1_000
_FIRST_PAUSE_MS = 200
_LONGEST_PAUSE_MS = 5_000


@dataclass(frozen=True, slots=True)
class Timing:
    """The clock of an invocation: what is left of it, how to pause, and how pauses are spread."""

    remaining_ms: Callable[[], int]
    sleep: Callable[[float], object]
    jitter: Callable[[], float] = random.random


@dataclass(frozen=True, slots=True)
class Attempt:
    """How one try ended; ``ended`` says it in a few words that hold no secret."""

    is_done: bool
    may_retry: bool
    ended: str


class NotAwaited(UnexpectedFailure):
    """Nobody waits for the answer: it was given before, or the caller has given up."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a caller is told: ``status`` in its own words, and how it is delivered.

    ``deliver`` raises a `LockgateError` if the caller cannot be told.
    """

    status: str
    deliver: Callable[[], object] = field(repr=False)


class SingleAnswer:
    """Gives one answer exactly once, whichever thread comes first.

    ::

        run        ──── work ──────────────────────── answer ✗  (waits, then finds it answered)
        watchdog   ─────────── time is over ── answer ─── sent ── heard ✓

    The second comer waits for the first: a handler that returned while the other thread still sends
    would freeze it. If the first could not deliver, the second tries.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._given: Answer | None = None

    @property
    def is_answered(self) -> bool:
        """Whether an answer was delivered."""
        return self._given is not None

    def give(self, answer: Answer) -> Answer:
        """Deliver the answer unless one was, and return the one that was delivered.

        What ``deliver`` raises is passed on, and an answer is still due.
        """
        with self._lock:
            if self._given is None:
                answer.deliver()
                self._given = answer
            return self._given


def retry(attempt: Callable[[], Attempt], timing: Timing) -> tuple[int, Attempt]:
    """Attempt up to 5 times within the time that is left; return how often, and how the last ended.

    The pauses between grow, and are jittered, so that many stacks do not knock at once.
    """
    tries = 1
    while True:
        last = attempt()
        if last.is_done or not last.may_retry or tries == MAX_TRIES:
            return tries, last
        pause_ms = _pause_ms(tries, timing)
        if timing.remaining_ms() - pause_ms < LEAST_MS:
            return tries, last
        timing.sleep(pause_ms / 1_000)
        tries += 1


def send_outcome(
    send: Callable[[], object], call: Call, over: frozenset[str], timing: Timing
) -> None:
    """Tell an AWS service the outcome; tried again as in `retry`, where that may help.

    ``over`` are the error codes by which the service says that it does not wait any more.

    Raises:
        NotAwaited: it does not wait any more.
        UnexpectedFailure: it could not be told.
    """
    failures: list[LockgateError] = []

    def attempt() -> Attempt:
        try:
            with translated(call):
                send()
        except LockgateError as error:
            failures.append(error)
            return Attempt(False, may_pass(error), str(error.fields.get("aws_code")))
        return Attempt(True, False, "")

    tries, last = retry(attempt, timing)
    if last.is_done:
        return
    error = failures[-1]
    failure = NotAwaited if last.ended in over else UnexpectedFailure
    raise failure(
        f"{error.message} What the run did to the database stays.",
        hint=error.hint,
        tries=tries,
        ended=last.ended,
    ) from error


def _pause_ms(tries: int, timing: Timing) -> float:
    longest: int = min(_LONGEST_PAUSE_MS, _FIRST_PAUSE_MS * 2 ** (tries - 1))
    return longest * (0.5 + timing.jitter() / 2)
