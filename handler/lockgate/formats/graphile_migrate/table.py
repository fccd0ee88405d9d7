"""Reads graphile-migrate's table ``graphile_migrate.migrations``, which has the chain of hashes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lockgate.formats.tool import ForeignHistory, ForeignRow, TableShape

if TYPE_CHECKING:
    from pathlib import Path

    from lockgate.core.migration import Migration
    from lockgate.formats.tool import Ask

SHAPE = TableShape(
    "migrations", ("filename", "hash", "date"), schema="graphile_migrate", beside=("current",)
)
_HASH = re.compile(r"^--! Hash:([^\r\n]*)", re.MULTILINE)
_READ = """
SELECT filename, hash, date
  FROM {table}
 ORDER BY filename
"""


def read_table(ask: Ask, table: str) -> ForeignHistory:
    """Return a row for each file; the version is the number, without the message in the name."""
    rows = tuple(
        ForeignRow(filename.removesuffix(".sql"), applied_at=applied_at, checksum=digest)
        for filename, digest, applied_at in ask(_READ.format(table=table))
    )
    return ForeignHistory(table, rows)


def file_checksum(folder: Path, migration: Migration) -> str | None:
    """Return the hash in a file's header; the reader has already compared it with the text."""
    found = _HASH.search((folder / migration.path).read_text("utf-8"))
    return None if found is None else found[1].strip()
