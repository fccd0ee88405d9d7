"""Show the events of a run on the terminal."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.support.deciding import make_row
from tests.support.fake_server import make_holder
from tests.support.run_events import STEP, make_done, make_sending

from lockgate.core import events, server_events
from lockgate.core.catalog import make_catalog
from lockgate.core.failure import Blocker, Failure
from lockgate.core.history import History
from lockgate.core.migration import Direction, Version
from lockgate.core.transaction_mode import Mode
from lockgate.report.log import FORMS
from lockgate.terminal.progress import Progress, describe_activity, describe_event
from lockgate.terminal.screen import Screen

if TYPE_CHECKING:
    from lockgate.core.events import Event

RUN_FINISHED = events.RunFinished("applied", "up", 1, 0, 5, None, None)
BLOCKER = Blocker(41, "ada", None, None, None, None)
HOLDER = make_holder("feed")


def make_retry(sqlstate: str, *blockers: Blocker) -> events.SegmentRetried:
    """Return the event of a second try."""
    return events.SegmentRetried(Failure("7", "no", sqlstate, blockers=blockers), 1)


# Each event and the line that it is shown as.
EVENTS: list[tuple[Event, str | None]] = [
    (
        server_events.DatabaseWaitedFor("refused", 3),
        "  ! Waiting for the database: refused.",
    ),
    (
        server_events.ReportNotStored("22P05"),
        "  ! The report could not be stored (22P05); the run is recorded.",
    ),
    (
        server_events.DescriptionRefused("57014"),
        "  ! The server cannot describe objects (57014); nothing will be undone.",
    ),
    (events.WaitBegan("feed"), "  ! Waiting for the lock, which run feed holds."),
    (events.LockTaken(7, None), None),
    (
        events.LockTaken(7, "feed"),
        "  ! Took over the lock of run feed, which died without releasing it.",
    ),
    (events.LockBroken(HOLDER), "  ! Released the lock of run feed."),
    (make_sending(Mode.SHARED, 12), None),
    (
        events.SegmentSplit("53200", 900),
        "  ! 900 migrations were too many for one transaction (53200).",
    ),
    (
        make_retry("55P03", BLOCKER, BLOCKER),
        "  ! Migration 7 did not get its locks (55P03); trying again. It waited for pid 41 and pid 41.",
    ),
    (
        make_retry("40P01"),
        "  ! Migration 7 did not get its locks (40P01); trying again.",
    ),
    (events.Applied(make_done("7", 84)), "  ✓ 7 add_email  84 ms"),
    (events.Applied(make_done("R__v", 0)), "  ✓ R__v  0 ms"),
    (events.Undone(make_done("7", 4)), "  ↩ 7 add_email  4 ms"),
    (
        events.UndoStarted(2),
        "  ! A migration failed; undoing what this run applied.",
    ),
    (events.UndoFailed("no way."), "  ! The undo failed: no way."),
    (
        events.UndoOfNewerRefused("undo-refused", "no way."),
        "  ! The newer migrations were not undone: no way.",
    ),
    (events.ConnectionBroke("reset", None), "  ! The connection broke: reset."),
    (events.ConnectionRestored(), "  ! Connected again."),
    (server_events.ServerWarned("01000"), "  ! The server sent a warning (01000)."),
    (events.LockNotReleased("reset"), "  ! The lock could not be released: reset."),
    (server_events.IndexProgressed("x", 1, 2, 50), None),
    (RUN_FINISHED, None),
    (server_events.BackupSkipped("x"), None),
    (server_events.SnapshotRequested("lockgate-feed"), None),
    (
        server_events.SnapshotDelayed("backing-up"),
        "  ! RDS cannot take a snapshot yet: the database is backing-up.",
    ),
    (
        server_events.SnapshotWaitedFor("lockgate-feed", "creating", 40),
        "  ! Waiting for snapshot lockgate-feed.",
    ),
    (server_events.SnapshotFinished("lockgate-feed"), None),
    (server_events.SnapshotsPruned(("lockgate-cafe",)), None),
    (events.NothingToUndo(), None),
]


@pytest.mark.parametrize(("event", "expected"), EVENTS, ids=lambda one: type(one).__name__)
def test_event_becomes_a_line(event: Event, expected: str | None) -> None:
    """An event that matters to a person becomes a line, and others are not shown."""
    line = describe_event(event, {"7": "7 add_email"})

    assert expected == (None if line is None else "".join(span.text for span in line))


def test_every_event_of_the_log_is_known_here() -> None:
    """Each event that is logged is listed above."""
    assert {events.LockTaken, events.Applied} <= FORMS.keys()
    assert set() == FORMS.keys() - {type(event) for event, _ in EVENTS}


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (server_events.DatabaseWaitedFor("refused", 3), "Waiting for the database"),
        (events.WaitBegan("feed"), "Waiting for the lock"),
        (make_sending(Mode.SHARED, 1), "Applying 1 migration"),
        (
            make_sending(Mode.SHARED, 2, replace(STEP, direction=Direction.DOWN)),
            "Undoing 2 migrations",
        ),
        (events.ConnectionBroke("reset", None), "Connecting again"),
        (
            server_events.IndexProgressed("sorting", 1, 2, 50),
            "Building an index: sorting, 50 %",
        ),
        (
            server_events.IndexProgressed("waiting", None, None, None),
            "Building an index: waiting",
        ),
        (
            server_events.SnapshotWaitedFor("lockgate-feed", "creating", 40),
            "Waiting for snapshot lockgate-feed, 40 %",
        ),
        (
            server_events.SnapshotWaitedFor("lockgate-feed", "creating", None),
            "Waiting for snapshot lockgate-feed",
        ),
        (server_events.SnapshotFinished("lockgate-feed"), "Planning"),
        (events.Applied(make_done("7", 84)), None),
    ],
    ids=lambda one: one if isinstance(one, str) else type(one).__name__,
)
def test_event_starts_an_activity(event: Event, expected: str | None) -> None:
    """The live line shows what the run is doing or waiting for."""
    assert expected == describe_activity(event)


def test_waiting_is_shown_once() -> None:
    """A repeated waiting line is shown once, and a new reason is shown again."""
    stream = io.StringIO()
    with Progress(Screen(stream, {})) as progress:
        for reason in ("refused", "refused", "reset"):
            progress.note(server_events.DatabaseWaitedFor(reason, 1))

    assert stream.getvalue().count("\n") == 2


def test_undone_migration_without_a_file_is_shown_by_its_name_in_the_history() -> None:
    """Names come from the history if the file is gone, and otherwise from the file."""
    rows = tuple(replace(make_row(version), name="in_history") for version in ("1", "2"))
    migration = replace(STEP.migration, version=Version.parse("1"), name="in_file")
    catalog = make_catalog([migration], "migrations")
    stream = io.StringIO()
    with Progress(Screen(stream, {})) as progress:
        progress.note(events.FilesRead(catalog))
        progress.note(events.HistoryRead(History(rows)))
        for version in ("2", "1"):
            progress.note(events.Undone(make_done(version, 1)))
    assert " 2 in_history  1 ms\n" in stream.getvalue()
    assert " 1 in_file  1 ms\n" in stream.getvalue()


def test_quiet_progress_shows_nothing() -> None:
    """Without a screen, progress accepts every call and shows nothing."""
    with Progress(None) as progress:
        progress.note(events.Applied(make_done("7", 1)))
        progress.announce_stop("Ctrl-C")

    assert progress.applied == set()
