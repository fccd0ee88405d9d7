"""Styled output and a live line on a terminal. The only user of rich."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence


class StyledOutput:
    """A terminal that shows colours."""

    def __init__(self, stream: TextIO) -> None:
        self._console = Console(file=stream, force_terminal=True, highlight=False)

    def show(self, parts: Sequence[tuple[str, str]]) -> None:
        """Write one line of texts with their styles."""
        self._console.print(Text.assemble(*parts), soft_wrap=True)

    def live(self, text: str) -> LiveLine:
        """Return a line with a spinner, a text and the elapsed time."""
        return LiveLine(self._console, text)


class LiveLine:
    """A spinner, a text and the elapsed time; shown while it is entered."""

    def __init__(self, console: Console, text: str) -> None:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        self._progress = Progress(*columns, console=console, transient=True)
        self._task: Any = self._progress.add_task(text, total=None)

    def update(self, text: str) -> None:
        """Replace the text now."""
        self.update_later(text)
        self._progress.refresh()

    def update_later(self, text: str) -> None:
        """Replace the text at the next refresh. Markup in it has no effect."""
        self._progress.update(self._task, description=escape(text))

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
