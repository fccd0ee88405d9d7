"""Literals and identifiers in SQL text. The one place that quotes."""

from __future__ import annotations

import re
from datetime import datetime

_PLAIN = re.compile("[a-z_][a-z0-9_]*")


def quote_identifier(name: str) -> str:
    """Return the name as a quoted identifier."""
    return '"' + name.replace('"', '""') + '"'


def write_name(name: str) -> str:
    """Return the name as somebody would write it in SQL: quoted only where it has to be."""
    return name if _PLAIN.fullmatch(name) else quote_identifier(name)


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
