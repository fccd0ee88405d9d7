"""The first lines of a report: the outcome, the database and the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.duration import format_duration
from lockgate.terminal.line import Line, Span, Style, paragraph
from lockgate.terminal.progress import count_migrations
from lockgate.terminal.run_history import DOUBT_MARK, MARKS, NO_MARK, describe_way

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lockgate.terminal.report_rows import Value


def describe_headline(report: Value) -> str:
    """Return the outcome in a few words: ``applied 3 migrations in 412 ms, now at 0012``."""
    word = str(report["status"]).replace("_", " ")
    if report["action"] == "unlock" and report["error"] is None:
        return "the lock was released" if report["status"] == "applied" else "the lock was free"
    if report["action"] == "history" and report["error"] is None:
        return _count_runs(report)
    applied = report["counts"]["applied"]
    match report["status"]:
        case "applied" | "planned" if report["recorded"] or report["forgotten"]:
            word = _describe_amendment(report)
        case "applied":
            word += f" {count_migrations(applied)} in {format_duration(report['duration_ms'])}"
        case "rolled_back":
            undone = count_migrations(report["counts"]["reverted"])
            word = f"undid {undone} in {format_duration(report['duration_ms'])}"
        case "planned":
            word = _describe_planned(report)
        case "failed" | "incomplete" | "busy" if report["duration_ms"]:
            word += f" after {format_duration(report['duration_ms'])}"
    return f"{word}{_describe_way(report)}"


def is_undo(entry: Value) -> bool:
    """Return whether a pending migration is to be undone."""
    return bool(entry["reason"] == "reverted")


def _describe_planned(report: Value) -> str:
    """Return how many migrations are to be undone and applied; undos are listed first."""
    count, listed = report["counts"]["pending"], report["pending"]
    undone = count if all(map(is_undo, listed)) else sum(map(is_undo, listed))
    is_status = report["action"] == "status"
    prefix = "" if is_status else "planned "
    if not undone:
        return f"{prefix}{count_migrations(count)}{' pending' if is_status else ''}"
    to_undo = f"{prefix}{count_migrations(undone)} to undo"
    if undone == count:
        return to_undo
    return (
        f"{to_undo} and {count_migrations(count - undone)} {'pending' if is_status else 'to apply'}"
    )


def _count_runs(report: Value) -> str:
    count = report["counts"]["runs"]
    known = {0: "no run is recorded", 1: "1 run"}
    return known.get(count, f"the last {count:,} runs, the newest first")


def _describe_amendment(report: Value) -> str:
    would = "would " if report["status"] == "planned" else ""
    parts = []
    if report["recorded"]:
        accepted = report["recorded"][0]["state"] == "accepted"
        verb = ("accept", "accepted") if accepted else ("record", "recorded")
        recorded = count_migrations(report["counts"]["recorded"])
        parts.append(f"{verb[0] if would else verb[1]} {recorded}")
    if report["forgotten"]:
        forgotten = count_migrations(report["counts"]["forgotten"])
        parts.append(f"{'forget' if would else 'forgot'} {forgotten}")
    return f"{would}{' and '.join(parts)}"


def _describe_way(report: Value) -> str:
    return "" if report["database"] is None else describe_way(report)


def make_headline(report: Value) -> Iterator[Line]:
    """Yield the first line: a mark and the outcome."""
    mark = MARKS.get(report["status"], NO_MARK)
    if report["error"] is None and any(entry["severity"] == "error" for entry in report["drift"]):
        # Nothing failed, but the next run would be refused.
        mark = DOUBT_MARK
    yield (mark, Span(describe_headline(report), Style.STRONG))


def describe_place(report: Value, width: int | None) -> Iterator[Line]:
    """Yield the line with the database, its version and the run."""
    # A function that could not be invoked has no run.
    parts = [f"run {report['run_id']}" if report["run_id"] else ""]
    database = report["database"]
    if database is not None:
        version = f"PostgreSQL {database['server_version']}" if database["server_version"] else ""
        parts = [f"{database['host']}:{database['port']}/{database['name']}", version, *parts]
    text = ", ".join(part for part in parts if part)
    if text:
        yield from paragraph(text, width, indent=2, style=Style.DIM)
