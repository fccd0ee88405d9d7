"""node-pg-migrate's ``pgmigrations``: the names of what was applied, in order. Knows that table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.formats.foreign_history import ForeignHistory, ForeignRow
from lockgate.formats.foreign_tables import Shape

if TYPE_CHECKING:
    from pathlib import Path

    from lockgate.core.migration import Migration
    from lockgate.formats.foreign_history import Ask

FORMAT = "node-pg-migrate"
SHAPE = Shape("pgmigrations", ("id", "name", "run_on"), has_any_name=True, is_exact=True)
# Without its grouping of files, which is a setting, it records the suffix of a pair's first half.
_UP = ".up"
_READ = """
SELECT name, run_on::timestamptz
  FROM {table}
 ORDER BY run_on, id
"""


def read_table(ask: Ask, table: str) -> ForeignHistory:
    """Return a row for each name."""
    rows = tuple(
        ForeignRow(name.removesuffix(_UP), applied_at=applied_at)
        for name, applied_at in ask(_READ.format(table=table))
    )
    return ForeignHistory(table, rows)


def file_checksum(folder: Path, migration: Migration) -> str | None:
    """Return None: the tool keeps no digest."""
    del folder, migration
    return None
