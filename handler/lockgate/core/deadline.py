"""How much time a run has. Knows a clock that it is given; starts and stops nothing.

::

    now          work may start        cancel            answer     Lambda kills
     |------------- work_ms ------------|---- reserve ----|------------|
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Protocol

from lockgate.value import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable


_SLICE_SECONDS = 0.2


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
