"""Delivers an answer exactly once, with retries if the network or the service fails.

The run and the emergency thread may both have an answer; the first one is delivered. Retries stay within
the invocation's remaining time.
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

# The least time that a connection and a response need.
LEAST_MS = 1_000
_FIRST_PAUSE_MS = 200
_LONGEST_PAUSE_MS = 5_000


@dataclass(frozen=True, slots=True)
class Timing:
    """The clock of an invocation: the remaining time, how to pause, and the jitter of pauses."""

    remaining_ms: Callable[[], int]
    sleep: Callable[[float], object]
    jitter: Callable[[], float] = random.random


@dataclass(frozen=True, slots=True)
class Attempt:
    """How one try ended; ``ended`` describes it in a few words without secrets."""

    is_done: bool
    may_retry: bool
    ended: str


class NotAwaited(UnexpectedFailure):
    """The caller no longer waits: it got an answer before, or has timed out."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer for a caller: its ``status`` in the caller's terms, and how to deliver it.

    ``deliver`` raises a `LockgateError` if the caller cannot be reached.
    """

    status: str
    deliver: Callable[[], object] = field(repr=False)


class SingleAnswer:
    """Delivers one answer exactly once, whichever thread comes first.

    ::

        run        ──── work ──────────────────────── answer ✗  (waits, then finds it answered)
        watchdog   ─────────── time is over ── answer ─── sent ── heard ✓

    The second thread waits for the first: if the handler returned while the other thread still sends,
    Lambda would freeze it. If the first could not deliver, the second tries.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._given: Answer | None = None

    @property
    def is_answered(self) -> bool:
        """Whether an answer was delivered. Waits while another thread delivers one."""
        with self._lock:
            return self._given is not None

    def give(self, answer: Answer) -> Answer:
        """Deliver the answer unless one was delivered before; return the delivered one.

        If ``deliver`` raises, the error is passed on and an answer is still due.
        """
        with self._lock:
            if self._given is None:
                answer.deliver()
                self._given = answer
            return self._given


def retry(attempt: Callable[[], Attempt], timing: Timing) -> tuple[int, Attempt]:
    """Attempt up to 5 times within the remaining time; return the number of tries, and the last one.

    The pauses grow and have jitter, so that many stacks do not retry at the same time.
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
    """Send the outcome to an AWS service; if a failure may pass, try again as `retry` does.

    ``over``: the error codes that mean that the service no longer waits.

    Raises:
        NotAwaited: the service no longer waits.
        UnexpectedFailure: the outcome could not be sent.
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
