"""Shows the demo on a screen: what was sent, what came back, whether that is correct."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.terminal.line import EMPTY, Span, Style, labelled, paragraph
from lockgate.terminal.report import describe_report

if TYPE_CHECKING:
    from lockgate.terminal.report_rows import Value
    from lockgate.terminal.screen import Screen


class DemoScreen:
    """Shows the steps of the demo; see `local.demo.DemoOutput`."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    def show_introduction(self, text: str) -> None:
        """Show what the demo is about."""
        self._screen.show(paragraph(text, self._screen.width, style=Style.STRONG))

    def start_step(self, number: int, title: str) -> None:
        """Show the title of the next step."""
        heading = paragraph(f"{number}  {title}", self._screen.width, style=Style.STRONG)
        self._screen.show([EMPTY, *heading])

    def show_line(self, label: str, text: str) -> None:
        """Show one line of the step; labels of up to eight letters form a column."""
        span = Span(f"{label:<8}", Style.DIM)
        self._screen.show(labelled(span, text, self._screen.width, indent=3))

    def show_report(self, report: Value) -> None:
        """Show a report like every command does, but indented."""
        width = self._screen.width
        lines = describe_report(report, None if width is None else width - 3)
        self._screen.show(
            [EMPTY, *((Span("   "), *line) if line else line for line in lines), EMPTY]
        )

    def show_check(self, text: str, *, is_right: bool) -> None:
        """Show whether a check passed."""
        mark = Span("✓", Style.GOOD) if is_right else Span("✗", Style.BAD)
        self._screen.show(labelled(mark, text, self._screen.width, indent=3))
