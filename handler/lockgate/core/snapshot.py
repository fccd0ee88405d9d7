"""RDS snapshots as values: their tags, which one to reuse, and which ones to delete.

Tags identify a snapshot that Lockgate took: the database, and the work that it precedes. If a run is
stopped while it waits for its snapshot, the next run for the same work reuses that snapshot.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lockgate.core.backup import Purpose

PREFIX = "lockgate-"

RUN_TAG = "lockgate:run"
DATABASE_TAG = "lockgate:database"
SCHEMA_TAG = "lockgate:schema"
VERSION_TAG = "lockgate:version"
WORK_TAG = "lockgate:work"

# Maximum age of a finished snapshot that a resumed run may reuse: as long as CloudFormation waits for
# all invocations of one request. An older one lacks too many later writes.
OLDEST_REUSED = timedelta(hours=1)

_FAILED = frozenset({"failed", "error", "storage-full", "deleting", "deleted"})
_FAILED_PREFIXES = ("incompatible-", "inaccessible-")
_LONGEST_TAG = 256
_KEPT = 200
_NOT_IN_A_TAG = re.compile(r"[^A-Za-z0-9 _.:/=+@-]")


class SnapshotProgress(StrEnum):
    """The progress of a snapshot."""

    WAITED_FOR = "waited_for"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot as RDS describes it. ``created_at`` is ``None`` until RDS reports it."""

    identifier: str
    arn: str
    status: str
    percent: int | None = None
    created_at: datetime | None = None
    is_manual: bool = True
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def progress(self) -> SnapshotProgress:
        """The progress, from the status. An unknown status counts as in progress."""
        if self.status == "available":
            return SnapshotProgress.READY
        if self.status in _FAILED or self.status.startswith(_FAILED_PREFIXES):
            return SnapshotProgress.FAILED
        return SnapshotProgress.WAITED_FOR


def name_snapshot(run_id: str) -> str:
    """Return the identifier of a run's snapshot."""
    return f"{PREFIX}{run_id}"


def make_tags(purpose: Purpose, schema: str) -> dict[str, str]:
    """Return the tags of a snapshot before a change; ``schema`` is that of Lockgate's own tables."""
    database = purpose.endpoint.dbname
    work = hashlib.sha256(f"{database}\n{schema}\n{purpose.goal}".encode()).hexdigest()
    return {
        RUN_TAG: purpose.run_id,
        DATABASE_TAG: _fit(database),
        SCHEMA_TAG: _fit(schema),
        VERSION_TAG: _fit(purpose.version or "none"),
        WORK_TAG: work,
    }


def find_asked_for(
    snapshots: Iterable[Snapshot], tags: Mapping[str, str], now: datetime
) -> Snapshot | None:
    """Return the newest snapshot that an earlier run requested before the same work.

    It is in progress or was finished recently; a failed one is never returned.
    """
    found = [
        snapshot
        for snapshot in snapshots
        if _is_of(snapshot, tags)
        and snapshot.tags.get(WORK_TAG) == tags[WORK_TAG]
        and _is_usable(snapshot, now)
    ]
    return max(found, key=_age_key, default=None)


def find_surplus(
    snapshots: Iterable[Snapshot], tags: Mapping[str, str], taken: str, keep: int
) -> list[Snapshot]:
    """Return the snapshots of this database's runs to delete, all but the newest ``keep``.

    ``taken`` is the identifier of the one just taken, which counts as the newest. Snapshots in progress
    and those without Lockgate's tags are never returned.
    """
    ours = [s for s in snapshots if _is_of(s, tags) and s.identifier != taken]
    ready = sorted(
        (s for s in ours if s.progress is SnapshotProgress.READY), key=_age_key, reverse=True
    )
    return [*ready[keep - 1 :], *(s for s in ours if s.progress is SnapshotProgress.FAILED)]


def _is_of(snapshot: Snapshot, tags: Mapping[str, str]) -> bool:
    return (
        snapshot.is_manual
        and snapshot.identifier.startswith(PREFIX)
        and RUN_TAG in snapshot.tags
        and all(snapshot.tags.get(key) == tags[key] for key in (DATABASE_TAG, SCHEMA_TAG))
    )


def _is_usable(snapshot: Snapshot, now: datetime) -> bool:
    match snapshot.progress:
        case SnapshotProgress.WAITED_FOR:
            return True
        case SnapshotProgress.READY:
            return snapshot.created_at is not None and now - snapshot.created_at <= OLDEST_REUSED
        case SnapshotProgress.FAILED:
            return False


def _age_key(snapshot: Snapshot) -> tuple[bool, float]:
    """Return a sort key for age, the oldest first; without a time yet, a snapshot is the newest."""
    created_at = snapshot.created_at
    return created_at is None, 0.0 if created_at is None else created_at.timestamp()


def _fit(text: str) -> str:
    """Return a text as a valid tag value. A text that has to be changed gets its digest appended."""
    fitted = _NOT_IN_A_TAG.sub("_", text)
    if fitted == text and len(text) <= _LONGEST_TAG:
        return text
    return f"{fitted[:_KEPT]}.{hashlib.sha256(text.encode()).hexdigest()[:12]}"
