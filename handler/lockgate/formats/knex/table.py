"""Knex's ``knex_migrations``, or a table of its shape: names in batches, and a lock beside it.

Knows those two tables. A name is what a project's code gave it, most often a file's.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lockgate.formats.foreign_history import ForeignHistory, ForeignRow
from lockgate.formats.foreign_tables import Shape

if TYPE_CHECKING:
    from pathlib import Path

    from lockgate.core.migration import Migration
    from lockgate.formats.foreign_history import Ask

FORMAT = "knex"
# Its name is a setting of Knex, its columns are not.
SHAPE = Shape(
    "knex_migrations",
    ("id", "name", "batch", "migration_time"),
    has_any_name=True,
    is_exact=True,
    beside=("{name}_lock",),
)
_SUFFIX = re.compile(r"(?:\.up)?\.(?:sql|js|cjs|mjs|ts|cts|mts)$|\.up$")
_HAS_TABLE = "SELECT pg_catalog.to_regclass('{table}') IS NOT NULL"
_IS_LOCKED = "SELECT pg_catalog.count(*) FROM {table} WHERE is_locked = 1"
_READ = """
SELECT name, migration_time
  FROM {table}
 ORDER BY batch, id
"""


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


def file_checksum(folder: Path, migration: Migration) -> str | None:
    """Return None: Knex keeps no digest."""
    del folder, migration
    return None
