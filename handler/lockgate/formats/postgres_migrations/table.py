"""Reads postgres-migrations' table ``migrations``: one row per number, with a SHA-1 of its file."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from lockgate.formats.tool import ForeignHistory, ForeignRow, TableShape

if TYPE_CHECKING:
    from pathlib import Path

    from lockgate.core.migration import Migration
    from lockgate.formats.tool import Ask

SHAPE = TableShape(
    "migrations",
    ("id", "name", "hash", "executed_at"),
    fits=lambda found: found.columns["id"] == "integer",
)

# Number 0 is the tool's own migration, which creates the table.
_READ = """
SELECT id::text, name::text, executed_at::timestamptz, hash::text
  FROM {table}
 WHERE id > 0
 ORDER BY id
"""


def read_table(ask: Ask, table: str) -> ForeignHistory:
    """Return the applied migrations, in the order of their numbers."""
    return ForeignHistory(table, tuple(ForeignRow(*row) for row in ask(_READ.format(table=table))))


def file_checksum(folder: Path, migration: Migration) -> str | None:
    """Return the SHA-1 of name and text; ``None`` for a program, whose result the tool hashes."""
    if not _is_script(migration):
        return None
    return _sum(migration.path, (folder / migration.path).read_bytes())


def matches_checksum(folder: Path, migration: Migration, checksum: str) -> bool:
    """Return whether a digest is the script's, or that of a program that returned the same text."""
    if not _is_script(migration):
        return True
    content = (folder / migration.path).read_bytes()
    program = f"{migration.path[: -len('.sql')]}.js"
    return checksum in {_sum(migration.path, content), _sum(program, content)}


def _is_script(migration: Migration) -> bool:
    return migration.path.lower().endswith(".sql")


def _sum(name: str, content: bytes) -> str:
    return hashlib.sha1(name.encode() + content, usedforsecurity=False).hexdigest()
