"""What passes between a run and its database, as values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.core.migration import Direction
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class Stamp:
    """What every row that one run writes carries."""

    run_id: str
    token: int
    package_version: str


@dataclass(frozen=True, slots=True)
class Taken:
    """The lock is ours, with its fencing token; ``former_owner`` is the run that lost it."""

    token: int
    former_owner: str | None


@dataclass(frozen=True, slots=True)
class Done:
    """A migration that is in the database for good, or out of it, by the server's clock."""

    migration_id: str
    duration_ms: int
    applied_at: datetime
    direction: Direction = Direction.UP
