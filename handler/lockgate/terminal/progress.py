"""Shows a run's events on a terminal as they happen."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from lockgate.duration import format_duration
from lockgate.terminal.line import Line, Span, Style, labelled, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager
    from types import TracebackType

    from lockgate.terminal.screen import LiveText, Screen

_ACTIVITIES = {
    "lock_waited_for": "Waiting for the lock",
    "database_waited_for": "Waiting for the database",
    "lock_taken": "Planning",
    "connection_lost": "Connecting again",
    "connection_restored": "Planning",
    "snapshot_requested": "Waiting for a snapshot",
    "snapshot_delayed": "Waiting until RDS takes a snapshot",
    "snapshot_finished": "Planning",
}

# The sentence for each event, to be filled in with its fields.
_SENTENCES = {
    "database_waited_for": "Waiting for the database: {reason}.",
    "lock_waited_for": "Waiting for the lock, which run {holder} holds.",
    "lock_taken": "Took over the lock of run {former_run}, which died without releasing it.",
    "lock_broken": "Released the lock of run {former_run}.",
    "report_not_stored": "The report could not be stored ({sqlstate}); the run is recorded.",
    "lock_left_behind": "The lock could not be released: {reason}.",
    "segment_retried": "Migration {migration} did not get its locks ({sqlstate}); trying again.",
    "segment_split": "{migrations} migrations were too many for one transaction ({sqlstate}).",
    "undo_started": "A migration failed; undoing what this run applied.",
    "description_refused": "The server cannot describe objects ({sqlstate}); nothing will be undone.",
    "undo_failed": "The undo failed: {reason}",
    "rollback_refused": "The database is ahead of the files and was not rolled back: {reason}",
    "connection_lost": "The connection broke: {reason}.",
    "connection_restored": "Connected again.",
    "snapshot_delayed": "RDS cannot take a snapshot yet: the database is {status}.",
    "snapshot_waited_for": "Waiting for snapshot {snapshot}.",
    "server_warned": "The server sent a warning ({sqlstate}).",
}

NO_LABELS: Mapping[str, str] = MappingProxyType({})


# A loop may raise a notice for each row.
MAX_MESSAGES = 100
_MAX_MESSAGE = 4_000
_ERROR_WORDS = frozenset({"ERROR", "DETAIL", "CONTEXT"})


class Progress:
    """Shows events on a screen: a line for what happened, and a live line for the current activity.

    Events may come from several threads. `applied` collects the migrations that were shown. ``labels``
    has their names by id, as soon as the files are read.
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
        self.labels: Mapping[str, str] = NO_LABELS

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

    def emit(self, name: str, **fields: Any) -> None:
        """Show one event; skip those that have no sentence here."""
        if self._screen is None or self._live_text is None:
            return
        activity = describe_activity(name, fields)
        if activity is not None:
            self._live_text.update(activity)
        line = describe_event(name, fields, self.labels)
        # The event of a wait is repeated while it lasts.
        if line is not None and line != self._last:
            self._last = line
            self._screen.show([line])
        if name == "migration_applied":
            self.applied.add(str(fields["migration"]))

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


def describe_activity(name: str, fields: dict[str, Any]) -> str | None:
    """Return the activity that an event begins, if any."""
    if name == "segment_started":
        outside = ", outside a transaction" if fields["mode"] == "statements" else ""
        verb = "Undoing" if fields.get("direction") == "down" else "Applying"
        return f"{verb} {count_migrations(fields['migrations'])}{outside}"
    if name == "index_progress":
        percent = "" if fields["percent"] is None else f", {fields['percent']} %"
        return f"Building an index: {printable(str(fields['phase']))}{percent}"
    if name == "snapshot_waited_for":
        percent = "" if fields["percent"] is None else f", {fields['percent']} %"
        return f"Waiting for snapshot {printable(str(fields['snapshot']))}{percent}"
    return _ACTIVITIES.get(name)


def describe_event(
    name: str, fields: dict[str, Any], labels: Mapping[str, str] = NO_LABELS
) -> Line | None:
    """Return the line for an event, if people should see it."""
    if name in {"migration_applied", "migration_reverted"}:
        duration = format_duration(fields["duration_ms"] or 0)
        return (
            Span("  ✓ " if name == "migration_applied" else "  ↩ ", Style.GOOD),
            Span(printable(labels.get(fields["migration"], str(fields["migration"])))),
            Span(f"  {duration}", Style.DIM),
        )
    text = _describe_trouble(name, fields)
    return None if text is None else (Span("  ! ", Style.WARNING), Span(printable(text)))


def _describe_trouble(name: str, fields: dict[str, Any]) -> str | None:
    if name == "lock_taken" and fields["former_run"] is None:
        return None
    sentence = _SENTENCES.get(name)
    if sentence is None:
        return None
    text = sentence.format_map(fields)
    if fields.get("blockers"):
        text += f" It waited for {_describe_blockers(fields['blockers'])}."
    return text


def _describe_blockers(blockers: list[dict[str, Any]]) -> str:
    return " and ".join(f"pid {blocker['pid']}" for blocker in blockers)


def count_migrations(count: int) -> str:
    """Return ``1 migration`` or ``12 migrations``."""
    return f"{count:,} migration{'' if count == 1 else 's'}"
