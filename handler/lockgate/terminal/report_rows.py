"""The sections and rows that the parts of a report share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lockgate.duration import format_duration
from lockgate.terminal.line import EMPTY, Cell, Line, Span, Style, printable, table

Value = Mapping[str, Any]

# The end of the place of a down script that is stored in the history.
_STORED = " in the history)"


def section(
    title: str, rows: list[list[Cell]], width: int | None, hidden: int = 0
) -> Iterator[Line]:
    """Yield a title and its rows, and how many are not listed; nothing if there are no rows."""
    if not rows:
        return
    yield EMPTY
    yield (Span(f"  {title}", Style.STRONG),)
    yield from table(rows, width)
    if hidden > 0:
        yield (Span(f"    … and {hidden:,} more", Style.DIM),)


def count_hidden(report: Value, key: str) -> int:
    """Return how many entries the JSON form leaves out."""
    return int(report["counts"][key]) - len(report[key])


def id_of(entry: Value) -> str:
    """Return a migration's id, as events and segments contain it."""
    return f"R__{entry['name']}" if entry["version"] is None else str(entry["version"])


def version_of(entry: Value) -> str:
    """Return a migration's version for a table."""
    return "repeatable" if entry["version"] is None else printable(entry["version"])


def describe_ms(duration_ms: int | None) -> str:
    """Return a duration for a table; empty if it is unknown."""
    return "" if duration_ms is None else format_duration(duration_ms)


def join_path(folder: str, file: str) -> str:
    """Return the path of a file, so that a terminal can open it."""
    # A script that only the history contains is not in the folder.
    is_filed = bool(folder) and not file.endswith(_STORED)
    return f"{folder.rstrip('/')}/{file}" if is_filed else file
