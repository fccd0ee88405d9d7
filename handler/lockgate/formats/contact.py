"""Which other tools have a history in a database that no Lockgate run has changed. Decides nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.core.contact import Contact, OtherHistory
from lockgate.errors import LockgateError
from lockgate.formats.foreign_history import find_tool
from lockgate.formats.foreign_tables import find_tables
from lockgate.settings import TOOLS

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from lockgate.core.catalog import StandIn
    from lockgate.core.contact import Table
    from lockgate.formats.foreign_history import Ask, ForeignTool
    from lockgate.formats.foreign_tables import Candidate

_COUNT = "SELECT pg_catalog.count(*) FROM {table}"


def make_contact(
    ask: Ask, tables: Sequence[Table], stub: StandIn | None, own_schema: str
) -> Contact:
    """Return what the tables are that belong to no extension and to no Lockgate history.

    ``stub`` is the table of another tool that a run makes before its first migration.
    """
    projects = tuple(sorted({one.project for one in tables if one.project} - {own_schema}))
    unknown = [one for one in tables if not one.is_member and one.project is None]
    if not unknown:
        return Contact(projects=projects)
    histories, known = _find_histories(ask, {one.oid for one in unknown})
    rest = [
        one.name
        for one in unknown
        if (one.schema, one.relation) not in known and not _is_stub(ask, one, stub)
    ]
    return Contact(tuple(rest), tuple(histories), projects)


def _find_histories(
    ask: Ask, oids: Collection[int]
) -> tuple[list[OtherHistory], set[tuple[str, str]]]:
    """Return the histories that have rows, and every table that is part of some tool's history."""
    histories: list[OtherHistory] = []
    known: set[tuple[str, str]] = set()
    for name in TOOLS:
        tool = find_tool(name)
        for found in find_tables(ask, tool.SHAPE):
            if found.oid not in oids or (found.schema, found.name) in known:
                continue
            rows = _count_rows(ask, tool, found)
            if rows != 0:
                histories.append(OtherHistory(name, found.table, rows))
            beside = (one.format(name=found.name) for one in tool.SHAPE.beside)
            known |= {(found.schema, one) for one in (found.name, *beside)}
    return histories, known


def _count_rows(ask: Ask, tool: ForeignTool, found: Candidate) -> int | None:
    """Return how many rows a history has, ``None`` where that cannot be known.

    0 also where no row says that a migration was applied: goose begins with a version 0.
    """
    if not found.is_readable:
        return None
    try:
        count = _count(ask, found.table)
        said = tool.read_table(ask, found.table) if count else None
    except (LockgateError, AttributeError, TypeError, ValueError):
        return None
    if said is None or not (said.rows or said.heads or said.baseline or said.problem):
        return 0
    return count


def _is_stub(ask: Ask, table: Table, stub: StandIn | None) -> bool:
    """Tell whether a table is the stub, and empty: one with rows is somebody's history."""
    if stub is None or table.relation.lower() != stub.table.rpartition(".")[2].lower():
        return False
    try:
        return _count(ask, table.name) == 0
    except LockgateError:
        return False


def _count(ask: Ask, table: str) -> int:
    ((count,),) = ask(_COUNT.format(table=table))
    return int(count)
