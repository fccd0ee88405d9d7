"""What a backup before a change is for, and what is known of it, as values. Knows no AWS.

::

    lock taken, work pending -> before_change -> first segment
                                    |-- a point in time that can be restored
                                    '-- a snapshot, waited for
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from lockgate.core.endpoint import Endpoint


class BackupKind(StrEnum):
    """What there is to go back to."""

    POINT_IN_TIME = "point_in_time"
    SNAPSHOT = "snapshot"


@dataclass(frozen=True, slots=True)
class Purpose:
    """The change that a backup is made before.

    ``version`` is where the database stands, ``None`` if nothing was applied. ``goal`` is where the
    run brings it, in words that stay the same while the run is resumed: a backup of the same goal
    is not made twice.
    """

    run_id: str
    endpoint: Endpoint
    version: str | None
    goal: str


@dataclass(frozen=True, slots=True)
class BackupSource:
    """The cluster or instance that is backed up."""

    kind: str
    identifier: str
    arn: str
    engine: str


@dataclass(frozen=True, slots=True)
class SnapshotInfo:
    """A snapshot. ``run_id`` is the run that asked for it: this one, or one that it goes on from."""

    identifier: str
    arn: str
    status: str
    created_at: datetime | None
    run_id: str


@dataclass(frozen=True, slots=True)
class BackupInfo:
    """What there is to go back to, and the commands that do.

    ``restorable_time`` is the latest moment that the automated backups reach, ``None`` without any.
    """

    kind: BackupKind
    source: BackupSource
    restorable_time: datetime | None
    snapshot: SnapshotInfo | None
    restore: tuple[str, ...]

    def to_value(self) -> dict[str, Any]:
        """Return the report's ``backup``, as JSON has it."""
        value: dict[str, Any] = asdict(self, dict_factory=_plain)
        return value


class Notes(Protocol):
    """Where a backup writes what is known of it: a report that is being written."""

    backup: dict[str, Any] | None

    def warn(self, text: str) -> None:
        """Note something on which somebody should act."""
        ...


class Backup(Protocol):
    """What the runner needs of backups."""

    def before_change(self, purpose: Purpose, notes: Notes) -> None:
        """Back the database up before a run begins to change it.

        Asked again in one run, after a broken connection, it does nothing more.

        Raises:
            BackupFailed: there is no backup, and the run may not do without one.
            TargetUnsuitable: a blue/green deployment would lose the change.
            RunIncomplete: time is over before the backup is there; the next run goes on with it.
        """
        ...


class NoBackup:
    """Backs nothing up: what ``LOCKGATE_BACKUP=off`` asks for."""

    def before_change(self, purpose: Purpose, notes: Notes) -> None:
        """Do nothing."""


def _plain(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {key: _plain_value(value) for key, value in pairs}


def _plain_value(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return list(value) if isinstance(value, tuple) else value
