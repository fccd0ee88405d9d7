"""Reads node-pg-migrate's table ``pgmigrations``: the names of applied migrations, in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.formats.tool import ForeignHistory, ForeignRow, TableShape

if TYPE_CHECKING:
    from lockgate.formats.tool import Ask

SHAPE = TableShape("pgmigrations", ("id", "name", "run_on"), has_any_name=True, is_exact=True)
# If the setting that groups files is off, it records the up file's name with this suffix.
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
