"""Reads Rails' table ``schema_migrations``, which has ``ar_internal_metadata`` beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.formats.tool import ForeignHistory, ForeignRow, TableShape

if TYPE_CHECKING:
    from lockgate.formats.tool import Ask, FoundTable


def _is_rails(candidate: FoundTable) -> bool:
    return candidate.is_of_rails and set(candidate.columns) == {"version"}


SHAPE = TableShape(
    "schema_migrations", ("version",), fits=_is_rails, beside=("ar_internal_metadata",)
)
# Rails sorts its versions as numbers.
_READ = "SELECT version::text FROM {table} ORDER BY pg_catalog.length(version::text), version"


def read_table(ask: Ask, table: str) -> ForeignHistory:
    """Return the applied versions; Rails records neither time nor checksum."""
    rows = ask(_READ.format(table=table))
    return ForeignHistory(table, tuple(ForeignRow(str(row[0])) for row in rows))
