"""What one look at the server tells, as a value."""

from __future__ import annotations

from lockgate.fast_start.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Probe:
    """The server before a run. ``digest`` is ``None`` where there is no history yet.

    It is that of `core.listing.digest_lines`, over the ids and up checksums of ``count`` rows;
    ``down_digest`` is over the checksums of their down scripts, where they have one.

    ``user`` signed in, ``role`` is the one that it acts as. ``lock_slots`` is the size of the server's
    lock table; ``is_fresh`` says that no schema but ours holds a table;
    ``unfinished`` counts migrations that are applied in part;
    ``is_limitless``: it is an Aurora PostgreSQL Limitless Database;
    ``has_lock``: the lock's row is there, ``is_held``: it names a holder, ``lock_token``: its token;
    ``has_columns``: our tables have every column of this release (`postgres.schema.ADDED_COLUMNS`).
    """

    database: str
    user: str
    role: str
    server_version: str
    version_number: int
    is_read_only: bool
    lock_slots: int
    has_schema: bool
    is_fresh: bool
    behind_pooler: bool
    has_columns: bool = False
    is_limitless: bool = False
    digest: str | None = None
    down_digest: str | None = None
    count: int = 0
    has_lock: bool = False
    is_held: bool = False
    lock_token: int | None = None
    unfinished: int = 0

    @property
    def has_history(self) -> bool:
        """Whether our tables are there."""
        return self.digest is not None
