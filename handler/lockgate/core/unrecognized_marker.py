"""Find and refuse markers that the format does not recognize: what follows them would run with the rest.

This examines scripts that were already separated. `core.marker` finds the lines that look like markers.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lockgate.core.catalog import NATIVE_MARKERS
from lockgate.core.marker import Marker, find_markers, find_trailing_markers
from lockgate.core.migration import Direction, Language
from lockgate.core.sql.script import SqlTextInvalid, line_and_column, split_statements, tokenize
from lockgate.errors import MigrationFileInvalid
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lockgate.core.catalog import Markers
    from lockgate.core.migration import Migration, Script

_COMMENT = re.compile(r"--[^\n\r]*+|/\*(?:[^*]|\*(?!/))*+\*/")


@dataclass(frozen=True, slots=True)
class UnrecognizedMarker:
    """A marker that its format does not recognize. ``why`` completes a sentence about the file."""

    why: str
    hint: str
    line: int
    column: int


def find_unrecognized_marker(
    migration: Migration, markers: Markers | None
) -> UnrecognizedMarker | None:
    """Return the first line in a migration's scripts that looks like a marker but is not one here.

    ``markers`` are those of the format, ``None`` if each script has its own file.
    """
    for script, direction in ((migration.up, Direction.UP), (migration.down, Direction.DOWN)):
        if script is None or script.language is not Language.SQL:
            continue
        if direction is Direction.DOWN and script.path != migration.up.path:
            continue
        found = [
            marker
            for marker in _find_lines(script.text, markers)
            if not _opens(marker, direction, markers)
        ]
        for marker in _find_comments(script.text, found):
            if _counts(marker, migration, direction, markers):
                return _describe(marker, script, markers)
    return None


def refuse_unrecognized_marker(migration: Migration, markers: Markers | None) -> None:
    """Refuse a migration with an unrecognized marker.

    Raises:
        MigrationFileInvalid: it contains one.
    """
    found = find_unrecognized_marker(migration, markers)
    if found is not None:
        raise MigrationFileInvalid(
            f"{migration.path}:{found.line}:{found.column}: the file {found.why}.",
            hint=found.hint,
            file=migration.path,
            line=found.line,
            column=found.column,
        )


def _find_lines(text: str, markers: Markers | None) -> list[Marker]:
    """Return the lines that may be meant as markers, by their place in the text."""
    lines = find_markers(text)
    trailing = find_trailing_markers(text) if markers == NATIVE_MARKERS else []
    return sorted((*lines, *trailing), key=lambda one: one.offset) if trailing else lines


def _opens(marker: Marker, direction: Direction, markers: Markers | None) -> bool:
    """Return whether a marker is the script's own first line, which some readers keep."""
    is_first = marker.offset == 0 and marker.direction is direction
    return is_first and marker.tool is not None and markers != NATIVE_MARKERS


def _counts(
    marker: Marker, migration: Migration, direction: Direction, markers: Markers | None
) -> bool:
    """Return whether the line may be meant as a marker; "up" above an up script changes nothing."""
    if marker.direction is not direction:
        return True
    if marker.is_word:
        return False
    if direction is Direction.DOWN or markers is None or migration.path.endswith(".up.sql"):
        return False
    return migration.down is None and migration.empty_down is None


def _find_comments(text: str, markers: list[Marker]) -> Iterator[Marker]:
    """Yield the markers that are comments, not lines of a function's body, a string or COPY data.

    A single word without SQL after it is skipped: it is the heading of a comment.
    """
    if not markers:
        return
    spans = iter([*_find_spans(text), (len(text), len(text))])
    after = 0
    start, end = next(spans)
    comments: set[int] | None = None
    for marker in markers:
        while end <= marker.offset and start < len(text):
            after, comments = end, None
            start, end = next(spans)
        if start == marker.offset:
            yield marker
        elif start > marker.offset and not (marker.is_word and start == len(text)):
            if comments is None:
                comments = {one.start() for one in _COMMENT.finditer(text, after, start)}
            if marker.offset in comments:
                yield marker


def _find_spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield the place of each token and of the data lines of each COPY."""
    try:
        statements = split_statements(text)
    except SqlTextInvalid:
        yield from ((one.start, one.end) for one in tokenize(text))
        return
    for one in statements:
        strings = one.standard_conforming_strings
        for token in tokenize(text, one.start, one.end, standard_conforming_strings=strings):
            yield token.start, token.end
        if one.copy_data is not None:
            first, last = one.copy_data
            # Including the line break before, which is not part of a token.
            yield first - 1, last


def _describe(marker: Marker, script: Script, markers: Markers | None) -> UnrecognizedMarker:
    line, column = line_and_column(script.text, marker.offset)
    what = "a down script" if marker.direction is Direction.DOWN else "an up script"
    if marker.is_trailing:
        why = f'has "{marker.text}" after SQL on the same line, where it does not start {what}'
    else:
        why = (
            f'has the line "{marker.text}", which looks like the start of {what} and is not one in'
        )
        why += " this format"
    return UnrecognizedMarker(
        f"{why}: what follows it would run with the rest",
        _advise(marker, markers),
        script.first_line + line - 1,
        column,
    )


def _advise(marker: Marker, markers: Markers | None) -> str:
    comment = "If it is only a comment, reword it."
    if markers is None:
        return f"Put the down script into its own file, as the tool does. {comment}"
    wanted = markers.down if marker.direction is Direction.DOWN else markers.up
    if marker.is_trailing:
        return f"Put {wanted} on a line of its own. {comment}"
    tool = ""
    if marker.tool is not None:
        tool = (
            f" If the file is {marker.tool}'s, set LOCKGATE_FORMAT={marker.tool}"
            f" (or --format {marker.tool})."
        )
    return f"Did you mean {wanted}?{tool} {comment}"
