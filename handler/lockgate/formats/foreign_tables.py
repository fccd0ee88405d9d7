"""Finds history tables of other tools: the one to adopt, and those that block a first run."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from lockgate.core.address import Command, make_command
from lockgate.core.first_contact import Contact, OtherHistory
from lockgate.core.hint import Hint
from lockgate.core.request import Action
from lockgate.errors import AmendmentRefused, LockgateError, MigrationFileInvalid
from lockgate.fast_start.dataclass import dataclass
from lockgate.formats.names import list_tools
from lockgate.formats.registry import find_table
from lockgate.formats.tool import FoundTable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from lockgate.core.catalog import TableStub
    from lockgate.core.first_contact import Table
    from lockgate.formats.tool import Ask, HistoryTable, TableName, TableShape

# Schemas on the search path come first, in its order; types are as format_type prints them. A role that
# may not read a table, or for which a policy hides rows, would see a full table as empty.
_FIND = """
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname)::text,
       a.attname::text,
       pg_catalog.format_type(a.atttypid, NULL)::text,
       c.oid::bigint,
       n.nspname::text,
       c.relname::text,
       pg_catalog.array_to_string(ARRAY(
           SELECT r.relname::text FROM pg_catalog.pg_class AS r
            WHERE r.relnamespace = n.oid AND r.relname IN ({neighbours})), ','),
       (pg_catalog.has_schema_privilege(n.oid, 'USAGE')
        AND pg_catalog.has_table_privilege(c.oid, 'SELECT')
        AND NOT pg_catalog.row_security_active(c.oid))::int
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid
 WHERE c.relkind IN ('r', 'p')
   AND c.relpersistence <> 't'
   AND a.attnum > 0
   AND NOT a.attisdropped
   AND ({condition})
 ORDER BY pg_catalog.array_position(pg_catalog.current_schemas(false), n.nspname) NULLS LAST, 1, a.attnum
"""
_HAS_NAME = "pg_catalog.lower(c.relname) = pg_catalog.lower({name})"
_HAS_COLUMNS = """
{count} = (SELECT pg_catalog.count(*)
             FROM pg_catalog.pg_attribute AS b
            WHERE b.attrelid = c.oid AND b.attnum > 0 AND NOT b.attisdropped
              AND b.attname IN ({columns}))
"""


_NO_TABLE_HINT = (
    "Check the database, and which tables the role may read. If there is no such table, use the action"
    " baseline."
)
_COUNT = "SELECT pg_catalog.count(*) FROM {table}"


def find_tables(ask: Ask, shape: TableShape, named: str | None = None) -> list[FoundTable]:
    """Return every table of a shape, those on the search path first.

    With ``named`` (``table`` or ``schema.table``, as in a setting), only tables of that name.
    """
    schema, name = split_name(named or shape.name)
    listed = _HAS_NAME.format(name=_quote(name))
    if named is None and shape.has_any_name:
        columns = ", ".join(map(_quote, shape.columns))
        listed = _HAS_COLUMNS.format(columns=columns, count=len(shape.columns))
    found = _list_tables(ask, listed, shape.asked_neighbours)
    fitting = [one for one in found if shape.is_of(one, name)]
    return [one for one in fitting if schema is None or one.schema.lower() == schema.lower()]


def split_name(name: str) -> tuple[str | None, str]:
    """Return schema and table of a name in a setting, without quotes."""
    schema, dot, table = name.strip().rpartition(".")
    return (schema.strip('"') if dot else None), table.strip('"')


def _list_tables(ask: Ask, condition: str, neighbours: tuple[str, ...]) -> list[FoundTable]:
    names = ", ".join(map(_quote, neighbours)) or "NULL"
    rows = ask(_FIND.format(condition=condition, neighbours=names))
    return [
        FoundTable(
            table,
            oid=same[0][3],
            schema=same[0][4],
            name=same[0][5],
            columns={row[1]: row[2] for row in same},
            neighbours=frozenset(filter(None, same[0][6].split(","))),
            is_readable=bool(same[0][7]),
        )
        for table, group in groupby(rows, key=lambda row: str(row[0]))
        if (same := list(group))
    ]


def _quote(text: str) -> str:
    """Return a literal that does not depend on standard_conforming_strings."""
    return "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


@dataclass(frozen=True, slots=True)
class Detection:
    """A search for the history table of a given tool, or of any tool.

    ``tool`` and ``table`` come from the request; ``find_name`` reads the tool's own settings.
    """

    ask: Ask
    find_name: Callable[[str], TableName | None]
    tool: str | None = None
    table: str | None = None

    def detect(self) -> tuple[str, str]:
        """Return the tool and its table.

        Raises:
            AmendmentRefused: there is none, or several fit and neither request nor setting chooses one.
        """
        tools = list_tools() if self.tool is None else (self.tool,)
        found = {name: tables for name in tools if (tables := self._find(name))}
        if not found:
            raise self._refuse_none()
        if len(found) > 1:
            raise _refuse_tools(found)
        ((name, tables),) = found.items()
        if len(tables) > 1:
            raise _refuse_tables(name, tables)
        return name, tables[0].table

    def _find(self, tool: str) -> list[FoundTable]:
        return find_tables(self.ask, find_table(tool).shape, self._name(tool))

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
                hint=_NO_TABLE_HINT,
            )
        others = find_tables(self.ask, find_table(self.tool).shape)
        setting = None if self.table is not None else self.find_name(self.tool)
        wanted = self._name(self.tool)
        if wanted is None or not others:
            return AmendmentRefused(
                f"There is no table with the columns of {self.tool}'s history in this database.",
                hint=_NO_TABLE_HINT,
            )
        where = "the request" if setting is None else setting.source
        return AmendmentRefused(
            f"There is no history table of {self.tool} with the name {wanted}, which {where} sets."
            f" Tables with its columns: {_list_names(others)}.",
            hint=_hint_at_table(self.tool, others),
        )


def _refuse_tools(found: dict[str, list[FoundTable]]) -> AmendmentRefused:
    listed = ", ".join(f"{name} ({_list_names(tables)})" for name, tables in found.items())
    first = next(iter(found))
    return AmendmentRefused(
        f"There are the tables of {len(found)} tools in this database: {listed}.",
        hint=Hint("Name the tool to adopt, for example: ", _adopt(source=first)),
    )


def _refuse_tables(tool: str, tables: list[FoundTable]) -> AmendmentRefused:
    return AmendmentRefused(
        f"There are {len(tables)} tables with the columns of {tool}'s history in this database:"
        f" {_list_names(tables)}; no setting chooses one.",
        hint=_hint_at_table(tool, tables),
    )


def _list_names(tables: list[FoundTable]) -> str:
    return ", ".join(table.table for table in tables)


def _hint_at_table(tool: str, tables: list[FoundTable]) -> Hint:
    """Return how to name one of them."""
    name = f"{tables[0].schema}.{tables[0].name}"
    return Hint(f"Name the one that {tool} uses, for example: ", _adopt(source=tool, table=name))


def _adopt(**values: str) -> Command:
    return make_command(Action.ADOPT, **values, reason="take over", dry_run=True)


def make_contact(
    ask: Ask,
    tables: Sequence[Table],
    stub: TableStub | None,
    own_schema: str,
    find_name: Callable[[str], TableName | None],
) -> Contact:
    """Sort the tables of a database into other tools' histories, other projects, and the rest.

    Members of extensions are left out. ``stub`` is the tool's table that a run creates before its
    first migration. ``find_name`` reads a tool's own settings.
    """
    projects = tuple(sorted({one.project for one in tables if one.project} - {own_schema}))
    unknown = [one for one in tables if not one.is_member and one.project is None]
    if not unknown:
        return Contact(projects=projects)
    histories, known = _find_histories(ask, {one.oid for one in unknown}, find_name)
    rest = [
        one.name
        for one in unknown
        if (one.schema, one.relation) not in known and not _is_stub(ask, one, stub)
    ]
    return Contact(tuple(rest), tuple(histories), projects)


def _find_histories(
    ask: Ask, oids: Collection[int], find_name: Callable[[str], TableName | None]
) -> tuple[list[OtherHistory], set[tuple[str, str]]]:
    """Return the histories with rows, and every table that belongs to a tool's history."""
    histories: list[OtherHistory] = []
    known: set[tuple[str, str]] = set()
    for name in list_tools():
        tool = find_table(name)
        for found in (
            *find_tables(ask, tool.shape),
            *_find_named(ask, tool.shape, find_name, name),
        ):
            if found.oid not in oids or (found.schema, found.name) in known:
                continue
            rows = _count_rows(ask, tool, found)
            if rows != 0:
                histories.append(OtherHistory(name, found.table, rows))
            beside = (one.format(name=found.name) for one in tool.shape.beside)
            known |= {(found.schema, one) for one in (found.name, *beside)}
    return histories, known


def _find_named(
    ask: Ask, shape: TableShape, find_name: Callable[[str], TableName | None], tool: str
) -> list[FoundTable]:
    """Return the tables with the name that the tool's settings give; none if these cannot be read."""
    try:
        setting = find_name(tool)
    except MigrationFileInvalid:
        return []
    return [] if setting is None else find_tables(ask, shape, setting.name)


def _count_rows(ask: Ask, tool: HistoryTable, found: FoundTable) -> int | None:
    """Return the number of rows of a history; ``None`` if it is unknown.

    0 also if no row is an applied migration: goose begins with a version 0.
    """
    if not found.is_readable:
        return None
    try:
        count = _count(ask, found.table)
        history = tool.read(ask, found.table) if count else None
    except (LockgateError, AttributeError, TypeError, ValueError):
        return None
    if history is None or not (
        history.rows or history.heads or history.baseline or history.problem
    ):
        return 0
    return count


def _is_stub(ask: Ask, table: Table, stub: TableStub | None) -> bool:
    """Return whether a table is the stub and empty; one with rows is a history."""
    if stub is None or table.relation.lower() != stub.table.rpartition(".")[2].lower():
        return False
    try:
        return _count(ask, table.name) == 0
    except LockgateError:
        return False


def _count(ask: Ask, table: str) -> int:
    ((count,),) = ask(_COUNT.format(table=table))
    return int(count)
