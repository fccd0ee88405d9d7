"""Show the events of a run on the terminal."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest

from lockgate.report.log import FORMS
from lockgate.terminal.progress import Progress, describe_activity, describe_event
from lockgate.terminal.screen import Screen

PACKAGE = Path(__file__).parents[2] / "handler" / "lockgate"
BLOCKER = {"pid": 41, "user": "ada"}

# Each event with its fields and the line that it is shown as.
EVENTS: list[tuple[str, dict[str, Any], str | None]] = [
    (
        "database_waited_for",
        {"reason": "refused", "waited_ms": 3},
        "  ! Waiting for the database: refused.",
    ),
    (
        "report_not_stored",
        {"sqlstate": "22P05"},
        "  ! The report could not be stored (22P05); the run is recorded.",
    ),
    (
        "description_refused",
        {"sqlstate": "57014"},
        "  ! The server cannot describe objects (57014); nothing will be undone.",
    ),
    ("lock_waited_for", {"holder": "feed"}, "  ! Waiting for the lock, which run feed holds."),
    ("lock_taken", {"token": 7, "former_run": None}, None),
    (
        "lock_taken",
        {"token": 7, "former_run": "feed"},
        "  ! Took over the lock of run feed, which died without releasing it.",
    ),
    ("lock_broken", {"token": 7, "former_run": "feed"}, "  ! Released the lock of run feed."),
    ("segment_started", {"mode": "shared", "migrations": 12}, None),
    (
        "segment_split",
        {"sqlstate": "53200", "migrations": 900},
        "  ! 900 migrations were too many for one transaction (53200).",
    ),
    (
        "segment_retried",
        {"migration": "7", "sqlstate": "55P03", "attempt": 1, "blockers": [BLOCKER, BLOCKER]},
        "  ! Migration 7 did not get its locks (55P03); trying again. It waited for pid 41 and pid 41.",
    ),
    (
        "segment_retried",
        {"migration": "7", "sqlstate": "40P01", "attempt": 1, "blockers": []},
        "  ! Migration 7 did not get its locks (40P01); trying again.",
    ),
    ("migration_applied", {"migration": "7", "duration_ms": 84}, "  ✓ 7 add_email  84 ms"),
    ("migration_applied", {"migration": "R__v", "duration_ms": None}, "  ✓ R__v  0 ms"),
    ("migration_reverted", {"migration": "7", "duration_ms": 4}, "  ↩ 7 add_email  4 ms"),
    (
        "undo_started",
        {"migrations": 2},
        "  ! A migration failed; undoing what this run applied.",
    ),
    ("undo_failed", {"reason": "no way."}, "  ! The undo failed: no way."),
    (
        "rollback_refused",
        {"code": "undo-refused", "reason": "no way."},
        "  ! The database is ahead of the files and was not rolled back: no way.",
    ),
    ("connection_lost", {"reason": "reset"}, "  ! The connection broke: reset."),
    ("connection_restored", {}, "  ! Connected again."),
    ("server_warned", {"sqlstate": "01000"}, "  ! The server sent a warning (01000)."),
    ("lock_left_behind", {"reason": "reset"}, "  ! The lock could not be released: reset."),
    ("index_progress", {"phase": "x", "done": 1, "total": 2, "percent": 50}, None),
    ("run_finished", {"status": "applied"}, None),
    ("backup_skipped", {"reason": "x"}, None),
    ("snapshot_requested", {"snapshot": "lockgate-feed"}, None),
    (
        "snapshot_delayed",
        {"status": "backing-up"},
        "  ! RDS cannot take a snapshot yet: the database is backing-up.",
    ),
    (
        "snapshot_waited_for",
        {"snapshot": "lockgate-feed", "status": "creating", "percent": 40},
        "  ! Waiting for snapshot lockgate-feed.",
    ),
    ("snapshot_finished", {"snapshot": "lockgate-feed"}, None),
    ("snapshots_pruned", {"snapshots": ["lockgate-cafe"]}, None),
    ("an_event_of_a_later_release", {}, None),
]


@pytest.mark.parametrize(("name", "fields", "expected"), EVENTS)
def test_event_becomes_a_line(name: str, fields: dict[str, Any], expected: str | None) -> None:
    """An event that matters to a person becomes a line, and others are not shown."""
    line = describe_event(name, fields, {"7": "7 add_email"})

    assert expected == (None if line is None else "".join(span.text for span in line))


def test_every_event_of_the_engine_is_known_here() -> None:
    """Each event that the code emits is listed above."""
    # load.py, the function without its package, only writes to its log.
    modules = [path for path in PACKAGE.rglob("*.py") if path.name != "load.py"]
    sources = [path.read_text("utf-8") for path in modules]
    emitted = {n for text in sources for n in re.findall(r'emit\(\s*"([a-z_]+)"', text)}
    emitted |= {name for name, _ in FORMS.values()}

    assert emitted >= {"lock_taken", "migration_applied"}
    assert set() == emitted - {name for name, _, _ in EVENTS}


@pytest.mark.parametrize(
    ("name", "fields", "expected"),
    [
        ("database_waited_for", {}, "Waiting for the database"),
        ("lock_waited_for", {}, "Waiting for the lock"),
        ("segment_started", {"mode": "shared", "migrations": 1}, "Applying 1 migration"),
        (
            "segment_started",
            {"mode": "shared", "migrations": 2, "direction": "down"},
            "Undoing 2 migrations",
        ),
        ("connection_lost", {}, "Connecting again"),
        ("index_progress", {"phase": "sorting", "percent": 50}, "Building an index: sorting, 50 %"),
        ("index_progress", {"phase": "waiting", "percent": None}, "Building an index: waiting"),
        (
            "snapshot_waited_for",
            {"snapshot": "lockgate-feed", "percent": 40},
            "Waiting for snapshot lockgate-feed, 40 %",
        ),
        (
            "snapshot_waited_for",
            {"snapshot": "lockgate-feed", "percent": None},
            "Waiting for snapshot lockgate-feed",
        ),
        ("snapshot_finished", {}, "Planning"),
        ("migration_applied", {}, None),
    ],
)
def test_event_begins_what_goes_on(name: str, fields: dict[str, Any], expected: str | None) -> None:
    """The live line shows what the run is doing or waiting for."""
    assert expected == describe_activity(name, fields)


def test_waiting_is_said_once() -> None:
    """A repeated waiting line is shown once, and a new reason is shown again."""
    stream = io.StringIO()
    with Progress(Screen(stream, {})) as progress:
        for reason in ("refused", "refused", "reset"):
            progress.emit("database_waited_for", reason=reason, waited_ms=1)

    assert stream.getvalue().count("\n") == 2


def test_quiet_progress_says_nothing() -> None:
    """Without a screen, progress accepts every call and shows nothing."""
    with Progress(None) as progress:
        progress.emit("migration_applied", migration="7", duration_ms=1)
        progress.announce_stop("Ctrl-C")

    assert progress.applied == set()
