#!/usr/bin/env python3
"""Draw the diagrams of the documentation: each ``*.txt`` beside this file becomes an ``*.svg``.

    make diagrams

Knows three kinds, named by a source's first line, and the colours of a light and a dark page. The
same source gives the same picture, byte for byte; a test holds that source and picture agree.

``sequence``: who says what to whom, from top to bottom::

    who migrate "Lockgate" accent
    migrate -> database: takes the lock        --> is an answer
    note migrate, database: nothing pending

``grid``: boxes on a grid, counted from 1,1 at the top left, groups around them, and arrows::

    box migrate 2,1 "Migrate" "one line more" accent
    group 1,1 2,2 "VPC"
    migrate -> database: 5432                  --> is drawn dashed

``timeline``: lanes, spans and moments on a scale of whole steps::

    lane first "Run A"
    span first 0-4 "works" accent
    moment 4 "killed"
"""

from __future__ import annotations

import itertools
import re
import sys
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

_Value = TypeVar("_Value")

FOLDER = Path(__file__).resolve().parent

FONT_SIZE = 14
# A little more than the widest common sans-serif font needs, so that text fits where it is drawn.
CHARACTER_WIDTH = 8.0
MARGIN = 24
TITLE_HEIGHT = 52

_STYLE = """\
text { font: 14px ui-sans-serif, system-ui, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328; }
.title { font-weight: 600; font-size: 16px; }
.small { font-size: 13px; fill: #59636e; }
.page { fill: #ffffff; }
.box { fill: #f6f8fa; stroke: #818b98; }
.accent { fill: #ddf4ff; stroke: #0969da; }
.warn { fill: #fff1e5; stroke: #bc4c00; }
.group { fill: none; stroke: #818b98; stroke-dasharray: 6 4; }
.line { fill: none; stroke: #59636e; stroke-width: 1.5; }
.answer { stroke-dasharray: 5 4; }
.life { stroke: #d1d9e0; stroke-width: 1.5; }
.head { fill: #59636e; }
.under { fill: #ffffff; }
"""
_DARK = """\
text { fill: #f0f6fc; }
.small { fill: #adb5be; }
.page, .under { fill: #0d1117; }
.box { fill: #212830; stroke: #656c76; }
.accent { fill: #0b2558; stroke: #4493f8; }
.warn { fill: #3d1300; stroke: #db6d28; }
.group { stroke: #656c76; }
.line { stroke: #9198a1; }
.life { stroke: #3d444d; }
.head { fill: #9198a1; }
"""

_ARROW_HEAD = (
    '<defs><marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8"'
    ' orient="auto"><path class="head" d="M0,0 L8,4 L0,8 Z"/></marker></defs>'
)

_QUOTED = re.compile(r'"([^"]*)"')
_ARROW = re.compile(r"(\w+) (--?>) (\w+): (.+)")
_TONES = ("accent", "warn")


class SourceInvalid(Exception):
    """A source cannot be drawn; the message says which line, and why."""


@dataclass(slots=True)
class Canvas:
    """An SVG that grows; sizes are in pixels."""

    title: str
    width: float = 0
    height: float = 0
    shapes: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def grow(self, x: float, y: float) -> None:
        """Make room up to a point."""
        self.width, self.height = max(self.width, x), max(self.height, y)

    def box(self, x: float, y: float, width: float, height: float, tone: str) -> None:
        """Draw a rectangle with round corners."""
        self.shapes.append(
            f'<rect class="{tone}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6"/>'
        )
        self.grow(x + width, y + height)

    def line(self, points: list[tuple[float, float]], kind: str, *, head: bool = True) -> None:
        """Draw a line through points, with an arrow's head at its end."""
        path = " ".join(f"{x:g},{y:g}" for x, y in points)
        marker = ' marker-end="url(#head)"' if head else ""
        self.shapes.append(f'<polyline class="{kind}" points="{path}"{marker}/>')

    def text(
        self,
        x: float,
        y: float,
        text: str,
        kind: str = "",
        anchor: str = "middle",
        *,
        on_line: bool = False,
    ) -> None:
        """Write one line, its middle at y; on a line it has the page's colour under it."""
        width = len(text) * CHARACTER_WIDTH
        left = x - width / 2 if anchor == "middle" else x
        if on_line:
            place = f'x="{left - 3:g}" y="{y - 10:g}" width="{width + 6:g}" height="20"'
            self.texts.append(f'<rect class="under" {place}/>')
        name = f' class="{kind}"' if kind else ""
        self.texts.append(
            f'<text{name} x="{x:g}" y="{y + 5:g}" text-anchor="{anchor}">{escape(text)}</text>'
        )
        self.grow(left + width, y + FONT_SIZE / 2)

    def finish(self) -> str:
        """Return the SVG."""
        width, height = self.width + MARGIN, self.height + MARGIN
        dark = "".join(f"  {line}\n" for line in _DARK.splitlines())
        size = f'viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}"'
        lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="t" {size}>',
            f'<title id="t">{escape(self.title)}</title>',
            f"<style>\n{_STYLE}@media (prefers-color-scheme: dark) {{\n{dark}}}\n</style>",
            _ARROW_HEAD,
            f'<rect class="page" width="{width:g}" height="{height:g}" rx="8"/>',
            f'<text class="title" x="{MARGIN}" y="{MARGIN + 10}">{escape(self.title)}</text>',
        ]
        return "\n".join([*lines, *self.shapes, *self.texts, "</svg>\n"])


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a source: its words, its quoted texts, and where it stands."""

    number: int
    text: str

    @property
    def word(self) -> str:
        """The first word."""
        return self.text.split(maxsplit=1)[0]

    @property
    def words(self) -> list[str]:
        """The words outside of quotes."""
        return _QUOTED.sub("", self.text).split()

    @property
    def quoted(self) -> list[str]:
        """The texts in quotes."""
        return _QUOTED.findall(self.text)

    @property
    def tone(self) -> str:
        """How a box is filled."""
        last = self.words[-1]
        return last if last in _TONES else "box"

    def refuse(self, why: str) -> SourceInvalid:
        """Return the error for this line."""
        return SourceInvalid(f"line {self.number}: {why}: {self.text}")


@dataclass(frozen=True, slots=True)
class Arrow:
    """From one name to another; ``kind`` is the class of the line."""

    start: str
    end: str
    text: str
    kind: str


def draw(source: str) -> str:
    """Return the picture of a source.

    Raises:
        SourceInvalid: a line is of no kind that is known, or names what is not there.
    """
    lines = [
        Line(number, text.strip())
        for number, text in enumerate(source.splitlines(), 1)
        if text.strip() and not text.startswith("#")
    ]
    kind, title, *rest = lines
    if kind.text not in _KINDS or title.word != "title":
        raise kind.refuse(f"a source begins with one of {', '.join(_KINDS)}, then a title")
    canvas = Canvas(title.text.partition(" ")[2])
    canvas.grow(MARGIN + len(canvas.title) * CHARACTER_WIDTH * 1.15, 0)
    _KINDS[kind.text](canvas, rest)
    return canvas.finish()


def _read_arrow(line: Line) -> Arrow | None:
    found = _ARROW.fullmatch(line.text)
    if found is None:
        return None
    return Arrow(found[1], found[3], found[4], "line" if found[2] == "->" else "line answer")


# Sequences.

_COLUMN_GAP = 40
_HEAD_HEIGHT = 36
_STEP = 44


def _draw_sequence(canvas: Canvas, lines: list[Line]) -> None:
    heads = [line for line in lines if line.word == "who"]
    steps = [line for line in lines if line.word != "who"]
    names = {line.words[1]: column for column, line in enumerate(heads)}
    centres = _place_columns(heads, steps, names)
    bottom = TITLE_HEIGHT + _HEAD_HEIGHT + _STEP * (len(steps) + 0.6)
    for line, centre in zip(heads, centres, strict=True):
        width = len(line.quoted[0]) * CHARACTER_WIDTH + 24
        canvas.line([(centre, TITLE_HEIGHT + _HEAD_HEIGHT), (centre, bottom)], "life", head=False)
        canvas.box(centre - width / 2, TITLE_HEIGHT, width, _HEAD_HEIGHT, line.tone)
        canvas.text(centre, TITLE_HEIGHT + _HEAD_HEIGHT / 2, line.quoted[0])
    for number, line in enumerate(steps, 1):
        y = TITLE_HEIGHT + _HEAD_HEIGHT + _STEP * number
        _draw_step(canvas, line, {name: centres[column] for name, column in names.items()}, y)
    canvas.grow(0, bottom)


def _draw_step(canvas: Canvas, line: Line, centres: dict[str, float], y: float) -> None:
    arrow = _read_arrow(line)
    if arrow is not None:
        start, end = _find(line, centres, arrow.start), _find(line, centres, arrow.end)
        canvas.line([(start, y), (end + (2 if end < start else -2), y)], arrow.kind)
        canvas.text((start + end) / 2, y - 12, arrow.text, on_line=True)
        return
    found = re.fullmatch(r"note (\w+), (\w+): (.+)", line.text)
    if found is None:
        raise line.refuse("neither who, note nor an arrow")
    left, right = sorted(_find(line, centres, name) for name in (found[1], found[2]))
    half = max((right - left) / 2, len(found[3]) * CHARACTER_WIDTH / 2) + 12
    canvas.box((left + right) / 2 - half, y - 20, 2 * half, 30, "warn")
    canvas.text((left + right) / 2, y - 5, found[3])


def _place_columns(heads: list[Line], steps: list[Line], names: dict[str, int]) -> list[float]:
    """Return each column's middle, so far apart that what is said between neighbours fits."""
    halves = [(len(line.quoted[0]) * CHARACTER_WIDTH + 24) / 2 for line in heads]
    gaps = [halves[i] + halves[i + 1] + _COLUMN_GAP for i in range(len(heads) - 1)]
    for line in steps:
        arrow = _read_arrow(line)
        if arrow is not None:
            low, high = sorted((_find(line, names, arrow.start), _find(line, names, arrow.end)))
            needed = len(arrow.text) * CHARACTER_WIDTH + 32
            missing = needed - sum(gaps[low:high])
            for column in range(low, high):
                gaps[column] += max(0.0, missing) / (high - low)
    centres = [MARGIN + half for half in halves[:1]]
    for gap in gaps:
        centres.append(centres[-1] + gap)
    return centres


# Grids.

_CELL_WIDTH = 256
_CELL_HEIGHT = 118
_BOX_WIDTH = 180


@dataclass(frozen=True, slots=True)
class Box:
    """A box of a grid, by its middle."""

    x: float
    y: float
    height: float


def _draw_grid(canvas: Canvas, lines: list[Line]) -> None:
    boxes: dict[str, Box] = {}
    for line in lines:
        if line.word == "group":
            _draw_group(canvas, line)
    for line in lines:
        if line.word == "box":
            boxes[line.words[1]] = _draw_box(canvas, line)
    for line in lines:
        if line.word not in {"box", "group"}:
            arrow = _read_arrow(line)
            if arrow is None:
                raise line.refuse("neither box, group nor an arrow")
            start, end = _find(line, boxes, arrow.start), _find(line, boxes, arrow.end)
            points, label = _route(start, end)
            if any(_crosses(points, box) for box in boxes.values() if box not in (start, end)):
                raise line.refuse("the arrow goes through a box")
            canvas.line(points, arrow.kind)
            canvas.text(*label, arrow.text, "small", on_line=True)


def _draw_group(canvas: Canvas, line: Line) -> None:
    left, top = _read_place(line, 1)
    right, bottom = _read_place(line, 2)
    x, y = MARGIN + (left - 1) * _CELL_WIDTH + 10, TITLE_HEIGHT + (top - 1) * _CELL_HEIGHT + 4
    width, height = (right - left + 1) * _CELL_WIDTH - 20, (bottom - top + 1) * _CELL_HEIGHT - 8
    canvas.box(x, y, width, height, "group")
    canvas.text(x + 10, y + 13, line.quoted[0], "small", "start")


def _draw_box(canvas: Canvas, line: Line) -> Box:
    column, row = _read_place(line, 2)
    height = 22 + 20 * len(line.quoted)
    box = Box(
        MARGIN + (column - 0.5) * _CELL_WIDTH, TITLE_HEIGHT + (row - 0.5) * _CELL_HEIGHT + 6, height
    )
    canvas.box(box.x - _BOX_WIDTH / 2, box.y - height / 2, _BOX_WIDTH, height, line.tone)
    for number, text in enumerate(line.quoted):
        if len(text) * CHARACTER_WIDTH > _BOX_WIDTH:
            raise line.refuse(f'"{text}" is too long for a box')
        y = box.y - height / 2 + 21 + 20 * number
        canvas.text(box.x, y, text, "" if number == 0 else "small")
    return box


def _route(start: Box, end: Box) -> tuple[list[tuple[float, float]], tuple[float, float]]:
    """Return an arrow's points and its text's place: straight if it can be, else along, then across."""
    half = _BOX_WIDTH / 2
    if start.y == end.y:
        sign = 1 if end.x > start.x else -1
        points = [(start.x + sign * half, start.y), (end.x - sign * half, end.y)]
        label = ((points[0][0] + points[1][0]) / 2, start.y - 12)
    elif start.x == end.x:
        sign = 1 if end.y > start.y else -1
        points = [
            (start.x, start.y + sign * start.height / 2),
            (end.x, end.y - sign * end.height / 2),
        ]
        label = (start.x, (points[0][1] + points[1][1]) / 2)
    else:
        sign, down = (1 if end.x > start.x else -1), (1 if end.y > start.y else -1)
        points = [
            (start.x, start.y + down * start.height / 2),
            (start.x, end.y),
            (end.x - sign * half, end.y),
        ]
        label = ((start.x + points[2][0]) / 2, end.y - 12)
    return points, label


def _crosses(points: list[tuple[float, float]], box: Box) -> bool:
    half_width, half_height = _BOX_WIDTH / 2, box.height / 2
    return any(
        min(x1, x2) < box.x + half_width
        and max(x1, x2) > box.x - half_width
        and min(y1, y2) < box.y + half_height
        and max(y1, y2) > box.y - half_height
        for (x1, y1), (x2, y2) in itertools.pairwise(points)
    )


def _read_place(line: Line, word: int) -> tuple[int, int]:
    found = re.fullmatch(r"([1-9]\d*),([1-9]\d*)", line.words[word])
    if found is None:
        raise line.refuse("a place is column,row")
    return int(found[1]), int(found[2])


# Timelines.

_UNIT = 62
_LANE_HEIGHT = 56
_LANE_LABEL = 120


def _draw_timeline(canvas: Canvas, lines: list[Line]) -> None:
    lanes = {line.words[1]: row for row, line in enumerate(x for x in lines if x.word == "lane")}
    bottom = TITLE_HEIGHT + _LANE_HEIGHT * len(lanes) + 10
    for line in lines:
        if line.word == "moment":
            _draw_moment(canvas, line, bottom)
    for line in lines:
        match line.word:
            case "lane":
                y = TITLE_HEIGHT + _LANE_HEIGHT * (lanes[line.words[1]] + 0.5)
                canvas.text(MARGIN, y, line.quoted[0], "", "start")
            case "span":
                _draw_span(canvas, line, _find(line, lanes, line.words[1]))
            case "moment":
                pass
            case _:
                raise line.refuse("neither lane, span nor moment")


def _draw_span(canvas: Canvas, line: Line, row: int) -> None:
    found = re.fullmatch(r"(\d+)-(\d+)", line.words[2])
    if found is None:
        raise line.refuse("a span is begin-end")
    begin, end = (MARGIN + _LANE_LABEL + int(text) * _UNIT for text in found.groups())
    y = TITLE_HEIGHT + _LANE_HEIGHT * (row + 0.5)
    if len(line.quoted[0]) * CHARACTER_WIDTH > end - begin - 6:
        raise line.refuse("the text is too long for its span")
    canvas.box(begin + 1, y - 16, end - begin - 2, 32, line.tone)
    canvas.text((begin + end) / 2, y, line.quoted[0])


def _draw_moment(canvas: Canvas, line: Line, bottom: float) -> None:
    if not line.words[1].isdigit():
        raise line.refuse("a moment has a number")
    x = MARGIN + _LANE_LABEL + int(line.words[1]) * _UNIT
    canvas.line([(x, TITLE_HEIGHT), (x, bottom)], "life", head=False)
    for number, text in enumerate(line.quoted):
        canvas.text(x, bottom + 12 + 18 * number, text, "small")


def _find(line: Line, known: dict[str, _Value], name: str) -> _Value:
    if name not in known:
        raise line.refuse(f"there is no {name}")
    return known[name]


_KINDS = {"sequence": _draw_sequence, "grid": _draw_grid, "timeline": _draw_timeline}


def list_sources() -> Iterator[Path]:
    """Yield the sources beside this file."""
    yield from sorted(FOLDER.glob("*.txt"))


def main() -> int:
    """Draw every source; return the exit status."""
    for path in list_sources():
        try:
            picture = draw(path.read_text("utf-8"))
        except SourceInvalid as error:
            sys.stderr.write(f"{path.name}: {error}\n")
            return 1
        path.with_suffix(".svg").write_text(picture, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
