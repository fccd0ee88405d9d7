"""Lines of styled text, and their layout: paragraphs, labels and tables."""

from __future__ import annotations

import textwrap
import unicodedata
from enum import StrEnum
from typing import TYPE_CHECKING

from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_GAP = 2
# The minimum width of a last column, however wide the others are.
_LEAST_LAST = 28


class Style(StrEnum):
    """What a text means to the reader."""

    PLAIN = "plain"
    STRONG = "strong"
    DIM = "dim"
    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Span:
    """Text in one style. Printable characters only: see `printable`."""

    text: str
    style: Style = Style.PLAIN


Line = tuple[Span, ...]

EMPTY: Line = ()


@dataclass(frozen=True, slots=True)
class Cell:
    """One field of a table. ``is_number`` aligns it to the right."""

    text: str
    style: Style = Style.PLAIN
    is_number: bool = False


def printable(text: str) -> str:
    """Return the text with spaces instead of control characters, which foreign names may contain."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " for c in text)


def measure(text: str) -> int:
    """Return how many columns of a screen the text takes."""
    return len(text) if text.isascii() else sum(map(_width_of, text))


def paragraph(
    text: str, width: int | None, *, indent: int = 0, style: Style = Style.PLAIN
) -> Iterator[Line]:
    """Yield a text with each line indented, and wrapped between words unless ``width`` is None."""
    room = None if width is None else width - indent
    for part in text.splitlines() or [""]:
        for row in _wrap(printable(part).rstrip(), room):
            yield (Span(" " * indent + row, style),)


def labelled(label: Span, text: str, width: int | None, *, indent: int = 2) -> Iterator[Line]:
    """Yield a text after a label, with its further lines aligned under the first."""
    margin = indent + measure(label.text) + _GAP
    for number, (line,) in enumerate(paragraph(text, width, indent=margin)):
        if number == 0:
            yield (Span(" " * indent), label, Span(line.text[indent + len(label.text) :]))
        else:
            yield (line,)


def table(rows: Sequence[Sequence[Cell]], width: int | None, *, indent: int = 4) -> Iterator[Line]:
    """Yield rows with their columns aligned. What does not fit in ``width`` is wrapped, never cut."""
    if not rows:
        return
    widths = [max(measure(cell.text) for cell in column) for column in zip(*rows, strict=True)]
    if width is not None:
        widths = _fit(widths, width - indent)
    for row in rows:
        yield from _lay_out(row, widths, indent)


def _fit(widths: list[int], room: int) -> list[int]:
    """Shorten the last column, then the widest one, until a row fits into ``room``."""
    fitted = list(widths)
    excess = sum(fitted) + _GAP * (len(fitted) - 1) - room
    if excess <= 0:
        return fitted
    taken = min(excess, max(0, fitted[-1] - _LEAST_LAST))
    fitted[-1] -= taken
    widest = max(range(len(fitted)), key=fitted.__getitem__)
    fitted[widest] = max(8, fitted[widest] - (excess - taken))
    return fitted


def _lay_out(row: Sequence[Cell], widths: Sequence[int], indent: int) -> Iterator[Line]:
    columns = [_wrap(cell.text, width) for cell, width in zip(row, widths, strict=True)]
    for index in range(max(len(column) for column in columns)):
        spans: list[Span] = []
        for cell, width, column in zip(row, widths, columns, strict=True):
            text = column[index] if index < len(column) else ""
            blank = " " * (width - measure(text))
            before = " " * _GAP if spans else " " * indent
            padded = before + blank + text if cell.is_number else before + text + blank
            spans.append(Span(padded, cell.style))
        yield _strip_end(spans)


def _strip_end(spans: list[Span]) -> Line:
    while spans and not spans[-1].text.strip():
        spans.pop()
    if spans:
        spans[-1] = Span(spans[-1].text.rstrip(), spans[-1].style)
    return tuple(spans)


def _wrap(text: str, width: int | None) -> list[str]:
    if width is None or measure(text) <= width:
        return [text]
    # Wide characters take two columns, so lines with them are wrapped at half the width.
    characters = width if measure(text) == len(text) else width // 2
    return textwrap.wrap(text, max(1, characters), break_on_hyphens=False) or [""]


def _width_of(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
