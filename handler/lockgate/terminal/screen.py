"""Writes lines to a stream: styled on a terminal, plain everywhere else.

Plain output has no escape sequences. On a terminal it is chosen by ``NO_COLOR``, ``TERM=dumb`` or
``--no-color``, or because rich is not installed. A stream that is not a terminal gets unwrapped lines.
"""

from __future__ import annotations

import importlib.util
import os
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Protocol, TextIO

from lockgate.terminal.line import Style

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from contextlib import AbstractContextManager

    from lockgate.terminal.line import Line
    from lockgate.terminal.styled import StyledOutput

_COLOURS = {
    Style.PLAIN: "",
    Style.STRONG: "bold",
    Style.DIM: "dim",
    Style.GOOD: "green",
    Style.WARNING: "yellow",
    Style.BAD: "bold red",
}
# For streams that can only show ASCII.
_ASCII = str.maketrans({"✓": "+", "✗": "x", "•": "*", "→": ">", "…": "...", "│": "|"})
_LEAST_WIDTH = 40


class LiveText(Protocol):
    """The live line that shows what is happening."""

    def update(self, text: str) -> None:
        """Replace the text."""
        ...

    def update_later(self, text: str) -> None:
        """Replace the text at the next refresh. Writes nothing, so a signal handler may call it."""
        ...


class Screen:
    """A stream, and how to write to it."""

    def __init__(
        self, stream: TextIO, environment: Mapping[str, str], *, plain: bool = False
    ) -> None:
        """Inspect the stream once; ``plain`` is --no-color."""
        self._stream = stream
        self.is_terminal = stream.isatty()
        is_dumb = environment.get("TERM", "") in {"dumb", "unknown"}
        wants_plain = plain or bool(environment.get("NO_COLOR")) or is_dumb
        self.is_styled = self.is_terminal and not wants_plain and _has_rich()
        self.width = read_width(stream) if self.is_terminal else None
        encoding = (stream.encoding or "ascii").lower().replace("-", "")
        self._is_unicode = encoding.startswith("utf")
        self._output: StyledOutput | None = None

    def show(self, lines: Iterable[Line]) -> None:
        """Write lines and flush."""
        for line in lines:
            if self.is_styled:
                self._show_styled(line)
            else:
                self._stream.write(self._encodable("".join(s.text for s in line)) + "\n")
        self._stream.flush()

    def live(self, text: str) -> AbstractContextManager[LiveText]:
        """Keep a line with a spinner at the bottom; without a styled terminal, show nothing."""
        return self._styled().live(text) if self.is_styled else nullcontext(_NoLiveText())

    def interject(self, live_text: LiveText, text: str) -> None:
        """Show a text from a signal handler: on the live line, or around the stream's buffer."""
        if self.is_styled:
            live_text.update_later(text)
            return
        with suppress(OSError, ValueError):
            os.write(self._stream.fileno(), f"{self._encodable(text)}\n".encode())

    def _show_styled(self, line: Line) -> None:
        parts = [(self._encodable(span.text), _COLOURS[span.style]) for span in line]
        self._styled().show(parts)

    def _styled(self) -> StyledOutput:
        if self._output is None:
            from lockgate.terminal.styled import StyledOutput  # the door to rich: 60 ms

            self._output = StyledOutput(self._stream)
        return self._output

    def _encodable(self, text: str) -> str:
        shown = text if self._is_unicode else text.translate(_ASCII)
        return shown.encode(self._stream.encoding or "ascii", "replace").decode(
            self._stream.encoding or "ascii"
        )


class _NoLiveText:
    """The live line of a stream that cannot have one."""

    def update(self, text: str) -> None:
        """Show nothing."""

    def update_later(self, text: str) -> None:
        """Show nothing."""


def _has_rich() -> bool:
    return importlib.util.find_spec("rich") is not None


def read_width(stream: TextIO | None) -> int | None:
    """Return a terminal's number of columns, or ``None`` if the stream is not a terminal."""
    if stream is None:
        return None
    with suppress(OSError, ValueError):
        return max(_LEAST_WIDTH, os.get_terminal_size(stream.fileno()).columns)
    return None
