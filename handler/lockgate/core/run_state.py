"""What a run knows about its own work, from its events.

The engine updates one `RunState` and makes decisions from it. A report builds its own from a snapshot of
the same events, so that both agree on what was applied and what may be left.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any

from lockgate.core import events
from lockgate.core.failure import MigrationStepFailed
from lockgate.core.history import EMPTY_HISTORY, Applied, History, State
from lockgate.core.migration import Direction
from lockgate.core.outcome import FinishedMigration
from lockgate.core.request import Action, Request
from lockgate.core.sent_work import SentWork
from lockgate.core.state_after import RunFacts, StateClaim, find_state
from lockgate.errors import DatabaseBusy, DatabaseUnreachable, LockgateError, OutcomeUnknown
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from lockgate.core.amendment import Amendment
    from lockgate.core.catalog import Catalog
    from lockgate.core.events import Event
    from lockgate.core.failure import Failure
    from lockgate.core.lease import Holder
    from lockgate.core.listing import Listing


@dataclass(slots=True)
class RunState:
    """The state of one run. Only `note` changes it.

    ``unread`` lists all files while ``catalog`` contains only some of them. ``sent`` is the last
    amendment sent. ``undone_rows`` are the rows that are or will be undone; ``restored`` are the
    checksums of the former texts that repeatable migrations get back.
    """

    run_id: str
    request: Request
    catalog: Catalog | None = None
    unread: Listing | None = None
    history: History = EMPTY_HISTORY
    holder: Holder | None = None
    waited_ms: int = 0
    token: int | None = None
    done: dict[str, FinishedMigration] = field(default_factory=dict)
    reverted: dict[str, FinishedMigration] = field(default_factory=dict)
    undone_rows: dict[str, Applied] = field(default_factory=dict)
    restored: dict[str, str] = field(default_factory=dict)
    sent: Amendment | None = None
    warnings: list[str] = field(default_factory=list)
    error: LockgateError | None = None
    sent_work: SentWork = field(default_factory=SentWork)

    def note(self, event: Event) -> None:
        """Update the state for one event."""
        handler = _HANDLERS.get(type(event))
        if handler is not None:
            handler(self, event)

    @property
    def has_committed(self) -> bool:
        """True if this run knows that one of its commits changed the history."""
        return bool(self.done or self.reverted or self.sent)

    @property
    def failure(self) -> Failure | None:
        """The failed step, if the run ends because of one."""
        return self.error.failure if isinstance(self.error, MigrationStepFailed) else None

    def is_restored(self, row: Applied) -> bool:
        """Return whether a repeatable migration has its former text again."""
        return self.restored.get(row.migration_id) == row.checksum

    def claim(self) -> StateClaim:
        """Return the state of the database if the run fails with its error now."""
        failure, sent_work = self.failure, self.sent_work
        in_part = sent_work.find_part(self.history, failure)
        of_this_run = {one for one, row in self.undone_rows.items() if row.run_id == self.run_id}
        is_own_end = not isinstance(self.error, (DatabaseBusy, DatabaseUnreachable))
        has_step = failure is not None or sent_work.under_way is not None
        return find_state(
            RunFacts(
                has_tried=sent_work.has_tried,
                has_lock=self.token is not None,
                has_sent=sent_work.has_sent,
                is_in_doubt=sent_work.is_in_doubt,
                was_read=sent_work.was_read,
                kept=tuple(one for one in self.done if one != in_part),
                undone_own=tuple(one for one in self.reverted if one in of_this_run),
                undone_others=tuple(one for one in self.reverted if one not in of_this_run),
                in_part=in_part,
                has_committed=failure is not None and failure.has_committed,
                has_failed_step=is_own_end and has_step,
                is_outcome_unknown=isinstance(self.error, OutcomeUnknown),
                action=self.request.action,
                has_amended=self.sent is not None
                and self.sent.is_written(self.history, self.run_id),
                stub=sent_work.stub,
            )
        )


# One function for each event that changes the state.


def _read_files(state: RunState, event: events.FilesRead) -> None:
    state.catalog, state.unread = event.catalog, event.unread


def _read_history(state: RunState, event: events.HistoryRead) -> None:
    state.history = event.history
    if not event.is_locked:
        return
    _believe_history(state)
    state.sent_work.note_history()


def _believe_history(state: RunState) -> None:
    """After a broken connection, update from the history what this run has done."""
    action, sent_work = state.request.action, state.sent_work
    if not sent_work.is_in_doubt or sent_work.is_cut_off:
        return
    if action is Action.UP:
        _reload_applied(state)
    if action in {Action.UP, Action.DOWN}:
        _reload_undone(state)


def _reload_applied(state: RunState) -> None:
    """Replace what this run has applied with what the history contains."""
    state.done = {
        row.migration_id: FinishedMigration(row.migration_id, row.duration_ms, row.applied_at)
        for row in state.history.rows
        if row.run_id == state.run_id and row.state is State.APPLIED and not state.is_restored(row)
    }


def _reload_undone(state: RunState) -> None:
    """Add to what this run has undone what the history no longer contains."""
    left = {row.migration_id for row in state.history.rows if not state.is_restored(row)}
    for migration_id, row in state.undone_rows.items():
        if migration_id not in left and migration_id not in state.reverted:
            state.reverted[migration_id] = FinishedMigration(
                migration_id, 0, row.applied_at, Direction.DOWN
            )


def _plan_undo(state: RunState, event: events.UndoPlanned) -> None:
    steps = event.undo_plan.steps
    state.undone_rows |= {row.migration_id: row for step in steps if (row := step.row)}
    state.restored |= event.undo_plan.restored


def _apply(state: RunState, event: events.Applied) -> None:
    state.done[event.done.migration_id] = event.done


def _revert(state: RunState, event: events.Undone) -> None:
    state.done.pop(event.done.migration_id, None)
    state.reverted[event.done.migration_id] = event.done


def _send_amendment(state: RunState, event: events.AmendmentSent) -> None:
    state.sent = event.amendment
    state.sent_work.note_sending(None)


def _take_lock(state: RunState, event: events.LockTaken) -> None:
    state.token = event.token
    state.sent_work.note_restored()


def _see_holder(state: RunState, event: events.HolderSeen) -> None:
    state.holder = event.holder


def _break_lock(state: RunState, event: events.LockBroken) -> None:
    state.holder = event.holder


def _wait(state: RunState, event: events.Waited) -> None:
    state.waited_ms = event.waited_ms


def _warn(state: RunState, event: events.Warned) -> None:
    state.warnings.append(event.text)


def _fail(state: RunState, event: events.Failed) -> None:
    state.error = event.error


def _send_segment(state: RunState, event: events.SegmentSent) -> None:
    state.sent_work.note_sending(event.segment)


def _send_stub(state: RunState, event: events.StubSent) -> None:
    state.sent_work.stub = event.table


def _lose_stub(state: RunState, _: events.StubGone) -> None:
    state.sent_work.stub = None


def _on_sent_work(change: Callable[[SentWork], None]) -> Callable[[RunState, Any], None]:
    return lambda state, _: change(state.sent_work)


_HANDLERS: dict[type[Event], Callable[[RunState, Any], None]] = {
    events.FilesRead: _read_files,
    events.HistoryRead: _read_history,
    events.UndoPlanned: _plan_undo,
    events.HolderSeen: _see_holder,
    events.LockBroken: _break_lock,
    events.Waited: _wait,
    events.LockTaken: _take_lock,
    events.AppliedReloaded: lambda state, _: _reload_applied(state),
    events.UndoneReloaded: lambda state, _: _reload_undone(state),
    events.Applied: _apply,
    events.Undone: _revert,
    events.SegmentSent: _send_segment,
    events.AmendmentSent: _send_amendment,
    events.StubSent: _send_stub,
    events.StubGone: _lose_stub,
    events.Warned: _warn,
    events.Failed: _fail,
    events.ChangeAttempted: _on_sent_work(SentWork.note_attempt),
    events.SegmentDone: _on_sent_work(SentWork.note_success),
    events.AnswerLost: _on_sent_work(SentWork.note_lost_connection),
    events.LockRetaken: _on_sent_work(SentWork.note_restored),
    events.ConnectionRestored: _on_sent_work(SentWork.note_restored),
    events.LockLost: _on_sent_work(SentWork.note_lost_lock),
    events.EndRecorded: _on_sent_work(SentWork.note_end),
}
