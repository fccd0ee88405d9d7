"""Shows the recorded runs in a report, one paragraph each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from lockgate.terminal.line import EMPTY, Line, Span, Style, paragraph, printable

Value = Mapping[str, Any]

MARKS = {
    "applied": Span("✓ ", Style.GOOD),
    "up_to_date": Span("✓ ", Style.GOOD),
    "rolled_back": Span("✓ ", Style.GOOD),
    "planned": Span("• ", Style.STRONG),
    "incomplete": Span("! ", Style.WARNING),
    "busy": Span("! ", Style.WARNING),
    "refused": Span("✗ ", Style.BAD),
    "failed": Span("✗ ", Style.BAD),
    "abandoned": Span("✗ ", Style.BAD),
}
NO_MARK = Span("• ", Style.STRONG)
DOUBT_MARK = Span("! ", Style.WARNING)


def describe_runs(runs: list[Value], width: int | None) -> Iterator[Line]:
    """Yield the lines of runs: time, action, outcome, caller and reason."""
    for run in runs:
        yield EMPTY
        what = f"{printable(run['action'])}: {_describe_end(run)}{describe_way(run)}"
        mark = MARKS.get(run["status"], NO_MARK)
        yield (Span("  "), mark, Span(f"{describe_time(run['started_at'])}  {what}", Style.STRONG))
        yield from paragraph(_describe_caller(run), width, indent=4, style=Style.DIM)
        if run["reason"]:
            yield from paragraph(run["reason"], width, indent=4)


def describe_time(iso: str | None) -> str:
    """Return a time in UTC, to the second; empty for ``None``."""
    if iso is None:
        return ""
    return datetime.fromisoformat(iso).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def describe_way(run: Value) -> str:
    """Return the versions before and after a run, or the one it stayed at."""
    start, end = run["from_version"], run["to_version"]
    if start is None and end is None:
        return ""
    if start == end:
        return f", at {printable(end)}"
    return f", {printable(start or 'empty')} → {printable(end or 'empty')}"


def _describe_end(run: Value) -> str:
    word = str(run["status"]).replace("_", " ")
    return word if run["error_code"] is None else f"{word} ({printable(run['error_code'])})"


def _describe_caller(run: Value) -> str:
    who = (
        run["caller"] if run["requested_by"] is None else f"{run['caller']}, {run['requested_by']}"
    )
    reference = [f"{name} {value}" for name, value in run["reference"].items()]
    return ", ".join([who, f"run {run['run_id']}", *reference])
