"""Reads another tool's history table for an adoption: which migrations it claims are applied."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.core.amendment import ForeignRecord, find_migration
from lockgate.core.plan import find_version
from lockgate.errors import AmendmentRefused
from lockgate.formats.registry import find_table
from lockgate.formats.tool import ForeignState

if TYPE_CHECKING:
    from pathlib import Path

    from lockgate.core.catalog import Catalog
    from lockgate.core.migration import Migration
    from lockgate.formats.tool import Ask, ForeignHistory, ForeignRow, HistoryTable


def read_claims(
    ask: Ask, tool_name: str, table: str, catalog: Catalog, folder: Path
) -> list[ForeignRecord]:
    """Return what a tool's table lists, migration by migration, in the order of application.

    Raises:
        AmendmentRefused: the table as a whole cannot be adopted.
        MigrationFileInvalid: the folder, which a tool may need to explain its rows, cannot be read.
    """
    tool = find_table(tool_name)
    history = tool.read(ask, table)
    if history.problem is not None:
        raise AmendmentRefused(
            f"{tool_name}'s table {table} cannot be adopted: {history.problem}",
            hint=f"Finish or stop what {tool_name} is doing, then adopt again.",
        )
    if tool.complete is not None and (history.rows or history.heads):
        history = tool.complete(folder, history)
    if tool.align is not None:
        history = tool.align(history, catalog)
    rows = [_to_claim(row, tool, catalog, folder) for row in history.rows]
    named = {claim.version for claim in rows}
    implied = [one for one in _list_implied(history, catalog) if one.version not in named]
    return implied + rows


def _to_claim(row: ForeignRow, tool: HistoryTable, catalog: Catalog, folder: Path) -> ForeignRecord:
    migration = find_migration(catalog, row.version)
    problem = None if row.state is ForeignState.APPLIED else row.detail or f"it is {row.state}"
    is_edited = False
    if migration is not None and row.checksum is not None and problem is None:
        is_edited = not _is_digest(row.checksum, tool, migration, folder)
    version = row.version if migration is None else migration.migration_id
    return ForeignRecord(version, row.applied_at, is_edited, problem)


def _is_digest(checksum: str, tool: HistoryTable, migration: Migration, folder: Path) -> bool:
    """Return whether a digest is the file's, or if the file's digest is unknown."""
    if tool.matches_checksum is not None:
        return tool.matches_checksum(folder, migration, checksum)
    actual = None if tool.file_checksum is None else tool.file_checksum(folder, migration)
    return actual is None or actual == checksum


def _list_implied(history: ForeignHistory, catalog: Catalog) -> list[ForeignRecord]:
    """Return the migrations up to the table's baseline, which have no rows."""
    if history.baseline is None:
        return []
    last = find_version(catalog, history.baseline)
    if last is None:
        return [ForeignRecord(history.baseline)]
    return [
        ForeignRecord(m.migration_id)
        for m in catalog.migrations
        if m.version is not None and m.version <= last
    ]
