"""Where lines are shown. The only user of rich, which it does without: then there is no colour.

Styled output goes to terminals alone, and only where nobody asked for plain text (``NO_COLOR``,
``TERM=dumb``, ``--no-color``). Everything else gets the same lines without any escape sequence; what
is no terminal gets them unwrapped.
"""

from __future__ import annotations

import importlib.util
import os
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Any, Protocol, Self, TextIO

from lockgate.terminal.line import Style

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from contextlib import AbstractContextManager

    from rich.console import Console

    from lockgate.terminal.line import Line

_COLOURS = {
    Style.PLAIN: "",
    Style.STRONG: "bold",
    Style.DIM: "dim",
    Style.GOOD: "green",
    Style.WARNING: "yellow",
    Style.BAD: "bold red",
}
# For streams that can show no more than ASCII.
_ASCII = str.maketrans({"✓": "+", "✗": "x", "•": "*", "→": ">", "…": "...", "│": "|"})
_LEAST_WIDTH = 40


class Doing(Protocol):
    """The live line that says what is going on."""

    def say(self, text: str) -> None:
        """Replace the text."""
        ...

    def note(self, text: str) -> None:
        """Replace the text at the next turn; writes nothing by itself, so a signal handler may."""
        ...


class Screen:
    """A stream, and how it may be written to."""

    def __init__(
        self, stream: TextIO, environment: Mapping[str, str], *, plain: bool = False
    ) -> None:
        """Look at the stream once; ``plain`` is --no-color."""
        self._stream = stream
        self.is_terminal = stream.isatty()
        is_dumb = environment.get("TERM", "") in {"dumb", "unknown"}
        wants_plain = plain or bool(environment.get("NO_COLOR")) or is_dumb
        self.is_styled = self.is_terminal and not wants_plain and _has_rich()
        self.width = read_width(stream) if self.is_terminal else None
        encoding = (stream.encoding or "ascii").lower().replace("-", "")
        self._is_unicode = encoding.startswith("utf")
        self._console: Console | None = None

    def show(self, lines: Iterable[Line]) -> None:
        """Write lines and flush."""
        for line in lines:
            if self.is_styled:
                self._show_styled(line)
            else:
                self._stream.write(self._encodable("".join(s.text for s in line)) + "\n")
        self._stream.flush()

    def live(self, text: str) -> AbstractContextManager[Doing]:
        """Keep one line at the bottom that moves; where that cannot be, it shows nothing."""
        return _LiveLine(self._styled(), text) if self.is_styled else nullcontext(_NoLine())

    def interject(self, doing: Doing, text: str) -> None:
        """Say something in a signal handler: on the live line, else past the stream's buffer."""
        if self.is_styled:
            doing.note(text)
            return
        with suppress(OSError, ValueError):
            os.write(self._stream.fileno(), f"{self._encodable(text)}\n".encode())

    def _show_styled(self, line: Line) -> None:
        from rich.text import Text  # noqa: PLC0415 - see _styled

        parts = [(self._encodable(span.text), _COLOURS[span.style]) for span in line]
        self._styled().print(Text.assemble(*parts), soft_wrap=True)

    def _styled(self) -> Console:
        if self._console is None:
            # 60 ms that a run in a pipe does not pay.
            from rich.console import Console  # noqa: PLC0415 - for who has a terminal

            self._console = Console(file=self._stream, force_terminal=True, highlight=False)
        return self._console

    def _encodable(self, text: str) -> str:
        shown = text if self._is_unicode else text.translate(_ASCII)
        return shown.encode(self._stream.encoding or "ascii", "replace").decode(
            self._stream.encoding or "ascii"
        )


class _NoLine:
    """A live line where there can be none."""

    def say(self, text: str) -> None:
        """Show nothing."""

    def note(self, text: str) -> None:
        """Show nothing."""


class _LiveLine:
    """A spinner, a text and the time it has taken."""

    def __init__(self, console: Console, text: str) -> None:
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415 - for who has a terminal

        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        self._progress = Progress(*columns, console=console, transient=True)
        self._task: Any = self._progress.add_task(text, total=None)

    def say(self, text: str) -> None:
        """Replace the text now."""
        self.note(text)
        self._progress.refresh()

    def note(self, text: str) -> None:
        """Replace the text at the next turn; markup in it means nothing."""
        from rich.markup import escape  # noqa: PLC0415 - for who has a terminal

        self._progress.update(self._task, description=escape(text))

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


def _has_rich() -> bool:
    return importlib.util.find_spec("rich") is not None


def read_width(stream: TextIO | None) -> int | None:
    """Return how many columns a stream's terminal has; ``None`` for one that is no terminal."""
    if stream is None:
        return None
    with suppress(OSError, ValueError):
        return max(_LEAST_WIDTH, os.get_terminal_size(stream.fileno()).columns)
    return None
