"""Which tables of a database have the shape of another tool's history. Knows no tool."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lockgate.formats.foreign_history import Ask

# Schemas on the search path come first, in its order; the types are as format_type has them. A role that
# may not read a table, or whose rows a policy hides, would take a full one for empty.
_FIND = """
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname)::text,
       a.attname::text,
       pg_catalog.format_type(a.atttypid, NULL)::text,
       c.oid::bigint,
       n.nspname::text,
       c.relname::text,
       (SELECT pg_catalog.count(*) FROM pg_catalog.pg_class AS r
         WHERE r.relnamespace = n.oid AND r.relname = 'ar_internal_metadata'),
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


@dataclass(frozen=True, slots=True)
class Candidate:
    """A table with its columns and their types. ``is_of_rails``: Rails' own metadata are beside it."""

    table: str
    oid: int
    schema: str
    name: str
    columns: Mapping[str, str]
    is_of_rails: bool
    is_readable: bool


@dataclass(frozen=True, slots=True)
class Shape:
    """How to recognise a tool's history table.

    ``name`` is the tool's default. ``has_any_name``: a setting of the tool gives the table another name,
    and its columns are like no other table's; ``is_exact``: only without any further column.
    ``fits`` decides where the columns' names do not. ``beside`` are the tool's other tables, of the same
    schema; ``{name}`` stands for the table's own name.
    """

    name: str
    columns: tuple[str, ...]
    has_any_name: bool = False
    is_exact: bool = False
    schema: str | None = None
    beside: tuple[str, ...] = ()
    fits: Callable[[Candidate], bool] = lambda _: True

    def is_of(self, candidate: Candidate, name: str) -> bool:
        """Tell whether a table has this shape; ``name`` is the one that it should have."""
        if not has_columns(candidate, *self.columns) or self.schema not in {None, candidate.schema}:
            return False
        is_named = candidate.name.lower() == name.lower()
        if self.is_exact and not is_named and set(candidate.columns) != set(self.columns):
            return False
        return self.fits(candidate)


def find_tables(ask: Ask, shape: Shape, named: str | None = None) -> list[Candidate]:
    """Return every table of that shape, those on the search path first.

    With ``named``, the name that a setting gives it (``table`` or ``schema.table``), only those of
    that name.
    """
    schema, name = split_name(named or shape.name)
    listed = _HAS_NAME.format(name=_quote(name))
    if named is None and shape.has_any_name:
        columns = ", ".join(map(_quote, shape.columns))
        listed = _HAS_COLUMNS.format(columns=columns, count=len(shape.columns))
    fitting = [one for one in _list_candidates(ask, listed) if shape.is_of(one, name)]
    return [one for one in fitting if schema is None or one.schema.lower() == schema.lower()]


def split_name(name: str) -> tuple[str | None, str]:
    """Return schema and table of a name as a setting has it, without the quotes that it may have."""
    schema, dot, table = name.strip().rpartition(".")
    return (schema.strip('"') if dot else None), table.strip('"')


def has_columns(candidate: Candidate, *names: str) -> bool:
    """Tell whether a table has all of these columns."""
    return set(names) <= set(candidate.columns)


def _list_candidates(ask: Ask, condition: str) -> list[Candidate]:
    rows = ask(_FIND.format(condition=condition))
    return [
        Candidate(
            table,
            oid=same[0][3],
            schema=same[0][4],
            name=same[0][5],
            columns={row[1]: row[2] for row in same},
            is_of_rails=bool(same[0][6]),
            is_readable=bool(same[0][7]),
        )
        for table, group in groupby(rows, key=lambda row: str(row[0]))
        if (same := list(group))
    ]


def _quote(text: str) -> str:
    """Return a literal that means the same however the session reads a backslash."""
    return "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
