"""Which tool's table is in a database, and what it claims of a catalog's migrations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.core.amendment import Claimed, find_migration
from lockgate.core.plan import find_version
from lockgate.errors import AmendmentRefused
from lockgate.histories.foreign import ForeignState, ForeignTool, find_tool
from lockgate.settings import TOOLS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lockgate.core.catalog import Catalog
    from lockgate.core.migration import Migration
    from lockgate.histories.foreign import Ask, ForeignHistory, ForeignRow

    Complete = Callable[[str, Path, ForeignHistory], ForeignHistory]


def detect_tool(ask: Ask, named: str | None) -> tuple[str, str]:
    """Return the tool and the table of its that is in the database.

    Raises:
        AmendmentRefused: there is none, or there are several and none was named.
    """
    tools = TOOLS if named is None else (named,)
    found = {name: table for name in tools if (table := find_tool(name).find_table(ask))}
    if len(found) == 1:
        return next(iter(found.items()))
    if not found:
        what = "no other tool's table" if named is None else f"no table of {named}'s"
        raise AmendmentRefused(
            f"There is {what} in this database. Nothing was changed.",
            hint="Check the database, and what the role may see. Without any table: baseline.",
        )
    listed = ", ".join(f"{name} ({table})" for name, table in found.items())
    raise AmendmentRefused(
        f"There are the tables of {len(found)} tools in this database: {listed}. Nothing was changed.",
        hint='Name the one to take over: "from" in a command, --from in a terminal.',
    )


def read_claims(
    ask: Ask, tool_name: str, table: str, catalog: Catalog, folder: Path, complete: Complete
) -> list[Claimed]:
    """Return what a tool's table says, migration by migration, in the order of application.

    ``complete`` says what heads, and ids of the tool's own, mean in the folder.

    Raises:
        AmendmentRefused: the table as a whole cannot be taken over.
    """
    tool = find_tool(tool_name)
    said = tool.read_table(ask, table)
    if said.problem is not None:
        raise AmendmentRefused(
            f"{tool_name}'s table {table} cannot be taken over: {said.problem} Nothing was changed.",
            hint=f"Finish or stop what {tool_name} is doing, then adopt again.",
        )
    if said.heads or any(row.group is not None for row in said.rows):
        said = complete(tool.FORMAT, folder, said)
    # Where the tool's own names or sums have more than one spelling.
    align = getattr(tool, "align", None)
    if align is not None:
        said = align(said, catalog)
    rows = [_to_claim(row, tool, catalog, folder) for row in said.rows]
    named = {claim.version for claim in rows}
    implied = [one for one in _implied(said, catalog) if one.version not in named]
    return implied + rows


def _to_claim(row: ForeignRow, tool: ForeignTool, catalog: Catalog, folder: Path) -> Claimed:
    migration = find_migration(catalog, row.version)
    problem = None if row.state is ForeignState.APPLIED else row.detail or f"it is {row.state}"
    is_edited = False
    if migration is not None and row.checksum is not None and problem is None:
        is_edited = not _is_digest(row.checksum, tool, migration, folder)
    version = row.version if migration is None else migration.migration_id
    return Claimed(version, row.applied_at, is_edited, problem)


def _is_digest(checksum: str, tool: ForeignTool, migration: Migration, folder: Path) -> bool:
    """Tell whether a digest is the file's; a tool that accepts several has `matches_checksum`."""
    matches = getattr(tool, "matches_checksum", None)
    if matches is not None:
        return bool(matches(folder, migration, checksum))
    actual = tool.file_checksum(folder, migration)
    return actual is None or actual == checksum


def _implied(said: ForeignHistory, catalog: Catalog) -> list[Claimed]:
    """Return what the table has no rows for, and says all the same."""
    if said.baseline is None:
        return []
    last = find_version(catalog, said.baseline)
    if last is None:
        return [Claimed(said.baseline)]
    return [
        Claimed(m.migration_id)
        for m in catalog.migrations
        if m.version is not None and m.version <= last
    ]
