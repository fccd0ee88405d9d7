"""Reads Flyway's table ``flyway_schema_history``, and computes Flyway's CRC-32."""

from __future__ import annotations

import re
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING

from lockgate.core.migration import Kind, Version
from lockgate.formats.tool import ForeignHistory, ForeignRow, ForeignState, TableShape

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from lockgate.core.catalog import Catalog
    from lockgate.core.migration import Migration
    from lockgate.formats.tool import Ask

TABLE = "flyway_schema_history"
# As Flyway creates it on PostgreSQL.
TABLE_SQL = """
CREATE TABLE IF NOT EXISTS {table} (
    installed_rank integer NOT NULL,
    version character varying(50),
    description character varying(200) NOT NULL,
    type character varying(20) NOT NULL,
    script character varying(1000) NOT NULL,
    checksum integer,
    installed_by character varying(100) NOT NULL,
    installed_on timestamp without time zone NOT NULL DEFAULT now(),
    execution_time integer NOT NULL,
    success boolean NOT NULL,
    CONSTRAINT {constraint} PRIMARY KEY (installed_rank)
);
CREATE INDEX IF NOT EXISTS {index} ON {table} (success)
"""

SHAPE = TableShape(
    TABLE,
    (
        "installed_rank",
        "installed_by",
        "installed_on",
        "execution_time",
        "description",
        "script",
        "checksum",
        "success",
    ),
    has_any_name=True,
)
_READ = """
SELECT version, description, type, script, checksum, installed_on::timestamptz, success
  FROM {table}
 ORDER BY installed_rank
"""
# Rows about the table itself and the schemas that Flyway made for it.
_BOOKKEEPING = frozenset({"SCHEMA", "TABLE"})
_BASELINES = frozenset({"BASELINE", "SQL_BASELINE", "SQL_STATE_SCRIPT", "STATE_SCRIPT"})
_LINE_END = re.compile(r"\r\n|\r|\n")
_ZEROS = re.compile(r"(?:\.0+)+\Z")
_BOM = "\ufeff"
_REPEATABLE = "R__"


def make_version_text(version: str) -> str:
    """Return the canonical spelling of a version: with dots, without groups of zeros at its end.

    To Flyway ``1_0``, ``1.0`` and ``1`` are the same version.
    """
    return _ZEROS.sub("", version.replace("_", "."))


def read_table(ask: Ask, table: str) -> ForeignHistory:
    """Return the applied migrations; later rows undo, delete or replace earlier ones."""
    rows: dict[str, ForeignRow] = {}
    baseline: str | None = None
    for row in ask(_READ.format(table=table)):
        version, _, kind = row[:3]
        if kind in _BOOKKEEPING:
            continue
        if kind in _BASELINES and row[6]:
            baseline = make_version_text(str(version))
        else:
            _follow(rows, row)
    return ForeignHistory(table, tuple(rows.values()), baseline=baseline)


def _follow(rows: dict[str, ForeignRow], row: tuple[Any, ...]) -> None:
    version, description, kind, script, checksum, installed_on, success = row
    key = f"{_REPEATABLE}{description}" if version is None else make_version_text(version)
    if success and (kind == "DELETE" or kind.startswith("UNDO_")):
        rows.pop(key, None)
        return
    rows.pop(key, None)
    rows[key] = ForeignRow(
        version=key,
        name=description,
        applied_at=installed_on,
        checksum=None if checksum is None else str(checksum),
        state=ForeignState.APPLIED if success else ForeignState.FAILED,
        detail=None if success else _explain_failure(script),
    )


def _explain_failure(script: str) -> str:
    return (
        f"Flyway recorded that {script} failed. Complete or remove its changes by hand, delete the row"
        " with flyway repair, and adopt again."
    )


def align(history: ForeignHistory, catalog: Catalog) -> ForeignHistory:
    """Return the history without rows that have no file here and need none.

    These are programs, whose rows have no checksum and whose files are seldom in a folder of SQL, and
    repeatable migrations that were deleted. A baseline becomes the highest version of a file up to it.
    """
    known = (row for row in history.rows if _needs_file(row) or _is_known(row, catalog))
    if history.baseline is None:
        return replace(history, rows=tuple(known))
    bound = Version.parse(history.baseline)
    below = [version for version in catalog.by_version if version <= bound]
    return replace(history, rows=tuple(known), baseline=max(below).text if below else None)


def _needs_file(row: ForeignRow) -> bool:
    return row.checksum is not None and not row.version.startswith(_REPEATABLE)


def _is_known(row: ForeignRow, catalog: Catalog) -> bool:
    if row.version in catalog.by_id or row.state is not ForeignState.APPLIED:
        return True
    found = Version.stored(row.version)
    return bool(found.key) and found in catalog.by_version


def matches_checksum(folder: Path, migration: Migration, checksum: str) -> bool:
    """Return whether a checksum matches; older releases computed it without filling in placeholders."""
    if migration.up.obstacle is not None and not migration.up.text:
        return True
    return checksum in {file_checksum(folder, migration), str(crc32(migration.up.text))}


def file_checksum(folder: Path, migration: Migration) -> str | None:
    """Return Flyway's checksum of a file; for a repeatable one, with its placeholders filled in.

    ``folder`` is not read again: the scripts have their files' text.
    """
    del folder
    script = migration.up
    return str(crc32(script.sql if migration.kind is Kind.REPEATABLE else script.text))


def crc32(text: str) -> int:
    """Return the CRC-32 of a text's lines, without line ends and byte order mark, as a signed int."""
    value = 0
    for line in _LINE_END.split(text.removeprefix(_BOM)):
        value = zlib.crc32(line.encode(), value)
    return value - (1 << 32) if value >= 1 << 31 else value
