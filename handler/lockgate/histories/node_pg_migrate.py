"""node-pg-migrate's ``pgmigrations``: the names of what was applied, in order. Knows that table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.histories.foreign import ForeignHistory, ForeignRow
from lockgate.histories.place import find_named

if TYPE_CHECKING:
    from pathlib import Path

    from lockgate.core.migration import Migration
    from lockgate.histories.foreign import Ask

FORMAT = "node-pg-migrate"
_TABLE = "pgmigrations"
_COLUMNS = ("id", "name", "run_on")
# Without its grouping of files, which is a setting, it records the suffix of a pair's first half.
_UP = ".up"
_READ = """
SELECT name, run_on::timestamptz
  FROM {table}
 ORDER BY run_on, id
"""


def find_table(ask: Ask) -> str | None:
    """Return the qualified name of the tool's table, if it is there."""
    return find_named(ask, _TABLE, _COLUMNS)


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
