"""How much time a run has. Knows a clock that it is given; starts and stops nothing.

::

    now          work may start        cancel            answer     Lambda kills
     |------------- work_ms ------------|---- reserve ----|------------|
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Protocol

from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable


_SLICE_SECONDS = 0.2
# One step may wait until this share of the reserve is left; later ones share what is above the least.
_WAIT_UNTIL_RESERVE_SHARE = 0.5
_LEAST_RESERVE_SHARE = 0.3
_LEAST_WAIT_MS = 50.0


class Clock(Protocol):
    """The two things that a run needs of time."""

    def monotonic(self) -> float:
        """Return seconds that only grow."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let that many seconds pass."""
        ...


@dataclass(slots=True)
class Deadline:
    """When to stop: at a time (``None``: never), or when somebody interrupts.

    ``remaining`` gives the milliseconds until the process is killed; ``reserve_ms`` of them are kept
    to record, unlock and answer.
    """

    remaining: Callable[[], int] | None
    reserve_ms: int
    interrupted_by: str | None = field(default=None)

    def remaining_ms(self) -> int | None:
        """Return what is left until the kill, or ``None`` without a deadline."""
        return None if self.remaining is None else self.remaining()

    def work_ms(self) -> int | None:
        """Return what is left for work, never below 0, or ``None`` without a deadline."""
        left = self.remaining_ms()
        return None if left is None else max(0, left - self.reserve_ms)

    def longest_wait_ms(self, most_ms: float) -> float:
        """Return how long one step may wait for an answer, at most ``most_ms``.

        A network may have fallen silent, and there must be time left to answer whoever invoked.
        """
        left_ms = self.remaining_ms()
        if left_ms is None:
            return most_ms
        first_ms = left_ms - self.reserve_ms * _WAIT_UNTIL_RESERVE_SHARE
        later_ms = (left_ms - self.reserve_ms * _LEAST_RESERVE_SHARE) / 2
        return min(most_ms, max(first_ms, later_ms, _LEAST_WAIT_MS))

    def interrupt(self, by: str) -> None:
        """Ask the run to stop as it does at its deadline. Safe in a signal handler."""
        self.interrupted_by = by

    def pause(self, clock: Clock, seconds: float) -> None:
        """Let time pass, but not beyond the end of the work or an interrupt."""
        ends_at = clock.monotonic() + seconds
        while not self.is_over and (left := ends_at - clock.monotonic()) > 0:
            clock.sleep(min(left, _SLICE_SECONDS))

    @property
    def is_over(self) -> bool:
        """Whether no further work may start."""
        return self.interrupted_by is not None or self.work_ms() == 0
