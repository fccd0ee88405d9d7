"""The result of the first query to the server, as a value."""

from __future__ import annotations

from lockgate.fast_start.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Probe:
    """The server before a run. ``digest`` is ``None`` if there is no history yet.

    It is `core.listing.digest_lines` of the ids and up checksums of ``count`` rows; ``down_digest`` is
    that of the checksums of their down scripts.

    ``user`` signed in and acts as ``role``. ``lock_slots`` is the size of the server's lock table.
    ``is_fresh``: no schema except Lockgate's contains a table. ``unfinished`` counts migrations that are
    applied in part. ``is_limitless``: it is an Aurora PostgreSQL Limitless Database. ``has_lock``: the
    lock's row exists; ``is_held``: it names a holder; ``lock_token``: its token. ``has_columns``:
    Lockgate's tables have every column of this release (`postgres.tables.schema.ADDED_COLUMNS`).
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
        """True if Lockgate's tables exist."""
        return self.digest is not None
