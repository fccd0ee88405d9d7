"""Shows the result of a check on a terminal, from its JSON form ``lockgate/check/v1``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.check.result import CheckStatus
from lockgate.terminal.line import (
    EMPTY,
    Cell,
    Line,
    Span,
    Style,
    labelled,
    paragraph,
    printable,
)
from lockgate.terminal.progress import count_migrations
from lockgate.terminal.report import describe_segments
from lockgate.terminal.report_error import describe_error
from lockgate.terminal.report_rows import Value, id_of, section, version_of
from lockgate.terminal.run_history import DOUBT_MARK, MARKS

if TYPE_CHECKING:
    from collections.abc import Iterator

# A folder of another tool may have a problem in every file.
_MOST_SHOWN = 20
_NO_DETAILS: dict[str, object] = {"sqlstate": None, "excerpt": None, "blockers": []}
_FRESH = "On a fresh database"
_FRESH_NOTE = (
    "Fresh means: no history and no tables. On any other database, each migration that is still"
    " pending has a transaction of its own."
)
_UNREAD_NOTE = (
    "Correct these first. Whether the statements can run is examined once every file can be read."
)
_ALIKE = "On a fresh database, and on one in use"


def describe_check(value: Value, width: int | None) -> Iterator[Line]:
    """Yield the lines of a check's result, wrapped at ``width`` unless that is ``None``."""
    yield from _make_headline(value)
    tool = "" if value["tool"] is None else f", format {value['tool']}"
    yield from paragraph(f"{value['folder']}{tool}", width, indent=2, style=Style.DIM)
    for problem in value["problems"][:_MOST_SHOWN]:
        yield from describe_error({"error": {**problem, **_NO_DETAILS}}, width, value["folder"])
    yield from _count_rest(value["problems"])
    if not value["migrations"] and any(problem["file"] for problem in value["problems"]):
        yield EMPTY
        yield from paragraph(_UNREAD_NOTE, width, indent=2, style=Style.DIM)
    yield from _describe_transactions(value, width)
    for warning in value["warnings"][:_MOST_SHOWN]:
        yield EMPTY
        text = " ".join(filter(None, (warning["message"], warning["hint"])))
        yield from labelled(Span("Warning", Style.WARNING), text, width)
    yield from _count_rest(value["warnings"])


def _make_headline(value: Value) -> Iterator[Line]:
    if value["status"] == CheckStatus.REFUSED:
        text = f"refused: {_count(value['problems'], 'problem')}"
        yield (MARKS["refused"], Span(text, Style.STRONG))
        return
    doubt = f" with {_count(value['warnings'], 'warning')}" if value["warnings"] else ""
    latest = f", the latest is {name_latest(value)}" if value["latest"] else ""
    text = f"passed{doubt}: {count_migrations(len(value['migrations']))}{latest}"
    mark = DOUBT_MARK if doubt else MARKS["applied"]
    yield (mark, Span(printable(text), Style.STRONG))


def name_latest(value: Value) -> str:
    """Return version and name of the latest migration."""
    latest = value["latest"]
    names = [one["name"] for one in value["migrations"] if one["version"] == latest]
    return " ".join([latest, *names[:1]]).rstrip()


def _count(entries: list[Value], noun: str) -> str:
    return f"{len(entries):,} {noun}{'' if len(entries) == 1 else 's'}"


def _count_rest(entries: list[Value]) -> Iterator[Line]:
    if len(entries) > _MOST_SHOWN:
        yield EMPTY
        yield (Span(f"  … and {len(entries) - _MOST_SHOWN:,} more", Style.DIM),)


def _describe_transactions(value: Value, width: int | None) -> Iterator[Line]:
    """Yield each migration with its transaction, and the assumption under which that holds."""
    fresh, used = value["segments"]["fresh"], value["segments"]["used"]
    how = describe_segments(fresh)
    rows = [
        [
            Cell(version_of(one)),
            Cell(printable(one["name"])),
            Cell(printable(", ".join(how[id_of(one)])), Style.DIM),
        ]
        for one in value["migrations"]
        if id_of(one) in how
    ]
    is_alike = fresh == used
    yield from section(_ALIKE if is_alike else _FRESH, rows, width)
    if not is_alike:
        yield EMPTY
        yield from paragraph(_FRESH_NOTE, width, indent=2, style=Style.DIM)
