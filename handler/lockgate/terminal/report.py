"""Shows a report on a terminal, from its JSON form ``lockgate/report/v1``.

The report may be from this process, from an invoked function, or from the database.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.core.older_package import UNRUN
from lockgate.terminal.line import EMPTY, Cell, Line, Span, Style, labelled, printable
from lockgate.terminal.report_error import describe_drift, describe_error
from lockgate.terminal.report_headline import describe_place, is_undo, make_headline
from lockgate.terminal.report_rows import (
    Value,
    count_hidden,
    describe_ms,
    id_of,
    section,
    version_of,
)
from lockgate.terminal.run_history import describe_runs, describe_time

if TYPE_CHECKING:
    from collections.abc import Iterator

# The most pending migrations that a report lists, except for a plan.
_FEW = 10


def describe_report(
    report: Value, width: int | None, *, folder: str = "", shown: frozenset[str] = frozenset()
) -> Iterator[Line]:
    """Yield the lines of a report, wrapped at ``width`` unless that is ``None``.

    ``folder`` is put before the names of files, so that a terminal can open them. ``shown``: the
    migrations that the progress has shown already.
    """
    yield from make_headline(report)
    yield from describe_place(report, width)
    yield from describe_error(report, width, folder)
    yield from describe_drift(report, width, folder)
    unseen = [entry for entry in report["applied"] if id_of(entry) not in shown]
    yield from section("Applied", _done_rows(unseen), width, count_hidden(report, "applied"))
    yield from section(
        "Undone", _done_rows(report["reverted"]), width, count_hidden(report, "reverted")
    )
    yield from section(
        "Recorded without a run",
        _file_rows(report["recorded"]),
        width,
        count_hidden(report, "recorded"),
    )
    yield from section("Forgotten", _file_rows(report["forgotten"]), width)
    yield from _describe_pending(report, width)
    yield from section("History", _history_rows(report), width, count_hidden(report, "history"))
    yield from describe_runs(report["runs"], width)
    yield from section(
        "Only in the database, from a newer package", _done_rows(report["ahead"]), width
    )
    yield from _describe_backup(report, width)
    yield from _describe_notes(report, width)


def _file_rows(entries: list[Value]) -> list[list[Cell]]:
    return [
        [
            Cell(version_of(entry)),
            Cell(printable(entry["name"])),
            Cell(printable(entry["state"] or "")),
        ]
        for entry in entries
    ]


def _describe_pending(report: Value, width: int | None) -> Iterator[Line]:
    pending = report["pending"]
    undone = [entry for entry in pending if is_undo(entry)]
    if report["status"] != "planned":
        few = [[Cell(version_of(one)), Cell(printable(one["name"]))] for one in pending[:_FEW]]
        title = "Still to undo" if undone else "Still pending"
        yield from section(title, few, width, report["counts"]["pending"] - len(few))
        return
    if report["action"] == "status":
        rows = [[Cell(version_of(entry)), Cell(printable(entry["name"]))] for entry in pending]
    else:
        how = describe_segments(report["segments"])
        rows = [_plan_row(entry, _take(how, id_of(entry))) for entry in pending]
    # An undo comes before all that is applied.
    count = len(undone)
    hidden = count_hidden(report, "pending")
    yield from section("To undo", rows[:count], width, hidden if count == len(rows) else 0)
    yield from section("Pending", rows[count:], width, hidden)


def _plan_row(entry: Value, how: str) -> list[Cell]:
    cause = "" if entry["reason"] in {None, "pending"} else f"{entry['reason']}; "
    return [
        Cell(version_of(entry)),
        Cell(printable(entry["name"])),
        Cell(printable(cause + how), Style.DIM),
    ]


def describe_segments(segments: list[Value]) -> dict[str, list[str]]:
    """Return for each migration how its scripts will run, in order; transactions are numbered."""
    how: dict[str, list[str]] = {}
    number = 0
    for segment in segments:
        if segment["mode"] == "statements":
            text = f"no transaction: {segment['reason']}"
        else:
            number += 1
            text = f"transaction {number}"
            if segment["reason"] is not None:
                text += f": {segment['reason']}"
        for migration in segment["migrations"]:
            how.setdefault(migration, []).append(text)
    return how


def _take(how: dict[str, list[str]], migration: str) -> str:
    """Return how the next script of a migration runs: one that is undone may be applied again."""
    texts = how.get(migration)
    return texts.pop(0) if texts else ""


def _done_rows(entries: list[Value]) -> list[list[Cell]]:
    return [
        [
            Cell(version_of(entry)),
            Cell(printable(entry["name"])),
            Cell(describe_ms(entry["duration_ms"]), Style.DIM, is_number=True),
        ]
        for entry in entries
    ]


def _history_rows(report: Value) -> list[list[Cell]]:
    return [
        [
            Cell(version_of(entry)),
            Cell(printable(entry["name"])),
            Cell(describe_time(entry["applied_at"]), Style.DIM),
            Cell(describe_ms(entry["duration_ms"]), Style.DIM, is_number=True),
            _describe_state(entry),
        ]
        for entry in report["history"]
    ]


def _describe_state(entry: Value) -> Cell:
    """Return how a migration was recorded, or how much of it is applied; empty for most."""
    if entry["state"] == "applied":
        return Cell(UNRUN.get(str(entry.get("recorded_by")), ""), Style.DIM)
    text = str(entry["state"])
    if entry.get("statements_total") is not None:
        text += f", up to statement {entry['statements_done']} of {entry['statements_total']}"
    return Cell(printable(text), Style.WARNING)


def _describe_backup(report: Value, width: int | None) -> Iterator[Line]:
    """Yield the backup, and after an error the commands that restore it."""
    backup = report["backup"]
    if backup is None:
        return
    source = f"{backup['source']['kind']} {backup['source']['identifier']}"
    snapshot, time = backup["snapshot"], describe_time(backup["restorable_time"])
    if snapshot is not None:
        text = f"Snapshot {snapshot['identifier']} of {source}, {snapshot['status']}."
    elif time:
        text = f"The {source} can be restored to {time}."
    else:
        text = f"The {source} cannot be restored to a point in time."
    yield EMPTY
    yield from labelled(Span("Backup", Style.STRONG), text, width)
    if report["error"] is not None:
        # Not wrapped: a command is copied as one line.
        yield from (
            (Span(f"    {printable(command)}", Style.DIM),) for command in backup["restore"]
        )


def _describe_notes(report: Value, width: int | None) -> Iterator[Line]:
    lock = report["lock"]
    # A busy run's error describes the holder already.
    if lock is not None and lock["holder"] is not None and report["error"] is None:
        yield EMPTY
        was_freed = report["action"] == "unlock"
        text = _describe_holder(lock["holder"], was_freed=was_freed)
        yield from labelled(Span("Lock", Style.STRONG), text, width)
    for warning in report["warnings"]:
        yield EMPTY
        yield from labelled(Span("Warning", Style.WARNING), warning, width)
    advice = report["next_action"]
    if advice and (report["error"] is None or advice != report["error"]["hint"]):
        yield EMPTY
        yield from labelled(Span("Next", Style.STRONG), advice, width)


def _describe_holder(holder: Value, *, was_freed: bool) -> str:
    if was_freed:
        return (
            f"Run {holder['run_id']} ({holder['caller']}) had held it since"
            f" {describe_time(holder['taken_at'])}. It can no longer commit."
        )
    if not holder["is_alive"]:
        return (
            f"Run {holder['run_id']} ({holder['caller']}) took it at"
            f" {describe_time(holder['taken_at'])} and its session is gone: the next run takes the"
            " lock at once."
        )
    at = f" It is in migration {holder['at'].replace('#', ', statement ')}." if holder["at"] else ""
    return (
        f"Run {holder['run_id']} ({holder['caller']}) has held it since"
        f" {describe_time(holder['taken_at'])}; its lease ends at"
        f" {describe_time(holder['expires_at'])}.{at}"
    )
