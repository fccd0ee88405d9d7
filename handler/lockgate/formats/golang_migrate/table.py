"""Reads golang-migrate's table ``schema_migrations``: one row, the current version of the database.

Every version up to it counts as applied. ``dirty`` means that it was begun but not completed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.formats.tool import ForeignHistory, ForeignRow, ForeignState, TableShape

if TYPE_CHECKING:
    from lockgate.formats.tool import Ask, FoundTable


def _is_golang_migrate(candidate: FoundTable) -> bool:
    return candidate.columns == {"version": "bigint", "dirty": "boolean"}


SHAPE = TableShape("schema_migrations", ("version", "dirty"), fits=_is_golang_migrate)
_READ = "SELECT version::text, dirty::int FROM {table}"
_NO_VERSION = "-1"


def read_table(ask: Ask, table: str) -> ForeignHistory:
    """Return the current version as a row, and as the baseline for all versions before it."""
    rows = ask(_READ.format(table=table))
    if not rows:
        return ForeignHistory(table, ())
    if len(rows) > 1:
        return ForeignHistory(table, (), problem=f"it has {len(rows)} rows instead of one.")
    version, is_dirty = str(rows[0][0]), bool(rows[0][1])
    if version == _NO_VERSION:
        return ForeignHistory(table, (), problem=f"version {version} {_explain(version)}")
    row = ForeignRow(
        version,
        state=ForeignState.DIRTY if is_dirty else ForeignState.APPLIED,
        detail=f"it {_explain(version)}" if is_dirty else None,
    )
    return ForeignHistory(table, (row,), baseline=version)


def _explain(version: str) -> str:
    return (
        "is marked dirty: golang-migrate began it but did not complete it. Check which of its changes"
        f" are in the database, complete or remove them, then run: migrate force {version} (or the"
        " version before, if you removed them)."
    )
