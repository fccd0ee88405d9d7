"""Alembic's ``alembic_version``: the heads, and nothing else. Knows that table and no revisions.

Everything that a head stands on was applied; what that is, the folder says (`formats.alembic`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.formats.foreign_history import ForeignHistory
from lockgate.formats.foreign_tables import Shape

if TYPE_CHECKING:
    from pathlib import Path

    from lockgate.core.migration import Migration
    from lockgate.formats.foreign_history import Ask

FORMAT = "alembic"
SHAPE = Shape("alembic_version", ("version_num",), has_any_name=True, is_exact=True)
_READ = "SELECT version_num FROM {table} ORDER BY version_num"


def read_table(ask: Ask, table: str) -> ForeignHistory:
    """Return the heads: one, unless branches were not merged."""
    heads = tuple(str(row[0]) for row in ask(_READ.format(table=table)))
    return ForeignHistory(table, (), heads=heads)


def file_checksum(_folder: Path, _migration: Migration) -> str | None:
    """Return nothing: Alembic keeps no digest."""
    return None
