"""Reads Prisma's table ``_prisma_migrations``, and compares its SHA-256.

A row that was rolled back counts as not applied.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from lockgate.formats.tool import ForeignHistory, ForeignRow, ForeignState, TableShape

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Any

    from lockgate.core.migration import Migration
    from lockgate.formats.tool import Ask

SHAPE = TableShape(
    "_prisma_migrations",
    ("migration_name", "checksum", "started_at", "finished_at", "rolled_back_at"),
)
_READ = """
SELECT migration_name, checksum, finished_at
  FROM {table}
 WHERE rolled_back_at IS NULL
 ORDER BY started_at, migration_name
"""


def read_table(ask: Ask, table: str) -> ForeignHistory:
    """Return one row for each migration; it has failed if any attempt is still open."""
    rows: dict[str, ForeignRow] = {}
    for columns in ask(_READ.format(table=table)):
        row = _read_row(columns)
        other = rows.get(row.version)
        if other is None or other.state is ForeignState.APPLIED:
            rows[row.version] = row
    return ForeignHistory(table, tuple(rows.values()))


def _read_row(columns: Sequence[Any]) -> ForeignRow:
    name, checksum, finished_at = columns
    if finished_at is not None:
        return ForeignRow(name, applied_at=finished_at, checksum=checksum)
    return ForeignRow(
        name,
        checksum=checksum,
        state=ForeignState.FAILED,
        detail=f"It failed, or is still running. Check what it changed, then run: prisma migrate"
        f" resolve --applied {name}, or --rolled-back {name}.",
    )


def file_checksum(folder: Path, migration: Migration) -> str | None:
    """Return the SHA-256 of a migration's file, as Prisma writes it."""
    return hashlib.sha256((folder / migration.path).read_bytes()).hexdigest()


def matches_checksum(folder: Path, migration: Migration, checksum: str) -> bool:
    """Return whether Prisma would accept a digest for a migration's file.

    Line endings do not matter. The first releases wrote a byte below 16 as one digit.
    """
    content = (folder / migration.path).read_bytes()
    texts = (content, content.replace(b"\r\n", b"\n"), content.replace(b"\n", b"\r\n"))
    digests = [hashlib.sha256(text).digest() for text in texts]
    short = ["".join(f"{byte:x}" for byte in digest) for digest in digests]
    return checksum in {*(digest.hex() for digest in digests), *short}
