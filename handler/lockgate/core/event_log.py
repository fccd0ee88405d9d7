"""The log of one run's events: records them, passes them to listeners, and times phases."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from lockgate.core.events import PhaseEnded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lockgate.core.events import Event

    Listener = Callable[[Event], object]


class EventLog:
    """The events of one run in order. Each listener gets each event after it was recorded.

    Any thread may add an event or take a snapshot; one thread times the phases.
    """

    def __init__(self, monotonic: Callable[[], float], *listeners: Listener) -> None:
        self.monotonic = monotonic
        self._listeners = list(listeners)
        self._events: list[Event] = []
        self._inside = 0.0

    def listen(self, listener: Listener) -> None:
        """Add a listener for future events."""
        self._listeners.append(listener)

    def add(self, *events: Event) -> None:
        """Record events and pass them on."""
        for event in events:
            self._events.append(event)
            for listener in self._listeners:
                listener(event)

    def snapshot(self) -> tuple[Event, ...]:
        """Return the events so far."""
        return tuple(self._events)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a phase, without the phases inside it."""
        started, around = self.monotonic(), self._inside
        self._inside = 0.0
        try:
            yield
        finally:
            elapsed = self.monotonic() - started
            self.add(PhaseEnded(name, round((elapsed - self._inside) * 1000)))
            self._inside = around + elapsed
