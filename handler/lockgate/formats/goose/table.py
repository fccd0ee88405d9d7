"""Reads goose's table ``goose_db_version``: a row for each up and, in older releases, for each down.

The last row of a version counts. Version 0 is goose's own first row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.formats.tool import ForeignHistory, ForeignRow, TableShape

if TYPE_CHECKING:
    from lockgate.formats.tool import Ask

SHAPE = TableShape(
    "goose_db_version", ("id", "version_id", "is_applied", "tstamp"), has_any_name=True
)

_READ = """
SELECT version_id::text, tstamp::timestamptz
  FROM (SELECT DISTINCT ON (version_id) id, version_id, is_applied, tstamp
          FROM {table}
         WHERE version_id > 0
         ORDER BY version_id, id DESC) AS latest
 WHERE is_applied
 ORDER BY id
"""


def read_table(ask: Ask, table: str) -> ForeignHistory:
    """Return the applied versions, in the order of application."""
    rows = ask(_READ.format(table=table))
    return ForeignHistory(table, tuple(ForeignRow(str(v), applied_at=at) for v, at in rows))
