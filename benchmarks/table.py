"""Formats a record as Markdown tables: milliseconds, the ratio to Lockgate, and memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.record import find_value
from benchmarks.targets import find_targets

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.record import Record

OURS = "lockgate"


def describe(record: Record) -> str:
    """Return every table of a record."""
    names = list(record["rows"])
    near = [name for name in names if not name.startswith("far-")]
    far = [name for name in names if name.startswith("far-")]
    parts = [make_times(record, rows) for rows in (near, far) if rows]
    parts.append(make_memory(record, near or far))
    if far:
        parts.append(make_round_trips(record, far))
    parts.append(make_targets(record))
    return "\n".join(parts)


def make_targets(record: Record) -> str:
    """Return every target with the measured ratio, and whether it is reached."""
    lines = ["| target | at most | measured | |", "|---|---:|---:|---|"]
    for target in find_targets(record):
        form = ",.0f" if target.unit else ".2f"
        limit, measured = f"{target.limit:{form}}", f"{target.measured:{form}}"
        verdict = "reached" if target.is_met else "**not reached**"
        unit = target.unit
        lines.append(f"| {target.what} | {limit}{unit} | {measured}{unit} | {verdict} |")
    return "\n".join(lines) + "\n"


def make_times(record: Record, rows: Sequence[str]) -> str:
    """Return medians in ms, with the ratio to Lockgate's in parentheses."""
    return _make_table(record, rows, _describe_time)


def make_memory(record: Record, rows: Sequence[str]) -> str:
    """Return the peak memory in MB."""
    return _make_table(record, rows, _describe_memory)


def make_round_trips(record: Record, rows: Sequence[str]) -> str:
    """Return how often a program waited for the server."""
    return _make_table(record, rows, _describe_round_trips)


def _describe_time(record: Record, row: str, peer: str) -> str:
    value = find_value(record, row, peer)
    if value is None:
        return str(record["rows"][row]["peers"].get(peer, {}).get("failed", "-"))
    ours = find_value(record, row, OURS)
    ratio = "" if ours is None or peer == OURS else f" ({value / ours:.2f})"
    return f"{value:,.0f}{ratio}"


def _describe_memory(record: Record, row: str, peer: str) -> str:
    value = find_value(record, row, peer, "mb")
    return "-" if value is None else f"{value:,.0f}"


def _describe_round_trips(record: Record, row: str, peer: str) -> str:
    value = find_value(record, row, peer, "round_trips")
    return "-" if value is None else f"{value:,.0f}"


def _make_table(
    record: Record, rows: Sequence[str], cell: Callable[[Record, str, str], str]
) -> str:
    titles = [record["rows"][row]["title"] for row in rows]
    peers = [p for p in record["peers"] if any(p in record["rows"][row]["peers"] for row in rows)]
    lines = [f"| | {' | '.join(titles)} |", f"|---|{'---:|' * len(rows)}"]
    lines += [f"| {p} | {' | '.join(cell(record, row, p) for row in rows)} |" for p in peers]
    return "\n".join(lines) + "\n"
