"""Literals and identifiers in SQL text. The one place that quotes."""

from __future__ import annotations

from datetime import datetime


def quote_identifier(name: str) -> str:
    """Return the name as a quoted identifier."""
    return '"' + name.replace('"', '""') + '"'


def quote_literal(value: str | int | datetime | None) -> str:
    """Return a value as an SQL literal.

    Text becomes an ``E''`` string, which means the same whether or not a migration has changed
    ``standard_conforming_strings``. A NUL cannot be stored by PostgreSQL and is refused by it.
    """
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, datetime):
        return f"'{value.isoformat()}'"
    return "E'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
