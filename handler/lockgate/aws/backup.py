"""Makes or finds a backup of a database on RDS before a change.

::

    find the database -> no blue/green deployment? -> record the restorable time
                                                   '-> take a snapshot -> prune older ones

If RDS cannot be asked, the mode `record` warns and `snapshot` refuses the run. Without the setting, only
the log mentions it.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import field
from functools import partial
from typing import TYPE_CHECKING, Any

from lockgate.aws.clients import make_client
from lockgate.aws.deployments import refuse_deployment
from lockgate.aws.endpoints import Resource, ResourceKind
from lockgate.aws.rds import RdsDatabase, describe, find_database
from lockgate.aws.restore import make_restore
from lockgate.aws.snapshot_taker import SnapshotTaker, WallClock
from lockgate.aws.snapshots import Snapshots
from lockgate.core.backup import BackupInfo, BackupKind, Notes, Purpose, SnapshotInfo
from lockgate.core.policy import BackupMode
from lockgate.core.server_events import BackupSkipped, SnapshotsPruned
from lockgate.core.snapshot import RUN_TAG, Snapshot, find_surplus, make_tags
from lockgate.errors import BackupFailed, LockgateError
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lockgate.aws.call import ClientFactory
    from lockgate.core.deadline import Deadline
    from lockgate.core.events import Event


@dataclass(frozen=True, slots=True)
class BackupTerms:
    """The settings of backups. ``mode`` is ``None`` if it is not set."""

    mode: BackupMode | None
    keep: int
    schema: str


@dataclass(slots=True)
class RdsBackup:
    """Backs up the cluster or instance that a run is connected to; follows `core.backup.Backup`.

    ``find_named`` returns the cluster or instance that the secret names.
    """

    terms: BackupTerms
    find_named: Callable[[], Resource | None]
    clock: WallClock
    deadline: Deadline
    add_event: Callable[[Event], object]
    clients: ClientFactory | None = None
    _is_done: bool = field(default=False, init=False)

    def before_change(self, purpose: Purpose, notes: Notes) -> None:
        """Record or take a backup; see `core.backup.Backup.before_change`."""
        if self._is_done:
            return
        database = self._find(purpose, notes)
        if database is not None:
            self._refuse_deployment(database, notes)
            if self.terms.mode is BackupMode.SNAPSHOT:
                self._take(database, purpose, notes)
            else:
                self._record(database, notes)
        self._is_done = True

    def _find(self, purpose: Purpose, notes: Notes) -> RdsDatabase | None:
        try:
            return find_database(self._make_clients(), purpose.endpoint.host, self.find_named)
        except LockgateError as error:
            if self.terms.mode is BackupMode.SNAPSHOT:
                raise _refusal(error) from error
            self._go_without("The restorable time is unknown", error, notes)
            return None

    def _make_clients(self) -> ClientFactory:
        """Return the factory of clients; without the setting they do not retry, to save time."""
        if self.clients is not None:
            return self.clients
        return make_client if self.terms.mode is not None else partial(make_client, attempts=1)

    def _refuse_deployment(self, database: RdsDatabase, notes: Notes) -> None:
        try:
            refuse_deployment(database)
        except BackupFailed as error:
            what = "Blue/green deployments of the database could not be checked"
            self._go_without(what, error, notes)

    def _go_without(self, what: str, error: LockgateError, notes: Notes) -> None:
        text = f"{what}: {error.message}"
        if self.terms.mode is None:
            self.add_event(BackupSkipped(text))
        else:
            notes.warn(f"{text} {error.hint or ''}".rstrip())

    def _record(self, database: RdsDatabase, notes: Notes) -> None:
        _Writing(database, notes).write(None)
        if database.restorable_time is None and self.terms.mode is not None:
            notes.warn(
                f"{database.resource} cannot be restored to a point in time: automated backups are off"
                " (a retention of 0 days), or the first one is not finished."
            )

    def _take(self, database: RdsDatabase, purpose: Purpose, notes: Notes) -> None:
        tags = make_tags(purpose, self.terms.schema)
        snapshots = Snapshots(database)
        taker = SnapshotTaker(
            database,
            snapshots,
            self.clock,
            self.deadline,
            self.add_event,
            _Writing(database, notes).write,
        )
        try:
            taken = taker.take(purpose.run_id, tags)
        except BackupFailed as error:
            raise _refusal(error) from error
        self._prune(snapshots, tags, taken, notes)

    def _prune(
        self, snapshots: Snapshots, tags: Mapping[str, str], taken: Snapshot, notes: Notes
    ) -> None:
        """Delete older snapshots of Lockgate; one that cannot be deleted does not stop the run."""
        deleted = []
        try:
            for old in find_surplus(snapshots.list(), tags, taken.identifier, self.terms.keep):
                if self.deadline.is_over:
                    break
                if snapshots.delete(old.identifier):
                    deleted.append(old.identifier)
        except BackupFailed as error:
            notes.warn(
                f"Older snapshots were not deleted: {error.message} {error.hint or ''}".rstrip()
            )
        if deleted:
            self.add_event(SnapshotsPruned(tuple(deleted)))


class _Writing:
    """Writes the state of a backup into a report, replacing what it wrote before."""

    def __init__(self, database: RdsDatabase, notes: Notes) -> None:
        self._database = database
        self._notes = notes
        self._writer = _find_writer(database)

    def write(self, snapshot: Snapshot | None) -> None:
        """Write the state of a snapshot; for ``None``, only the restorable time."""
        identifier = None if snapshot is None else snapshot.identifier
        info = BackupInfo(
            kind=BackupKind.POINT_IN_TIME if snapshot is None else BackupKind.SNAPSHOT,
            source=self._database.source,
            restorable_time=self._database.restorable_time,
            snapshot=None if snapshot is None else _read_info(snapshot),
            restore=make_restore(self._database, identifier, self._writer),
        )
        self._notes.backup = info.to_value()


def _read_info(snapshot: Snapshot) -> SnapshotInfo:
    return SnapshotInfo(
        identifier=snapshot.identifier,
        arn=snapshot.arn,
        status=snapshot.status,
        created_at=snapshot.created_at,
        run_id=snapshot.tags.get(RUN_TAG, ""),
    )


def _find_writer(database: RdsDatabase) -> Any:
    """Return the description of an Aurora cluster's writer instance, which has the size."""
    members = database.description.get("DBClusterMembers") or [] if database.is_aurora else []
    for member in members:
        if member.get("IsClusterWriter"):
            writer = Resource(ResourceKind.INSTANCE, member["DBInstanceIdentifier"])
            # Without it, a restore command has a placeholder, which does not stop the run.
            with suppress(BackupFailed):
                return describe(database.client, writer).description
    return None


def _refusal(error: LockgateError) -> BackupFailed:
    return BackupFailed(error.message, hint=error.hint, **error.fields)
