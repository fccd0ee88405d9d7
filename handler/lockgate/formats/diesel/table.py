"""Diesel's ``__diesel_schema_migrations``: a row per version that is applied."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.formats.foreign_history import ForeignHistory, ForeignRow
from lockgate.formats.foreign_tables import Shape

if TYPE_CHECKING:
    from pathlib import Path

    from lockgate.core.migration import Migration
    from lockgate.formats.foreign_history import Ask

FORMAT = "diesel"
SHAPE = Shape("__diesel_schema_migrations", ("version", "run_on"))

_READ = (
    'SELECT version::text, run_on::timestamptz FROM {table} ORDER BY run_on, version COLLATE "C"'
)


def read_table(ask: Ask, table: str) -> ForeignHistory:
    """Return what is applied, in the order of application."""
    rows = ask(_READ.format(table=table))
    return ForeignHistory(table, tuple(ForeignRow(str(v), applied_at=at) for v, at in rows))


def file_checksum(folder: Path, migration: Migration) -> None:
    """Return None: Diesel has no checksums."""
    del folder, migration
