"""Shows a run's events on a terminal as they happen."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from lockgate.core import events, server_events
from lockgate.core.migration import Direction
from lockgate.core.transaction_mode import Mode
from lockgate.duration import format_duration
from lockgate.report.log import FORMS
from lockgate.terminal.line import Line, Span, Style, labelled, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from types import TracebackType

    from lockgate.core.events import Event
    from lockgate.core.failure import Blocker
    from lockgate.terminal.screen import LiveText, Screen

_ACTIVITIES: dict[type[Event], str] = {
    events.WaitBegan: "Waiting for the lock",
    server_events.DatabaseWaitedFor: "Waiting for the database",
    events.LockTaken: "Planning",
    events.ConnectionBroke: "Connecting again",
    events.ConnectionRestored: "Planning",
    server_events.SnapshotRequested: "Waiting for a snapshot",
    server_events.SnapshotDelayed: "Waiting until RDS takes a snapshot",
    server_events.SnapshotFinished: "Planning",
}

# The sentence for each event, to be filled in with the fields that it has in the log.
_SENTENCES: dict[type[Event], str] = {
    server_events.DatabaseWaitedFor: "Waiting for the database: {reason}.",
    events.WaitBegan: "Waiting for the lock, which run {holder} holds.",
    events.LockTaken: "Took over the lock of run {former_run}, which died without releasing it.",
    events.LockBroken: "Released the lock of run {former_run}.",
    server_events.ReportNotStored: "The report could not be stored ({sqlstate}); the run is recorded.",
    events.LockNotReleased: "The lock could not be released: {reason}.",
    events.SegmentRetried: "Migration {migration} did not get its locks ({sqlstate}); trying again.",
    events.SegmentSplit: "{migrations} migrations were too many for one transaction ({sqlstate}).",
    events.UndoStarted: "A migration failed; undoing what this run applied.",
    server_events.DescriptionRefused: (
        "The server cannot describe objects ({sqlstate}); nothing will be undone."
    ),
    events.UndoFailed: "The undo failed: {reason}",
    events.UndoOfNewerRefused: "The newer migrations were not undone: {reason}",
    events.ConnectionBroke: "The connection broke: {reason}.",
    events.ConnectionRestored: "Connected again.",
    server_events.SnapshotDelayed: "RDS cannot take a snapshot yet: the database is {status}.",
    server_events.SnapshotWaitedFor: "Waiting for snapshot {snapshot}.",
    server_events.ServerWarned: "The server sent a warning ({sqlstate}).",
}

NO_LABELS: Mapping[str, str] = MappingProxyType({})


# A loop may raise a notice for each row.
MAX_MESSAGES = 100
_MAX_MESSAGE = 4_000
_ERROR_WORDS = frozenset({"ERROR", "DETAIL", "CONTEXT"})


class Progress:
    """Shows events on a screen: a line for what happened, and a live line for the current activity.

    Events may come from several threads. `applied` collects the migrations that were shown.
    """

    def __init__(self, screen: Screen | None, error_screen: Screen | None = None) -> None:
        """Take ``None`` to show nothing; errors are then shown on ``error_screen``."""
        self._screen = screen
        self._error_screen = screen or error_screen
        self._live: AbstractContextManager[LiveText] | None = None
        self._live_text: LiveText | None = None
        self._last: Line | None = None
        self._message_count = 0
        self.applied: set[str] = set()
        # The names of the migrations by id, once the files are read: other events have only the ids.
        self._labels: Mapping[str, str] = NO_LABELS

    def __enter__(self) -> Self:
        if self._screen is not None:
            self._live = self._screen.live("Connecting")
            self._live_text = self._live.__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.__exit__(exc_type, exc, traceback)

    def note(self, event: Event) -> None:
        """Show one event; skip those that have no sentence here."""
        if isinstance(event, events.FilesRead):
            files = {one.migration_id: one.label for one in event.catalog.migrations}
            self._labels = {**self._labels, **files}
        if isinstance(event, events.HistoryRead):
            # Of a migration that is undone, the file may be gone.
            rows = {row.migration_id: row.label for row in event.history.rows}
            self._labels = {**rows, **self._labels}
        if self._screen is None or self._live_text is None:
            return
        activity = describe_activity(event)
        if activity is not None:
            self._live_text.update(activity)
        line = describe_event(event, self._labels)
        # The event of a wait is repeated while it lasts.
        if line is not None and line != self._last:
            self._last = line
            self._screen.show([line])
        if isinstance(event, events.Applied):
            self.applied.add(event.done.migration_id)

    def show_message(self, word: str, text: str) -> None:
        """Show a server's message about a migration, labelled as in psql. It may contain row data."""
        if self._error_screen is None or (self._screen is None and word not in _ERROR_WORDS):
            return
        self._message_count += word not in _ERROR_WORDS
        if self._message_count <= MAX_MESSAGES or word in _ERROR_WORDS:
            lines = labelled(Span(word, Style.DIM), text[:_MAX_MESSAGE], None, indent=4)
            self._error_screen.show(lines)
        elif self._message_count == MAX_MESSAGES + 1:
            self._error_screen.show([(Span("    … further messages are not shown", Style.DIM),)])

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Show what the command waits for, until the block ends."""
        with nullcontext() if self._screen is None else self._screen.live(what):
            yield

    def announce_next(self, report: Mapping[str, Any], count: int) -> None:
        """Show what an invocation did before the next one starts."""
        if self._screen is not None:
            applied = report["counts"]["applied"] + report["counts"]["reverted"]
            text = f"Invocation {count} ended after {count_migrations(applied)}; invoking again."
            self._screen.show([(Span("  ! ", Style.WARNING), Span(text))])

    def announce_start(self, code: str) -> None:
        """Show that Lambda has not started the function yet."""
        if self._screen is not None:
            text = f"The function has not run yet ({code}); invoking again for up to 5 minutes."
            self._screen.show([(Span("  ! ", Style.WARNING), Span(printable(text)))])

    def announce_stop(self, by: str) -> None:
        """Show that the run stops. Safe in a signal handler: does not use the stream's buffer."""
        if self._screen is not None and self._live_text is not None:
            text = f"{by}: cancelling and rolling back; a second signal stops at once"
            self._screen.interject(self._live_text, text)


def describe_activity(event: Event) -> str | None:
    """Return the activity that an event begins, if any."""
    match event:
        case events.SegmentSent(segment):
            outside = ", outside a transaction" if segment.mode is Mode.STATEMENTS else ""
            is_down = segment.steps[0].direction is Direction.DOWN
            verb = "Undoing" if is_down else "Applying"
            return f"{verb} {count_migrations(len(segment.steps))}{outside}"
        case server_events.IndexProgressed(phase=phase, percent=percent):
            return f"Building an index: {printable(phase)}{_show_percent(percent)}"
        case server_events.SnapshotWaitedFor(snapshot=snapshot, percent=percent):
            return f"Waiting for snapshot {printable(snapshot)}{_show_percent(percent)}"
    return _ACTIVITIES.get(type(event))


def _show_percent(percent: int | None) -> str:
    return "" if percent is None else f", {percent} %"


def describe_event(event: Event, labels: Mapping[str, str] = NO_LABELS) -> Line | None:
    """Return the line for an event, if people should see it."""
    if isinstance(event, events.Applied | events.Undone):
        done = event.done
        return (
            Span("  ✓ " if isinstance(event, events.Applied) else "  ↩ ", Style.GOOD),
            Span(printable(labels.get(done.migration_id, done.migration_id))),
            Span(f"  {format_duration(done.duration_ms or 0)}", Style.DIM),
        )
    text = _describe_trouble(event)
    return None if text is None else (Span("  ! ", Style.WARNING), Span(printable(text)))


def _describe_trouble(event: Event) -> str | None:
    if isinstance(event, events.LockTaken) and event.former_run is None:
        return None
    sentence = _SENTENCES.get(type(event))
    if sentence is None:
        return None
    _, read_fields = FORMS[type(event)]
    text = sentence.format_map(read_fields(event))
    if isinstance(event, events.SegmentRetried) and event.failure.blockers:
        text += f" It waited for {_describe_blockers(event.failure.blockers)}."
    return text


def _describe_blockers(blockers: Iterable[Blocker]) -> str:
    return " and ".join(f"pid {blocker.pid}" for blocker in blockers)


def count_migrations(count: int) -> str:
    """Return ``1 migration`` or ``12 migrations``."""
    return f"{count:,} migration{'' if count == 1 else 's'}"
