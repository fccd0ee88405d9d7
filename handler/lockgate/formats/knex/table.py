"""Reads Knex's tables: ``knex_migrations``, or one of its shape, and the lock beside it.

A migration's name comes from the project's code; most often it is a file's.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lockgate.formats.shared.folder import read_text
from lockgate.formats.shared.table_name import list_near
from lockgate.formats.tool import ForeignHistory, ForeignRow, TableName, TableShape

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lockgate.formats.tool import Ask

# A setting of Knex can rename the table, but not its columns.
SHAPE = TableShape(
    "knex_migrations",
    ("id", "name", "batch", "migration_time"),
    has_any_name=True,
    is_exact=True,
    beside=("{name}_lock",),
)
_SUFFIX = re.compile(r"(?:\.up)?\.(?:sql|js|cjs|mjs|ts|cts|mts)$|\.up$")
_HAS_TABLE = "SELECT pg_catalog.to_regclass('{table}') IS NOT NULL"
_IS_LOCKED = "SELECT pg_catalog.count(*) FROM {table} WHERE is_locked = 1"
_TABLE_SETTING = re.compile(r"""\btableName\s*:\s*(["'`])([^"'`\n]+)\1""")
_SCHEMA_SETTING = re.compile(r"""\bschemaName\s*:\s*(["'`])([^"'`\n]+)\1""")
_READ = """
SELECT name, migration_time
  FROM {table}
 ORDER BY batch, id
"""


def find_table_name(folder: Path, _variables: Mapping[str, str]) -> TableName | None:
    """Return the name in the knexfile; ``None`` if it has several, since only the program chooses."""
    for path in list_near(folder, *(f"knexfile.{suffix}" for suffix in ("js", "cjs", "mjs", "ts"))):
        text = read_text(folder.resolve(), path)
        tables = {found[2] for found in _TABLE_SETTING.finditer(text)}
        schemas = {found[2] for found in _SCHEMA_SETTING.finditer(text)}
        if len(tables) == 1 and len(schemas) <= 1:
            return TableName(".".join([*schemas, *tables]), f"tableName in {path}")
    return None


def read_table(ask: Ask, table: str) -> ForeignHistory:
    """Return a row for each name, without its suffix; a problem if Knex's lock is held."""
    rows: dict[str, ForeignRow] = {}
    for name, applied_at in ask(_READ.format(table=table)):
        version = _SUFFIX.sub("", name)
        rows.setdefault(version, ForeignRow(version, applied_at=applied_at))
    return ForeignHistory(table, tuple(rows.values()), problem=_find_problem(ask, table))


def _find_problem(ask: Ask, table: str) -> str | None:
    lock = _lock_of(table)
    ((exists,),) = ask(_HAS_TABLE.format(table=lock.replace("'", "''")))
    if not exists:
        return None
    ((count,),) = ask(_IS_LOCKED.format(table=lock))
    if not count:
        return None
    return (
        f"a run of Knex holds the lock in {lock}. If none is running, release it: knex"
        " migrate:unlock."
    )


def _lock_of(table: str) -> str:
    """Return the table's name with ``_lock`` appended, inside its quotes if it has any."""
    return f'{table[:-1]}_lock"' if table.endswith('"') else f"{table}_lock"
