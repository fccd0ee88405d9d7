"""Values that a run and its database exchange: row stamp, taken lock, finished migration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.core.migration import Direction
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class RowStamp:
    """The values that one run writes into each of its rows."""

    run_id: str
    token: int
    package_version: str


@dataclass(frozen=True, slots=True)
class TakenLock:
    """A lock that this run has taken; ``former_owner`` is the run that lost it."""

    token: int
    former_owner: str | None


@dataclass(frozen=True, slots=True)
class FinishedMigration:
    """A migration whose apply or undo is committed; times are by the server's clock."""

    migration_id: str
    duration_ms: int
    applied_at: datetime
    direction: Direction = Direction.UP
