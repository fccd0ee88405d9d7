"""The error and the drift in a report, with the place in the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.duration import format_duration
from lockgate.terminal.line import (
    EMPTY,
    Cell,
    Line,
    Span,
    Style,
    labelled,
    measure,
    paragraph,
    printable,
)
from lockgate.terminal.report_rows import Value, count_hidden, join_path, section

if TYPE_CHECKING:
    from collections.abc import Iterator


def describe_error(report: Value, width: int | None, folder: str) -> Iterator[Line]:
    """Yield the lines of the error: code, message, place in the file, blockers, hint."""
    error = report["error"]
    if error is None:
        return
    yield EMPTY
    code = error["code"] if error["sqlstate"] is None else f"{error['code']} {error['sqlstate']}"
    yield (Span("  Error  ", Style.BAD), Span(printable(code), Style.BAD))
    yield from paragraph(error["message"], width, indent=2)
    if error["file"] is not None:
        yield EMPTY
        yield from _describe_source(error, width, folder)
    yield from section("In the way", _blocker_rows(error["blockers"]), width)
    if error["hint"]:
        yield EMPTY
        yield from labelled(Span("Hint", Style.STRONG), error["hint"], width)


def _describe_source(error: Value, width: int | None, folder: str) -> Iterator[Line]:
    """Yield the place in the form that editors open, and the source line with a caret."""
    place = join_path(folder, error["file"])
    place += "".join(f":{n}" for n in (error["line"], error["column"]) if n is not None)
    yield (Span("  "), Span(printable(place), Style.STRONG))
    if not error["excerpt"]:
        return
    source, _, pointer = str(error["excerpt"]).partition("\n")
    number = str(error["line"] or "")
    margin = f"  {number} │ "
    room = None if width is None else width - len(margin)
    source, caret = _clip(printable(source), max(0, len(pointer) - 1), room)
    yield (Span(margin, Style.DIM), Span(source))
    if pointer:
        blank = " " * measure(source[:caret])
        yield (Span(f"  {' ' * len(number)} │ ", Style.DIM), Span(f"{blank}^", Style.BAD))


def _clip(source: str, caret: int, room: int | None) -> tuple[str, int]:
    """Cut a line to ``room`` columns that include the caret's."""
    if room is None or len(source) <= room:
        return source, caret
    start = min(max(0, caret - room * 2 // 3), len(source) - room)
    cut = source[start : start + room]
    if start > 0:
        cut = f"…{cut[1:]}"
    if start + room < len(source):
        cut = f"{cut[:-1]}…"
    return cut, caret - start


def _blocker_rows(blockers: list[Value]) -> list[list[Cell]]:
    return [
        [
            Cell(f"pid {blocker['pid']}"),
            Cell(printable(blocker["user"] or "")),
            Cell(printable(blocker["application"] or "")),
            Cell(printable(blocker["state"] or "")),
            Cell(_describe_age(blocker["age_seconds"])),
            Cell(printable(blocker["query"] or ""), Style.DIM),
        ]
        for blocker in blockers
    ]


def _describe_age(seconds: float | None) -> str:
    return "" if seconds is None else format_duration(seconds * 1000)


def describe_drift(report: Value, width: int | None, folder: str) -> Iterator[Line]:
    """Yield the section of the files that differ from the history."""
    rows = [
        [
            Cell(printable(drift["version"] or "")),
            Cell(printable(join_path(folder, drift["file"]) if drift["file"] else drift["name"])),
            Cell(_describe_difference(drift, report["ahead"]), Style.WARNING),
        ]
        for drift in report["drift"]
    ]
    yield from section("Drift", rows, width, count_hidden(report, "drift"))


def _describe_difference(drift: Value, ahead: list[Value]) -> str:
    if drift["script"] == "down":
        return "down script edited" if drift["actual"] else "down script removed"
    if drift["actual"] is None:
        return "file is missing"
    if drift["severity"] == "error":
        return "edited"
    # If the database is ahead, either text may be the newer one; a warning explains it.
    return "different text" if ahead else "comments or layout edited"
