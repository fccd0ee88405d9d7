"""Reads yoyo's table ``_yoyo_migration``, and its lock.

yoyo's digest covers only the migration's id, not its file.
"""

from __future__ import annotations

import configparser
import hashlib
from datetime import UTC
from typing import TYPE_CHECKING

from lockgate.formats.foreign_tables import find_tables
from lockgate.formats.shared.folder import read_text
from lockgate.formats.shared.scripts import unusable_file
from lockgate.formats.shared.table_name import list_near
from lockgate.formats.tool import ForeignHistory, ForeignRow, ForeignState, TableName, TableShape

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from lockgate.formats.tool import Ask

SHAPE = TableShape(
    "_yoyo_migration",
    ("migration_hash", "migration_id", "applied_at_utc"),
    has_any_name=True,
    beside=("_yoyo_log", "_yoyo_version", "yoyo_lock"),
)
_LOCK = TableShape("yoyo_lock", ("locked", "ctime", "pid"))
# yoyo lists it as a migration without effect.
_PACKAGE = "__init__"
_READ = """
SELECT migration_hash, migration_id, applied_at_utc
  FROM {table}
 ORDER BY applied_at_utc, migration_id
"""


def find_table_name(folder: Path, _variables: Mapping[str, str]) -> TableName | None:
    """Return the name in ``yoyo.ini``.

    Raises:
        MigrationFileInvalid: the file cannot be read.
    """
    for path in list_near(folder, "yoyo.ini"):
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read_string(read_text(folder.resolve(), path))
        except configparser.Error as error:
            why = f"cannot be read: {str(error).splitlines()[0]}"
            raise unusable_file(path, why, "Correct the file.") from None
        name = parser.defaults().get("migration_table")
        if name:
            return TableName(name, f"migration_table in {path}")
    return None


def read_table(ask: Ask, table: str) -> ForeignHistory:
    """Return one row for each migration; a problem if yoyo's lock is held."""
    rows = [_read_row(columns) for columns in ask(_READ.format(table=table))]
    kept = tuple(row for row in rows if row.version != _PACKAGE)
    return ForeignHistory(table, kept, problem=_find_problem(ask, table))


def _read_row(columns: Sequence[Any]) -> ForeignRow:
    digest, name, applied_at = columns
    moment = None if applied_at is None else applied_at.replace(tzinfo=UTC)
    if name is not None and digest == hashlib.sha256(name.encode()).hexdigest():
        return ForeignRow(name, applied_at=moment)
    return ForeignRow(
        name or digest,
        applied_at=moment,
        state=ForeignState.UNKNOWN,
        detail="Its migration_hash does not match its migration_id: the row was edited. Set"
        " migration_hash to the SHA-256 of migration_id.",
    )


def _find_problem(ask: Ask, table: str) -> str | None:
    schema = table.rpartition(".")[0]
    locks = [lock.table for lock in find_tables(ask, _LOCK)]
    beside = [lock for lock in locks if lock.rpartition(".")[0] == schema]
    if not beside:
        return None
    lock = beside[0]
    holders = ask(f"SELECT pid FROM {lock}")  # noqa: S608 - found in the catalogs, and quoted there
    if not holders:
        return None
    return f"yoyo's process {holders[0][0]} holds its lock ({lock}). If it ended: yoyo break-lock."
