"""Knex's ``knex_migrations``, or a table of its shape: names in batches, and a lock beside it.

Knows those two tables. A name is what a project's code gave it, most often a file's.
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

# Its name is a setting of Knex, its columns are not.
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
    """Return a row for each name without its suffix; a problem if a run holds Knex's lock."""
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
        f"{lock} says that a run of Knex holds the lock. If none is running, free it: knex"
        " migrate:unlock."
    )


def _lock_of(table: str) -> str:
    """Return the table's name with ``_lock`` behind it, inside the quotes where there are any."""
    return f'{table[:-1]}_lock"' if table.endswith('"') else f"{table}_lock"
