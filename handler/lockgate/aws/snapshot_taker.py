"""Takes a snapshot, or waits for the one that an earlier run requested, within the deadline.

::

    requested? --no--> request --busy--> pause, request again
        |yes               |
        '------> wait <----'     creating 10 % ... 90 % ... available
                  '-- out of time: RunIncomplete, and the next run is back at "requested?"
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from lockgate.aws.rds import RdsDatabase, describe
from lockgate.core.deadline import Clock, Deadline
from lockgate.core.server_events import (
    SnapshotDelayed,
    SnapshotFinished,
    SnapshotRequested,
    SnapshotWaitedFor,
)
from lockgate.core.snapshot import Snapshot, SnapshotProgress, find_asked_for, name_snapshot
from lockgate.errors import BackupFailed, RunIncomplete
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lockgate.aws.snapshots import Snapshots
    from lockgate.core.events import Event

_POLL_SECONDS = 10.0
# How often in a row a failed poll is repeated.
_MOST_MISSES = 3
# States in which RDS never takes a snapshot, however long the run waits.
_HOPELESS = frozenset({"storage-full", "failed", "stopped", "stopping", "deleting"})
_HOPELESS_PREFIXES = ("incompatible-", "inaccessible-")


class WallClock(Clock, Protocol):
    """A clock that also has the time of day."""

    def now(self) -> float:
        """Return the seconds since the epoch."""
        ...


@dataclass(frozen=True, slots=True)
class SnapshotTaker:
    """Takes one snapshot of a database. ``on_seen`` is called with each state of the snapshot."""

    database: RdsDatabase
    snapshots: Snapshots
    clock: WallClock
    deadline: Deadline
    add_event: Callable[[Event], object]
    on_seen: Callable[[Snapshot], None]

    def take(self, run_id: str, tags: Mapping[str, str]) -> Snapshot:
        """Return a snapshot that is available.

        Raises:
            BackupFailed: there will be none.
            RunIncomplete: the time is up before it is available.
        """
        self._stop_if_over(None)
        now = datetime.fromtimestamp(self.clock.now(), UTC)
        found = find_asked_for(self.snapshots.list(), tags, now)
        return self._wait(self._ask(name_snapshot(run_id), tags) if found is None else found)

    def _ask(self, identifier: str, tags: Mapping[str, str]) -> Snapshot:
        """Request a snapshot; repeat that while RDS is busy with the database."""
        while (snapshot := self.snapshots.ask(identifier, tags)) is None:
            status = describe(self.database.client, self.database.resource).status
            if status in _HOPELESS or status.startswith(_HOPELESS_PREFIXES):
                raise BackupFailed(
                    f"RDS cannot take a snapshot of {self.database.resource}, whose status is {status}.",
                    hint="Make the database available, then invoke again.",
                )
            self.add_event(SnapshotDelayed(status))
            self._pause(None)
        self.add_event(SnapshotRequested(identifier))
        return snapshot

    def _wait(self, snapshot: Snapshot) -> Snapshot:
        seen: Snapshot | None = None
        while True:
            if snapshot != seen:
                self.on_seen(snapshot)
                seen = snapshot
                if snapshot.progress is SnapshotProgress.WAITED_FOR:
                    self._say_how_far(snapshot)
            if snapshot.progress is SnapshotProgress.READY:
                self.add_event(SnapshotFinished(snapshot.identifier))
                return snapshot
            if snapshot.progress is SnapshotProgress.FAILED:
                raise _broken(snapshot, self.database)
            snapshot = self._look_again(snapshot)

    def _look_again(self, snapshot: Snapshot) -> Snapshot:
        """Return the snapshot after a pause; a poll that fails for the moment is repeated."""
        misses = 0
        while True:
            self._pause(snapshot)
            try:
                return self.snapshots.read(snapshot.identifier)
            except BackupFailed as error:
                misses += 1
                if misses > _MOST_MISSES or not _is_passing(error):
                    raise

    def _say_how_far(self, snapshot: Snapshot) -> None:
        self.add_event(SnapshotWaitedFor(snapshot.identifier, snapshot.status, snapshot.percent))

    def _pause(self, snapshot: Snapshot | None) -> None:
        self._stop_if_over(snapshot)
        self.deadline.pause(self.clock, _POLL_SECONDS)
        self._stop_if_over(snapshot)

    def _stop_if_over(self, snapshot: Snapshot | None) -> None:
        if not self.deadline.is_over:
            return
        why = self.deadline.interrupted_by or "the time of this invocation is over"
        if snapshot is None:
            what, after = "a snapshot", "Invoke again: the next run requests the snapshot."
        else:
            what = f"snapshot {snapshot.identifier}"
            after = "Invoke again: the next run waits for this snapshot, and takes no other."
        far = "" if snapshot is None or snapshot.percent is None else f" ({snapshot.percent} %)"
        raise RunIncomplete(
            f"The run stopped before it was done: {why}. It was waiting for {what} of"
            f" {self.database.resource}{far}.",
            hint=after,
        )


def _broken(snapshot: Snapshot, database: RdsDatabase) -> BackupFailed:
    return BackupFailed(
        f"Snapshot {snapshot.identifier} of {database.resource} failed: its status is"
        f" {snapshot.status}.",
        hint="See the snapshot's events in RDS. Invoke again: the next run takes another snapshot.",
        snapshot=snapshot.identifier,
    )


def _is_passing(error: BackupFailed) -> bool:
    """Return whether another poll may help: not if the snapshot is gone or may not be read."""
    code = str(error.fields.get("aws_code"))
    return "NotFound" not in code and not code.startswith("AccessDenied")
