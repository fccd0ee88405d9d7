"""A backup before a change, of what runs on RDS. Knows the modes; reads no history.

::

    find the database -> no blue/green deployment? -> record the restorable time
                                                   '-> take a snapshot -> prune older ones

Where the setting is not given, whatever keeps RDS from being asked is passed over with a line in
the log. Where it is given, `record` warns of that, and `snapshot` refuses the run.
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
from lockgate.core.snapshot import RUN_TAG, Snapshot, find_surplus, make_tags
from lockgate.errors import BackupFailed, LockgateError
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lockgate.aws.call import ClientFactory
    from lockgate.core.deadline import Deadline


@dataclass(frozen=True, slots=True)
class BackupTerms:
    """What the settings say. ``mode`` is ``None`` where they say nothing."""

    mode: BackupMode | None
    keep: int
    schema: str


@dataclass(slots=True)
class RdsBackup:
    """Backs up the cluster or instance that a run is connected to.

    ``find_named`` returns what the secret says of its database. `before_change` is
    `core.backup.Backup`'s.
    """

    terms: BackupTerms
    find_named: Callable[[], Resource | None]
    clock: WallClock
    deadline: Deadline
    emit: Callable[..., None]
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
            self._go_without("No restorable time is known", error, notes)
            return None

    def _make_clients(self) -> ClientFactory:
        """Return what makes clients; nobody waits long for what nobody asked for."""
        if self.clients is not None:
            return self.clients
        return make_client if self.terms.mode is not None else partial(make_client, attempts=1)

    def _refuse_deployment(self, database: RdsDatabase, notes: Notes) -> None:
        try:
            refuse_deployment(database)
        except BackupFailed as error:
            what = "Whether a blue/green deployment is active is not known"
            self._go_without(what, error, notes)

    def _go_without(self, what: str, error: LockgateError, notes: Notes) -> None:
        text = f"{what}: {error.message}"
        if self.terms.mode is None:
            self.emit("backup_skipped", reason=text)
        else:
            notes.warn(f"{text} {error.hint or ''}".rstrip())

    def _record(self, database: RdsDatabase, notes: Notes) -> None:
        _Writing(database, notes).write(None)
        if database.restorable_time is None and self.terms.mode is not None:
            notes.warn(
                f"{database.resource} has no time to which it can be restored: automated backups are"
                " off (a retention of 0 days), or the first one is not finished."
            )

    def _take(self, database: RdsDatabase, purpose: Purpose, notes: Notes) -> None:
        tags = make_tags(purpose, self.terms.schema)
        snapshots = Snapshots(database)
        taker = SnapshotTaker(
            database,
            snapshots,
            self.clock,
            self.deadline,
            self.emit,
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
        """Delete older snapshots of ours; that one stays is no reason not to run."""
        deleted = []
        try:
            for old in find_surplus(snapshots.list(), tags, taken.identifier, self.terms.keep):
                if self.deadline.is_over:
                    break
                if snapshots.delete(old.identifier):
                    deleted.append(old.identifier)
        except BackupFailed as error:
            notes.warn(f"Older snapshots are left: {error.message} {error.hint or ''}".rstrip())
        if deleted:
            self.emit("snapshots_pruned", snapshots=deleted)


class _Writing:
    """Writes what is known of a backup into a report, each time anew."""

    def __init__(self, database: RdsDatabase, notes: Notes) -> None:
        self._database = database
        self._notes = notes
        self._writer = _find_writer(database)

    def write(self, snapshot: Snapshot | None) -> None:
        """Write the state of a snapshot, or the restorable time alone."""
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
    """Return the description of an Aurora cluster's writer, whose size only the instance knows."""
    members = database.description.get("DBClusterMembers") or [] if database.is_aurora else []
    for member in members:
        if member.get("IsClusterWriter"):
            writer = Resource(ResourceKind.INSTANCE, member["DBInstanceIdentifier"])
            # Without it a command has a gap to fill in, which keeps nobody from the change.
            with suppress(BackupFailed):
                return describe(database.client, writer).description
    return None


def _refusal(error: LockgateError) -> BackupFailed:
    return BackupFailed(error.message, hint=error.hint, **error.fields)
