"""How much time a run has left, and when it must stop.

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
# A step may wait until this share of the reserve is left; later steps share the rest above the minimum.
_WAIT_UNTIL_RESERVE_SHARE = 0.5
_LEAST_RESERVE_SHARE = 0.3
_LEAST_WAIT_MS = 50.0


class Clock(Protocol):
    """A clock that can be replaced in tests."""

    def monotonic(self) -> float:
        """Return seconds that never decrease."""
        ...

    def sleep(self, seconds: float) -> None:
        """Sleep for that many seconds."""
        ...


@dataclass(slots=True)
class Deadline:
    """When to stop: at a time (``None``: never), or on an interrupt.

    ``remaining`` returns the milliseconds until the process is killed; ``reserve_ms`` of them are
    reserved to record, unlock and answer.
    """

    remaining: Callable[[], int] | None
    reserve_ms: int
    interrupted_by: str | None = field(default=None)

    def remaining_ms(self) -> int | None:
        """Return the milliseconds until the kill, or ``None`` without a deadline."""
        return None if self.remaining is None else self.remaining()

    def work_ms(self) -> int | None:
        """Return the milliseconds left for work, at least 0, or ``None`` without a deadline."""
        left = self.remaining_ms()
        return None if left is None else max(0, left - self.reserve_ms)

    def longest_wait_ms(self, most_ms: float) -> float:
        """Return how long one step may wait for an answer, at most ``most_ms``.

        The network may be silent, and there must be time left to answer the caller.
        """
        left_ms = self.remaining_ms()
        if left_ms is None:
            return most_ms
        first_ms = left_ms - self.reserve_ms * _WAIT_UNTIL_RESERVE_SHARE
        later_ms = (left_ms - self.reserve_ms * _LEAST_RESERVE_SHARE) / 2
        return min(most_ms, max(first_ms, later_ms, _LEAST_WAIT_MS))

    def interrupt(self, by: str) -> None:
        """Make the run stop as at its deadline. Safe in a signal handler."""
        self.interrupted_by = by

    def pause(self, clock: Clock, seconds: float) -> None:
        """Sleep, but not beyond the deadline or an interrupt."""
        ends_at = clock.monotonic() + seconds
        while not self.is_over and (left := ends_at - clock.monotonic()) > 0:
            clock.sleep(min(left, _SLICE_SECONDS))

    @property
    def is_over(self) -> bool:
        """True if no more work may start."""
        return self.interrupted_by is not None or self.work_ms() == 0
