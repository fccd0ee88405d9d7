"""sqlx's ``_sqlx_migrations``: a row per version, with the SHA-384 of its file."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from lockgate.formats.foreign_history import ForeignHistory, ForeignRow, ForeignState
from lockgate.formats.foreign_tables import Shape

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from lockgate.core.migration import Migration
    from lockgate.formats.foreign_history import Ask

FORMAT = "sqlx"
SHAPE = Shape(
    "_sqlx_migrations",
    ("version", "description", "installed_on", "success", "checksum"),
    has_any_name=True,
    # Flyway's table has all of these as well.
    fits=lambda found: "installed_rank" not in found.columns,
)

_READ = """
SELECT version::text, description::text, installed_on::timestamptz, success::int,
       encode(checksum, 'hex')
  FROM {table}
 ORDER BY installed_on, version
"""


def read_table(ask: Ask, table: str) -> ForeignHistory:
    """Return what is applied, in the order of application; what failed is so marked."""
    return ForeignHistory(table, tuple(_read_row(row) for row in ask(_READ.format(table=table))))


def _read_row(row: tuple[Any, ...]) -> ForeignRow:
    version, description, installed_on, success, checksum = row
    return ForeignRow(
        version,
        description,
        installed_on,
        checksum,
        ForeignState.APPLIED if success else ForeignState.FAILED,
        None if success else _explain_failure(version),
    )


def _explain_failure(version: str) -> str:
    return (
        f"sqlx says that version {version} was begun and did not succeed. Put right by hand what it"
        " left, delete its row from _sqlx_migrations, and adopt again."
    )


def file_checksum(folder: Path, migration: Migration) -> str | None:
    """Return the SHA-384 of the up file's bytes, in hexadecimal digits."""
    return hashlib.sha384((folder / migration.path).read_bytes()).hexdigest()
