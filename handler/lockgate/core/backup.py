"""Backups before a change: their purpose, their result, and the protocol for making them.

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
    """What a database can be restored from."""

    POINT_IN_TIME = "point_in_time"
    SNAPSHOT = "snapshot"


@dataclass(frozen=True, slots=True)
class Purpose:
    """The change before which a backup is made.

    ``version`` is the latest applied one, ``None`` if nothing was applied. ``goal`` describes the
    result of the run and stays the same while the run is resumed: no second backup is made for the
    same goal.
    """

    run_id: str
    endpoint: Endpoint
    version: str | None
    goal: str


@dataclass(frozen=True, slots=True)
class BackupSource:
    """The cluster or instance to back up."""

    kind: str
    identifier: str
    arn: str
    engine: str


@dataclass(frozen=True, slots=True)
class SnapshotInfo:
    """A snapshot. ``run_id`` is the run that requested it: this one, or the one that it continues."""

    identifier: str
    arn: str
    status: str
    created_at: datetime | None
    run_id: str


@dataclass(frozen=True, slots=True)
class BackupInfo:
    """What the database can be restored from, and the commands to restore it.

    ``restorable_time`` is the latest time that automated backups can restore, ``None`` without any.
    """

    kind: BackupKind
    source: BackupSource
    restorable_time: datetime | None
    snapshot: SnapshotInfo | None
    restore: tuple[str, ...]

    def to_value(self) -> dict[str, Any]:
        """Return the report's ``backup`` as a JSON value."""
        value: dict[str, Any] = asdict(self, dict_factory=_plain)
        return value


class Notes(Protocol):
    """Where a backup records its result and warnings."""

    backup: dict[str, Any] | None

    def warn(self, text: str) -> None:
        """Record a warning that calls for action."""
        ...


class Backup(Protocol):
    """Backs the database up before a change."""

    def before_change(self, purpose: Purpose, notes: Notes) -> None:
        """Back the database up before a run begins to change it.

        A second call in one run, after a broken connection, does nothing.

        Raises:
            BackupFailed: there is no backup, and the run requires one.
            TargetUnsuitable: a blue/green deployment would lose the change.
            RunIncomplete: time ran out before the backup was finished; the next run continues with it.
        """
        ...


class NoBackup:
    """Makes no backup, for ``LOCKGATE_BACKUP=off``."""

    def before_change(self, purpose: Purpose, notes: Notes) -> None:
        """Do nothing."""


def _plain(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {key: _plain_value(value) for key, value in pairs}


def _plain_value(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return list(value) if isinstance(value, tuple) else value
