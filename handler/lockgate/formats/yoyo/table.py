"""yoyo's ``_yoyo_migration``, and its lock. Knows those tables; knows no files.

yoyo's digest is one of the migration's id, so that it says nothing of a file.
"""

from __future__ import annotations

import hashlib
from datetime import UTC
from typing import TYPE_CHECKING

from lockgate.formats.foreign_history import ForeignHistory, ForeignRow, ForeignState
from lockgate.formats.foreign_tables import Shape, find_tables

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Any

    from lockgate.core.migration import Migration
    from lockgate.formats.foreign_history import Ask

FORMAT = "yoyo"
SHAPE = Shape(
    "_yoyo_migration",
    ("migration_hash", "migration_id", "applied_at_utc"),
    has_any_name=True,
    beside=("_yoyo_log", "_yoyo_version", "yoyo_lock"),
)
_LOCK = Shape("yoyo_lock", ("locked", "ctime", "pid"))
# To yoyo it is a migration; it does nothing.
_PACKAGE = "__init__"
_READ = """
SELECT migration_hash, migration_id, applied_at_utc
  FROM {table}
 ORDER BY applied_at_utc, migration_id
"""


def read_table(ask: Ask, table: str) -> ForeignHistory:
    """Return one row for each migration; a problem if yoyo's lock is held."""
    rows = [_read_row(columns) for columns in ask(_READ.format(table=table))]
    kept = tuple(row for row in rows if row.version != _PACKAGE)
    return ForeignHistory(table, kept, problem=_find_problem(ask, table))


def _read_row(columns: Sequence[Any]) -> ForeignRow:
    digest, name, applied_at = columns
    moment = None if applied_at is None else applied_at.replace(tzinfo=UTC)
    if name is not None and digest == hashlib.sha256(name.encode()).hexdigest():
        return ForeignRow(name, applied_at=moment)
    return ForeignRow(
        name or digest,
        applied_at=moment,
        state=ForeignState.UNKNOWN,
        detail="yoyo knows it by another id than its table shows: the row was edited. Give it the"
        " SHA-256 of its migration_id as migration_hash.",
    )


def _find_problem(ask: Ask, table: str) -> str | None:
    schema = table.rpartition(".")[0]
    locks = [lock.table for lock in find_tables(ask, _LOCK)]
    beside = [lock for lock in locks if lock.rpartition(".")[0] == schema]
    if not beside:
        return None
    lock = beside[0]
    holders = ask(f"SELECT pid FROM {lock}")  # noqa: S608 - found in the catalogs, and quoted there
    if not holders:
        return None
    return f"yoyo's process {holders[0][0]} holds its lock ({lock}). If it is gone, run yoyo break-lock."


def file_checksum(_folder: Path, _migration: Migration) -> str | None:
    """Return nothing: yoyo's digest is of the id."""
    return None
