"""Draws a record as an SVG picture: bars for each kind of work, shorter is faster."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from benchmarks.peer import Kind
from benchmarks.record import find_value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.record import Record

PANELS = ("nothing-1000", "fresh-1000", "fresh-10000", "far-fresh-1000")
_WIDTH, _COLUMN, _BAR, _GAP = 880, 440, 13, 5
_LABEL, _ROOM = 118, 230
# A bar longer than this multiple of Lockgate's is cut.
_MOST = 6.0
_COLOURS = {Kind.OURS.value: "#0b7285", Kind.FLOOR.value: "#adb5bd"}
_OTHERS = "#f08c00"


def draw(record: Record) -> str:
    """Return the picture: a panel for each row that the record has."""
    panels = [row for row in PANELS if row in record["rows"]]
    parts: list[str] = []
    top = 8
    for first in range(0, len(panels), 2):
        pair = panels[first : first + 2]
        for place, row in enumerate(pair):
            parts += _draw_panel(record, row, place * _COLUMN, top)
        top += max(_height(record, row) for row in pair)
    style = "font: 11px system-ui, sans-serif"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top}" style="{style}">'
    return "\n".join(
        [head, f'<rect width="{_WIDTH}" height="{top}" fill="#ffffff"/>', *parts, "</svg>\n"]
    )


def _height(record: Record, row: str) -> int:
    return 42 + len(record["rows"][row]["peers"]) * (_BAR + _GAP)


def _draw_panel(record: Record, row: str, left: int, top: int) -> Iterator[str]:
    title = escape(f"{record['rows'][row]['title']} (ms)")
    yield f'<text x="{left + 8}" y="{top + 14}" font-weight="bold">{title}</text>'
    ours = find_value(record, row, "lockgate") or 1.0
    values = [(peer, find_value(record, row, peer)) for peer in record["rows"][row]["peers"]]
    known = [value for _, value in values if value is not None]
    longest = min(max(known, default=1.0), ours * _MOST)
    for place, (peer, value) in enumerate(values):
        y = top + 24 + place * (_BAR + _GAP)
        yield f'<text x="{left + _LABEL}" y="{y + 10}" text-anchor="end">{escape(peer)}</text>'
        yield from _draw_bar(record, row, peer, value, longest, left + _LABEL + 6, y)


def _draw_bar(
    record: Record, row: str, peer: str, value: float | None, longest: float, x: int, y: int
) -> Iterator[str]:
    if value is None:
        text = record["rows"][row]["peers"][peer].get("failed", "-")
        yield f'<text x="{x}" y="{y + 10}" fill="#868e96">{escape(text)}</text>'
        return
    width = round(_ROOM * min(value, longest) / longest, 1)
    colour = _COLOURS.get(record["peers"][peer], _OTHERS)
    yield f'<rect x="{x}" y="{y}" width="{width}" height="{_BAR}" fill="{colour}"/>'
    cut = " …" if value > longest else ""
    yield f'<text x="{x + width + 4}" y="{y + 10}">{value:,.0f}{cut}</text>'
