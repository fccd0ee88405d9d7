"""Notices of the server: shown in the terminal, or counted as warnings in the log."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from lockgate.core.failure import mask
from lockgate.core.server_events import ServerWarned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lockgate.core.events import Event

# A loop may raise a million warnings; the first few are enough for the log.
_MOST_WARNINGS = 20


class NoticeLog:
    """Receives the notices of one run. ``tell`` shows them in the terminal, if there is one."""

    def __init__(
        self, add_event: Callable[[Event], object], tell: Callable[[str, str], None] | None
    ) -> None:
        self._add_event = add_event
        self._tell = tell
        self._warnings = 0
        # The values to hide of the migrations that run now; ``None`` while none runs.
        self._hidden: tuple[str, ...] | None = None

    @property
    def tell(self) -> Callable[[str, str], None] | None:
        """The function that shows a message in the terminal, ``None`` without a terminal."""
        return self._tell

    @contextmanager
    def shown(self, hidden: tuple[str, ...]) -> Iterator[None]:
        """Show notices in the terminal while a migration runs, with its secret values masked."""
        self._hidden = hidden
        try:
            yield
        finally:
            self._hidden = None

    def receive(self, fields: dict[str, str]) -> None:
        """Show a notice in the terminal, or log that there was a warning.

        The text is not logged, because a trigger may have put row data into it.
        """
        if self._tell is not None and self._hidden is not None:
            self._tell(fields.get("V", "NOTICE"), mask(fields.get("M", ""), self._hidden))
            return
        if fields.get("V") == "WARNING" and self._warnings < _MOST_WARNINGS:
            self._warnings += 1
            self._add_event(ServerWarned(fields.get("C")))
