"""Reads Diesel's table ``__diesel_schema_migrations``: one row per applied version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.formats.tool import ForeignHistory, ForeignRow, TableShape

if TYPE_CHECKING:
    from lockgate.formats.tool import Ask

SHAPE = TableShape("__diesel_schema_migrations", ("version", "run_on"))

_READ = (
    'SELECT version::text, run_on::timestamptz FROM {table} ORDER BY run_on, version COLLATE "C"'
)


def read_table(ask: Ask, table: str) -> ForeignHistory:
    """Return the applied versions, in the order of application."""
    rows = ask(_READ.format(table=table))
    return ForeignHistory(table, tuple(ForeignRow(str(v), applied_at=at) for v, at in rows))
