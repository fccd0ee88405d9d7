"""Reads dbmate's table ``schema_migrations``: one column, one row per applied version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.formats.tool import ForeignHistory, ForeignRow, TableShape

if TYPE_CHECKING:
    from lockgate.formats.tool import Ask, FoundTable

TEXTS = ("character varying", "text")


def _is_dbmate(candidate: FoundTable) -> bool:
    return set(candidate.columns) == {"version"} and candidate.columns["version"] in TEXTS


# Rails' table has the same name and column.
SHAPE = TableShape(
    "schema_migrations", ("version",), excludes="ar_internal_metadata", fits=_is_dbmate
)
_READ = 'SELECT version::text FROM {table} ORDER BY version COLLATE "C"'


def read_table(ask: Ask, table: str) -> ForeignHistory:
    """Return the applied versions; dbmate records neither time nor checksum."""
    rows = ask(_READ.format(table=table))
    return ForeignHistory(table, tuple(ForeignRow(str(row[0])) for row in rows))
