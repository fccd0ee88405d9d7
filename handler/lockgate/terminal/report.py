"""A report for people. Knows its JSON form, ``lockgate/report/v1``.

So it shows reports of any origin: a run of this process, a function that was invoked, a row of the
database.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lockgate.core.older_package import UNRUN
from lockgate.duration import format_duration
from lockgate.terminal.line import (
    EMPTY,
    Cell,
    Line,
    Span,
    Style,
    clean,
    labelled,
    measure,
    paragraph,
    table,
)
from lockgate.terminal.progress import count_migrations
from lockgate.terminal.runs import (
    DOUBT_MARK,
    MARKS,
    NO_MARK,
    describe_runs,
    describe_time,
    describe_way,
)

Value = Mapping[str, Any]

# How many pending migrations a report lists that is not a plan.
_FEW = 10
# How the place of a script ends that the history keeps.
_STORED = " in the history)"


def describe_report(
    report: Value, width: int | None, *, folder: str = "", shown: frozenset[str] = frozenset()
) -> Iterator[Line]:
    """Yield the lines of a report, wrapped at ``width`` unless that is ``None``.

    ``folder`` goes before the names of files, so that a terminal can open them; ``shown`` are the
    migrations that the reader has seen being applied.
    """
    yield from _describe_headline(report)
    yield from _describe_place(report, width)
    yield from _describe_error(report, width, folder)
    yield from _describe_drift(report, width, folder)
    unseen = [entry for entry in report["applied"] if _id_of(entry) not in shown]
    yield from _section("Applied", _done_rows(unseen), width, _hidden(report, "applied"))
    yield from _section(
        "Undone", _done_rows(report["reverted"]), width, _hidden(report, "reverted")
    )
    yield from _section(
        "Recorded without a run", _file_rows(report["recorded"]), width, _hidden(report, "recorded")
    )
    yield from _section("Forgotten", _file_rows(report["forgotten"]), width)
    yield from _describe_pending(report, width)
    yield from _section("History", _history_rows(report), width, _hidden(report, "history"))
    yield from describe_runs(report["runs"], width)
    yield from _section(
        "Only in the database, from a newer package", _done_rows(report["ahead"]), width
    )
    yield from _describe_backup(report, width)
    yield from _describe_notes(report, width)


def describe_headline(report: Value) -> str:
    """Return the outcome in a few words: ``applied 3 migrations in 412 ms, now at 0012``."""
    word = str(report["status"]).replace("_", " ")
    if report["action"] == "unlock" and report["error"] is None:
        return "the lock was freed" if report["status"] == "applied" else "the lock was free"
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
            pending = count_migrations(report["counts"]["pending"])
            word = f"{pending} pending" if report["action"] == "status" else f"planned {pending}"
            word += " to undo" if _is_down(report) else ""
        case "failed" | "incomplete" | "busy" if report["duration_ms"]:
            word += f" after {format_duration(report['duration_ms'])}"
    return f"{word}{_describe_way(report)}"


def _is_down(report: Value) -> bool:
    return any(entry["reason"] == "reverted" for entry in report["pending"])


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


def _describe_headline(report: Value) -> Iterator[Line]:
    mark = MARKS.get(report["status"], NO_MARK)
    if report["error"] is None and any(entry["severity"] == "error" for entry in report["drift"]):
        # Nothing failed, and still the next run would be refused.
        mark = DOUBT_MARK
    yield (mark, Span(describe_headline(report), Style.STRONG))


def _describe_place(report: Value, width: int | None) -> Iterator[Line]:
    # A function that could not be invoked has no run.
    parts = [f"run {report['run_id']}" if report["run_id"] else ""]
    database = report["database"]
    if database is not None:
        version = f"PostgreSQL {database['server_version']}" if database["server_version"] else ""
        parts = [f"{database['host']}:{database['port']}/{database['name']}", version, *parts]
    text = ", ".join(part for part in parts if part)
    if text:
        yield from paragraph(text, width, indent=2, style=Style.DIM)


def _describe_error(report: Value, width: int | None, folder: str) -> Iterator[Line]:
    error = report["error"]
    if error is None:
        return
    yield EMPTY
    code = error["code"] if error["sqlstate"] is None else f"{error['code']} {error['sqlstate']}"
    yield (Span("  Error  ", Style.BAD), Span(clean(code), Style.BAD))
    yield from paragraph(error["message"], width, indent=2)
    if error["file"] is not None:
        yield EMPTY
        yield from _describe_source(error, width, folder)
    yield from _section("In the way", _blocker_rows(error["blockers"]), width)
    if error["hint"]:
        yield EMPTY
        yield from labelled(Span("Hint", Style.STRONG), error["hint"], width)


def _describe_source(error: Value, width: int | None, folder: str) -> Iterator[Line]:
    """Yield the place as an editor takes it, and the line of source with a caret."""
    place = _path(folder, error["file"])
    place += "".join(f":{n}" for n in (error["line"], error["column"]) if n is not None)
    yield (Span("  "), Span(clean(place), Style.STRONG))
    if not error["excerpt"]:
        return
    source, _, pointer = str(error["excerpt"]).partition("\n")
    number = str(error["line"] or "")
    margin = f"  {number} │ "
    room = None if width is None else width - len(margin)
    source, caret = _clip(clean(source), max(0, len(pointer) - 1), room)
    yield (Span(margin, Style.DIM), Span(source))
    if pointer:
        blank = " " * measure(source[:caret])
        yield (Span(f"  {' ' * len(number)} │ ", Style.DIM), Span(f"{blank}^", Style.BAD))


def _clip(source: str, caret: int, room: int | None) -> tuple[str, int]:
    """Cut a line to what fits, with the caret's column in it."""
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
            Cell(clean(blocker["user"] or "")),
            Cell(clean(blocker["application"] or "")),
            Cell(clean(blocker["state"] or "")),
            Cell(_describe_age(blocker["age_seconds"])),
            Cell(clean(blocker["query"] or ""), Style.DIM),
        ]
        for blocker in blockers
    ]


def _describe_age(seconds: float | None) -> str:
    return "" if seconds is None else format_duration(seconds * 1000)


def _describe_drift(report: Value, width: int | None, folder: str) -> Iterator[Line]:
    rows = [
        [
            Cell(clean(drift["version"] or "")),
            Cell(clean(_path(folder, drift["file"]) if drift["file"] else drift["name"])),
            Cell(_describe_difference(drift, report["ahead"]), Style.WARNING),
        ]
        for drift in report["drift"]
    ]
    yield from _section("Drift", rows, width, _hidden(report, "drift"))


def _describe_difference(drift: Value, ahead: list[Value]) -> str:
    if drift["script"] == "down":
        return "down script edited" if drift["actual"] else "down script taken out"
    if drift["actual"] is None:
        return "file is missing"
    if drift["severity"] == "error":
        return "edited"
    # Of a database that is ahead nobody can tell which text is the later one; the warning says more.
    return "another text" if ahead else "comments or layout edited"


def _file_rows(entries: list[Value]) -> list[list[Cell]]:
    return [
        [Cell(_version_of(entry)), Cell(clean(entry["name"])), Cell(clean(entry["state"] or ""))]
        for entry in entries
    ]


def _describe_pending(report: Value, width: int | None) -> Iterator[Line]:
    pending = report["pending"]
    if report["status"] == "planned":
        if report["action"] == "status":
            rows = [[Cell(_version_of(entry)), Cell(clean(entry["name"]))] for entry in pending]
        else:
            how = _describe_segments(report["segments"])
            rows = [_plan_row(entry, how.get(_id_of(entry), "")) for entry in pending]
        yield from _section(
            "To undo" if _is_down(report) else "Pending", rows, width, _hidden(report, "pending")
        )
        return
    few = [[Cell(_version_of(entry)), Cell(clean(entry["name"]))] for entry in pending[:_FEW]]
    yield from _section("Still pending", few, width, report["counts"]["pending"] - len(few))


def _plan_row(entry: Value, how: str) -> list[Cell]:
    cause = "" if entry["reason"] in {None, "pending"} else f"{entry['reason']}; "
    return [
        Cell(_version_of(entry)),
        Cell(clean(entry["name"])),
        Cell(clean(cause + how), Style.DIM),
    ]


def _describe_segments(segments: list[Value]) -> dict[str, str]:
    """Return for each migration how it will run; transactions are numbered."""
    how: dict[str, str] = {}
    number = 0
    for segment in segments:
        if segment["mode"] == "statements":
            text = f"no transaction: {segment['reason']}"
        else:
            number += 1
            text = f"transaction {number}"
            if segment["reason"] is not None:
                text += f": {segment['reason']}"
        how |= dict.fromkeys(segment["migrations"], text)
    return how


def _done_rows(entries: list[Value]) -> list[list[Cell]]:
    return [
        [
            Cell(_version_of(entry)),
            Cell(clean(entry["name"])),
            Cell(_describe_ms(entry["duration_ms"]), Style.DIM, is_number=True),
        ]
        for entry in entries
    ]


def _history_rows(report: Value) -> list[list[Cell]]:
    return [
        [
            Cell(_version_of(entry)),
            Cell(clean(entry["name"])),
            Cell(describe_time(entry["applied_at"]), Style.DIM),
            Cell(_describe_ms(entry["duration_ms"]), Style.DIM, is_number=True),
            _describe_state(entry),
        ]
        for entry in report["history"]
    ]


def _describe_state(entry: Value) -> Cell:
    """Return how a row came about, or how much of the migration is there; nothing of most."""
    if entry["state"] == "applied":
        return Cell(UNRUN.get(str(entry.get("recorded_by")), ""), Style.DIM)
    text = str(entry["state"])
    if entry.get("statements_total") is not None:
        text += f", up to statement {entry['statements_done']} of {entry['statements_total']}"
    return Cell(clean(text), Style.WARNING)


def _describe_backup(report: Value, width: int | None) -> Iterator[Line]:
    """Yield what there is to go back to; the commands only where somebody may want them now."""
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
        text = f"The {source} has no time to which it can be restored."
    yield EMPTY
    yield from labelled(Span("Backup", Style.STRONG), text, width)
    if report["error"] is not None:
        # Not wrapped: a command is copied as one line.
        yield from ((Span(f"    {clean(command)}", Style.DIM),) for command in backup["restore"])


def _describe_notes(report: Value, width: int | None) -> Iterator[Line]:
    lock = report["lock"]
    # A busy run's error has told it.
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
            f" {describe_time(holder['taken_at'])}. It cannot commit any more."
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


def _section(
    title: str, rows: list[list[Cell]], width: int | None, hidden: int = 0
) -> Iterator[Line]:
    if not rows:
        return
    yield EMPTY
    yield (Span(f"  {title}", Style.STRONG),)
    yield from table(rows, width)
    if hidden > 0:
        yield (Span(f"    … and {hidden:,} more", Style.DIM),)


def _hidden(report: Value, key: str) -> int:
    """Return how many entries the JSON form has left out."""
    return int(report["counts"][key]) - len(report[key])


def _id_of(entry: Value) -> str:
    return f"R__{entry['name']}" if entry["version"] is None else str(entry["version"])


def _version_of(entry: Value) -> str:
    return "repeatable" if entry["version"] is None else clean(entry["version"])


def _describe_ms(duration_ms: int | None) -> str:
    return "" if duration_ms is None else format_duration(duration_ms)


def _path(folder: str, file: str) -> str:
    # A script that only the history has is in no folder.
    is_filed = bool(folder) and not file.endswith(_STORED)
    return f"{folder.rstrip('/')}/{file}" if is_filed else file
