"""Another tool's table by its name and columns, in whatever schema it is. Knows no tool."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from lockgate.value import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lockgate.histories.foreign import Ask

# Schemas on the search path come first, in its order; the types are as format_type has them.
_FIND = """
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname)::text,
       a.attname::text,
       pg_catalog.format_type(a.atttypid, NULL)::text,
       (pg_catalog.array_position(pg_catalog.current_schemas(false), n.nspname) IS NOT NULL)::int,
       (pg_catalog.to_regclass(pg_catalog.format('%I.ar_internal_metadata', n.nspname)) IS NOT NULL)::int
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid
 WHERE c.relname = '{name}'
   AND c.relkind IN ('r', 'p')
   AND a.attnum > 0
   AND NOT a.attisdropped
 ORDER BY pg_catalog.array_position(pg_catalog.current_schemas(false), n.nspname) NULLS LAST, 1, a.attnum
"""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A table of the name that is looked for: its columns with their types, and its surroundings."""

    table: str
    columns: Mapping[str, str]
    is_on_path: bool
    is_of_rails: bool


def find_named_table(ask: Ask, name: str, fits: Callable[[Candidate], bool]) -> str | None:
    """Return the qualified, quoted name of the table that fits.

    The first on the search path counts; else the only one in any schema that the role can see.
    ``name`` is a constant of ours.
    """
    fitting = [candidate for candidate in _list_candidates(ask, name) if fits(candidate)]
    on_path = [candidate for candidate in fitting if candidate.is_on_path]
    if on_path:
        return on_path[0].table
    return fitting[0].table if len(fitting) == 1 else None


def has_columns(candidate: Candidate, *names: str) -> bool:
    """Tell whether a table has all of these columns."""
    return set(names) <= set(candidate.columns)


def _list_candidates(ask: Ask, name: str) -> list[Candidate]:
    rows = ask(_FIND.format(name=name))
    return [
        Candidate(table, {row[1]: row[2] for row in same}, bool(same[0][3]), bool(same[0][4]))
        for table, group in groupby(rows, key=lambda row: str(row[0]))
        if (same := list(group))
    ]
