"""Reads sqlx's table ``_sqlx_migrations``: one row per version, with the SHA-384 of its file."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from lockgate.formats.shared.folder import read_text
from lockgate.formats.shared.table_name import list_near
from lockgate.formats.shared.toml import find_table, read_toml
from lockgate.formats.tool import ForeignHistory, ForeignRow, ForeignState, TableName, TableShape

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    from lockgate.core.migration import Migration
    from lockgate.formats.tool import Ask

SHAPE = TableShape(
    "_sqlx_migrations",
    ("version", "description", "installed_on", "success", "checksum"),
    has_any_name=True,
    # Flyway's table has all of these columns too.
    fits=lambda found: "installed_rank" not in found.columns,
)

_READ = """
SELECT version::text, description::text, installed_on::timestamptz, success::int,
       encode(checksum, 'hex')
  FROM {table}
 ORDER BY installed_on, version
"""


def find_table_name(folder: Path, _variables: Mapping[str, str]) -> TableName | None:
    """Return the name in ``sqlx.toml``.

    Raises:
        MigrationFileInvalid: the file cannot be read.
    """
    for path in list_near(folder, "sqlx.toml"):
        document = read_toml(read_text(folder.resolve(), path), path)
        name = find_table(document, path, "migrate").get("table-name")
        if isinstance(name, str) and name:
            return TableName(name, f"migrate.table-name in {path}")
    return None


def read_table(ask: Ask, table: str) -> ForeignHistory:
    """Return the applied and failed versions, in the order of application."""
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
        f"sqlx recorded that version {version} was begun but not completed. Complete or remove its"
        " changes by hand, delete its row from _sqlx_migrations, and adopt again."
    )


def file_checksum(folder: Path, migration: Migration) -> str | None:
    """Return the SHA-384 of the up file's bytes, in hexadecimal digits."""
    return hashlib.sha384((folder / migration.path).read_bytes()).hexdigest()
