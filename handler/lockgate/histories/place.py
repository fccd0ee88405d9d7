"""Where another tool's table is: on the search path, or in the only schema that has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lockgate.histories.foreign import Ask

# Quoted where it must be; tables of a session's own are passed over.
_FIND = """
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname),
       pg_catalog.pg_table_is_visible(c.oid)
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
   AND (SELECT count(*)
          FROM pg_catalog.pg_attribute AS a
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
           AND a.attname IN ({columns})) = {count}
   AND {condition}
 ORDER BY 2 DESC, 1
"""


def find_named(ask: Ask, name: str, columns: tuple[str, ...]) -> str | None:
    """Return the qualified, quoted name of the table of that name that has those columns."""
    return _choose(ask, columns, f"c.relname = '{name}'")


def find_shaped(ask: Ask, columns: tuple[str, ...]) -> str | None:
    """Return that of the table that has those columns, whatever its name."""
    return _choose(ask, columns, "true")


def _choose(ask: Ask, columns: tuple[str, ...], condition: str) -> str | None:
    listed = ", ".join(f"'{column}'" for column in columns)
    rows = ask(_FIND.format(columns=listed, count=len(columns), condition=condition))
    visible = [name for name, is_visible in rows if is_visible]
    names = visible or [name for name, _ in rows]
    return names[0] if len(names) == 1 else None
