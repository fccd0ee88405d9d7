"""Which tool's table is in a database, and what it claims of a catalog's migrations."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

from lockgate.core.amendment import Claimed, find_migration
from lockgate.core.plan import find_version
from lockgate.errors import AmendmentRefused
from lockgate.fast_start.dataclass import dataclass
from lockgate.formats.foreign_history import ForeignState, ForeignTool, find_tool
from lockgate.formats.foreign_tables import find_tables
from lockgate.settings import TOOLS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lockgate.core.catalog import Catalog
    from lockgate.core.migration import Migration
    from lockgate.formats.foreign_history import Ask, ForeignHistory, ForeignRow
    from lockgate.formats.foreign_tables import Candidate

    Complete = Callable[[str, Path, ForeignHistory], ForeignHistory]


@dataclass(frozen=True, slots=True)
class TableName:
    """The name that a setting gives a tool's history table: ``table`` or ``schema.table``, and where."""

    name: str
    source: str


@dataclass(frozen=True, slots=True)
class Detection:
    """A search for the history table of one tool, or of whichever tool has one.

    ``tool`` and ``table`` are what the request names; ``find_name`` reads the tool's own settings.
    """

    ask: Ask
    find_name: Callable[[str], TableName | None]
    tool: str | None = None
    table: str | None = None

    def detect(self) -> tuple[str, str]:
        """Return the tool and its table.

        Raises:
            AmendmentRefused: there is none, or several fit and nothing names the one that counts.
        """
        tools = TOOLS if self.tool is None else (self.tool,)
        found = {name: tables for name in tools if (tables := self._find(name))}
        if not found:
            raise self._refuse_none()
        if len(found) > 1:
            raise _refuse_tools(found)
        ((name, tables),) = found.items()
        if len(tables) > 1:
            raise _refuse_tables(name, tables)
        return name, tables[0].table

    def _find(self, tool: str) -> list[Candidate]:
        return find_tables(self.ask, find_tool(tool).SHAPE, self._name(tool))

    def _name(self, tool: str) -> str | None:
        if self.table is not None:
            return self.table
        setting = self.find_name(tool)
        return None if setting is None else setting.name

    def _refuse_none(self) -> AmendmentRefused:
        if self.tool is None:
            what = (
                "no other tool's table" if self.table is None else f"no history table {self.table}"
            )
            return AmendmentRefused(
                f"There is {what} in this database.",
                hint="Check the database, and what the role may see. Without any table: baseline.",
            )
        others = find_tables(self.ask, find_tool(self.tool).SHAPE)
        setting = None if self.table is not None else self.find_name(self.tool)
        wanted = self._name(self.tool)
        if wanted is None or not others:
            return AmendmentRefused(
                f"There is no table with the columns of {self.tool}'s history in this database.",
                hint="Check the database, and what the role may see. Without any table: baseline.",
            )
        where = "the request" if setting is None else setting.source
        return AmendmentRefused(
            f"There is no history table of {self.tool} with the name {wanted}, which {where} gives it."
            f" Tables with its columns: {_list_names(others)}.",
            hint=_hint_at_table(self.tool, others),
        )


def _refuse_tools(found: dict[str, list[Candidate]]) -> AmendmentRefused:
    listed = ", ".join(f"{name} ({_list_names(tables)})" for name, tables in found.items())
    first = next(iter(found))
    return AmendmentRefused(
        f"There are the tables of {len(found)} tools in this database: {listed}.",
        hint='Name the one to take over: "from" in a command, --from in a terminal, such as'
        f" --from {first}.",
    )


def _refuse_tables(tool: str, tables: list[Candidate]) -> AmendmentRefused:
    return AmendmentRefused(
        f"There are {len(tables)} tables with the columns of {tool}'s history in this database:"
        f" {_list_names(tables)}; no setting says which one counts.",
        hint=_hint_at_table(tool, tables),
    )


def _list_names(tables: list[Candidate]) -> str:
    return ", ".join(table.table for table in tables)


def _hint_at_table(tool: str, tables: list[Candidate]) -> str:
    """Return how to name one of them in a command and in a terminal."""
    name = f"{tables[0].schema}.{tables[0].name}"
    return (
        f"Name the one that {tool} uses, for example"
        f" {json.dumps({'action': 'adopt', 'from': tool, 'table': name, 'dry_run': True})} with"
        ' "requested_by" and "reason", or in a terminal: lockgate adopt'
        f' --from {tool} --table {shlex.quote(name)} --reason "take over" --dry-run'
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
            f"{tool_name}'s table {table} cannot be taken over: {said.problem}",
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
