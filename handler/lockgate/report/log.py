"""What the log says about the events of a run. An event that is not in `FORMS` is not logged."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from lockgate.core import events, server_events

if TYPE_CHECKING:
    from collections.abc import Callable

    from lockgate.core.events import Event

    Fields = dict[str, object]


def log_to(emit: Callable[..., None]) -> Callable[[Event], None]:
    """Return a listener that passes on each event that has a form, as a name and fields."""

    def listen(event: Event) -> None:
        form = FORMS.get(type(event))
        if form is not None:
            name, read = form
            emit(name, **read(event))

    return listen


def _all_fields(event: Any) -> Fields:
    return {one.name: getattr(event, one.name) for one in dataclasses.fields(event)}


def _of_segment(event: events.SegmentSent) -> Fields:
    segment = event.segment
    return {
        "mode": segment.mode,
        "migrations": len(segment.steps),
        "direction": segment.steps[0].direction,
    }


def _of_retry(event: events.SegmentRetried) -> Fields:
    failure = event.failure
    return {
        "migration": failure.migration,
        "sqlstate": failure.sqlstate,
        "attempt": event.attempt,
        "blockers": [dataclasses.asdict(blocker) for blocker in failure.blockers],
    }


def _of_migration(event: events.Applied | events.Undone) -> Fields:
    return {"migration": event.done.migration_id, "duration_ms": event.done.duration_ms}


def _of_broken_lock(event: events.LockBroken) -> Fields:
    return {"former_run": event.holder.run_id}


# The name in the log, and what reads the fields.
FORMS: dict[type[Event], tuple[str, Callable[[Any], Fields]]] = {
    events.RunFinished: ("run_finished", _all_fields),
    events.ConnectionBroke: ("connection_lost", _all_fields),
    events.ConnectionRestored: ("connection_restored", _all_fields),
    events.WaitBegan: ("lock_waited_for", _all_fields),
    events.LockTaken: ("lock_taken", _all_fields),
    events.LockBroken: ("lock_broken", _of_broken_lock),
    events.LockNotReleased: ("lock_left_behind", _all_fields),
    events.SegmentSent: ("segment_started", _of_segment),
    events.SegmentSplit: ("segment_split", _all_fields),
    events.SegmentRetried: ("segment_retried", _of_retry),
    events.Applied: ("migration_applied", _of_migration),
    events.Undone: ("migration_reverted", _of_migration),
    events.UndoStarted: ("undo_started", _all_fields),
    events.UndoFailed: ("undo_failed", _all_fields),
    events.UndoOfNewerRefused: ("rollback_refused", _all_fields),
    server_events.DatabaseWaitedFor: ("database_waited_for", _all_fields),
    server_events.ServerWarned: ("server_warned", _all_fields),
    server_events.IndexProgressed: ("index_progress", _all_fields),
    server_events.DescriptionRefused: ("description_refused", _all_fields),
    server_events.ReportNotStored: ("report_not_stored", _all_fields),
    server_events.BackupSkipped: ("backup_skipped", _all_fields),
    server_events.SnapshotDelayed: ("snapshot_delayed", _all_fields),
    server_events.SnapshotRequested: ("snapshot_requested", _all_fields),
    server_events.SnapshotWaitedFor: ("snapshot_waited_for", _all_fields),
    server_events.SnapshotFinished: ("snapshot_finished", _all_fields),
    server_events.SnapshotsPruned: (
        "snapshots_pruned",
        lambda event: {"snapshots": list(event.snapshots)},
    ),
}
