"""Quoting of literals and identifiers in SQL. The only module that quotes."""

from __future__ import annotations

import re
from datetime import datetime

_PLAIN = re.compile("[a-z_][a-z0-9_]*")


def quote_identifier(name: str) -> str:
    """Return the name as a quoted identifier."""
    return '"' + name.replace('"', '""') + '"'


def write_name(name: str) -> str:
    """Return the name as a person would write it in SQL: quoted only if necessary."""
    return name if _PLAIN.fullmatch(name) else quote_identifier(name)


def quote_literal(value: str | int | datetime | None) -> str:
    """Return a value as an SQL literal.

    Text becomes an ``E''`` string, which means the same whether or not a migration has changed
    ``standard_conforming_strings``. PostgreSQL cannot store a NUL and refuses it.
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
