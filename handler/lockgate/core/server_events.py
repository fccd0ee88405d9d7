"""Events of the server and of its backups. They are shown and logged; no decision depends on them."""

from __future__ import annotations

from lockgate.core.events import Event
from lockgate.fast_start.dataclass import dataclass

# The server.


@dataclass(frozen=True, slots=True)
class DatabaseWaitedFor(Event):
    """The server does not accept a connection yet, and the run will try again."""

    reason: str
    waited_ms: int


@dataclass(frozen=True, slots=True)
class ServerWarned(Event):
    """The server sent a warning. Its text is left out, because it may contain row data."""

    sqlstate: str | None


@dataclass(frozen=True, slots=True)
class IndexProgressed(Event):
    """How far a running `CREATE INDEX` is, in its current phase. Comes from the watch's thread."""

    phase: str
    done: int | None
    total: int | None
    percent: int | None


@dataclass(frozen=True, slots=True)
class DescriptionRefused(Event):
    """The server did not describe its objects, so that no undo of this run can be proved."""

    sqlstate: str | None


@dataclass(frozen=True, slots=True)
class ReportNotStored(Event):
    """The database refused the report of the run, which is recorded without it."""

    sqlstate: str | None


# Backups.


@dataclass(frozen=True, slots=True)
class BackupSkipped(Event):
    """RDS could not be asked, and no backup was requested."""

    reason: str


@dataclass(frozen=True, slots=True)
class SnapshotDelayed(Event):
    """RDS is busy with the database in this status, and the snapshot is requested again."""

    status: str


@dataclass(frozen=True, slots=True)
class SnapshotRequested(Event):
    """A snapshot was requested."""

    snapshot: str


@dataclass(frozen=True, slots=True)
class SnapshotWaitedFor(Event):
    """A snapshot is not finished yet."""

    snapshot: str
    status: str
    percent: int | None


@dataclass(frozen=True, slots=True)
class SnapshotFinished(Event):
    """A snapshot is available."""

    snapshot: str


@dataclass(frozen=True, slots=True)
class SnapshotsPruned(Event):
    """Older snapshots of Lockgate were deleted."""

    snapshots: tuple[str, ...]
