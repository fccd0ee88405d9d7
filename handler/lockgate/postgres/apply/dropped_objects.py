"""Finding objects that a down script drops: views, functions, triggers, policies, constraints.

This never refuses a down. It names objects that the migration did not create itself, so that somebody
can check them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.fast_start.dataclass import dataclass
from lockgate.postgres.quoting import quote_literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lockgate.postgres.tables.table_names import Tables

_MOST_NAMED = 20

# An object that belongs to a table is dropped with it, so include the table.
_OBJECTS = """
SELECT kind, oid::bigint, label, of_table::bigint
FROM (
    SELECT CASE relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' ELSE 'sequence' END
               AS kind, oid, oid::pg_catalog.regclass::text AS label, 0::pg_catalog.oid AS of_table,
           xmin AS written_by
    FROM pg_catalog.pg_class AS c
    WHERE relkind IN ('v', 'm', 'S') AND relpersistence <> 't'
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d
                      WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                        AND d.objid = c.oid AND d.deptype IN ('a', 'i') AND c.relkind = 'S')
    UNION ALL
    SELECT 'function', oid, oid::pg_catalog.regprocedure::text, 0, xmin FROM pg_catalog.pg_proc
    UNION ALL
    SELECT 'trigger', oid, tgname || ' on ' || tgrelid::pg_catalog.regclass, tgrelid, xmin
    FROM pg_catalog.pg_trigger WHERE NOT tgisinternal
    UNION ALL
    SELECT 'policy', oid, polname || ' on ' || polrelid::pg_catalog.regclass, polrelid, xmin
    FROM pg_catalog.pg_policy
    UNION ALL
    SELECT 'constraint', oid, conname || ' on ' || conrelid::pg_catalog.regclass, conrelid, xmin
    FROM pg_catalog.pg_constraint WHERE conrelid <> 0 AND contype IN ('c', 'f', 'p', 'u', 'x')
) AS objects
WHERE oid >= 16384
  AND written_by::text <> ALL (ARRAY[{writers}]::text[])
"""
_WRITERS = "SELECT xmin::text FROM {history} WHERE migration_id IN ({ids})"


@dataclass(frozen=True, slots=True)
class Object:
    """One object; ``of_table`` is 0 if it belongs to no table."""

    kind: str
    oid: int
    label: str
    of_table: int


def writers_sql(tables: Tables, migration_ids: Iterable[str]) -> str:
    """Return the query for the transactions that wrote the rows of some migrations.

    A migration in one transaction created its objects in the same transaction.
    """
    ids = ", ".join(quote_literal(one) for one in migration_ids)
    return _WRITERS.format(history=tables.history, ids=ids)


def objects_sql(writers: Iterable[str]) -> str:
    """Return the query for all objects except those that certain transactions created."""
    return _OBJECTS.format(writers=", ".join(quote_literal(one) for one in writers))


def describe_dropped(
    before: Iterable[Object], after: Iterable[Object], gone: set[int]
) -> str | None:
    """Return a sentence about dropped objects, without those of tables that are ``gone``."""
    left = {(one.kind, one.oid) for one in after}
    dropped = [
        one for one in before if (one.kind, one.oid) not in left and one.of_table not in gone
    ]
    if not dropped:
        return None
    return (
        "The down script dropped objects that its migration may not have created:"
        f" {_name(dropped)}. The next up may not create them again."
    )


def _name(dropped: Sequence[Object]) -> str:
    named = ", ".join(f"{one.kind} {one.label}" for one in dropped[:_MOST_NAMED])
    more = len(dropped) - _MOST_NAMED
    return f"{named} and {more} more" if more > 0 else named
