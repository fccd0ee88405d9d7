"""Reads Rails' table ``schema_migrations``, which has ``ar_internal_metadata`` beside it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lockgate.formats.shared.folder import has_file, read_text
from lockgate.formats.tool import ForeignHistory, ForeignRow, TableName, TableShape

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lockgate.formats.tool import Ask, FoundTable

# Seen from db/migrate.
_SETTINGS = "../../config/application.rb"
_NAME = re.compile(
    r"""^[^#\n]*\bschema_migrations_table_name\s*=\s*(["'])([\w.]+)\1""", re.MULTILINE
)


def _is_rails(candidate: FoundTable) -> bool:
    return set(candidate.columns) == {"version"}


_METADATA = "ar_internal_metadata"
SHAPE = TableShape(
    "schema_migrations", ("version",), fits=_is_rails, beside=(_METADATA,), needs=_METADATA
)
# Rails sorts its versions as numbers.
_READ = "SELECT version::text FROM {table} ORDER BY pg_catalog.length(version::text), version"


def find_table_name(folder: Path, _variables: Mapping[str, str]) -> TableName | None:
    """Return the name in ``config/application.rb``, if it is a string and the only one."""
    if not has_file(folder.resolve(), _SETTINGS):
        return None
    names = {found[2] for found in _NAME.finditer(read_text(folder.resolve(), _SETTINGS))}
    if len(names) != 1:
        return None
    return TableName(names.pop(), "schema_migrations_table_name in config/application.rb")


def read_table(ask: Ask, table: str) -> ForeignHistory:
    """Return the applied versions; Rails records neither time nor checksum."""
    rows = ask(_READ.format(table=table))
    return ForeignHistory(table, tuple(ForeignRow(str(row[0])) for row in rows))
