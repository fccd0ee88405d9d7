"""The list of all tables of a database, which a first run examines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.core.first_contact import Table
from lockgate.postgres.quoting import quote_literal

if TYPE_CHECKING:
    from lockgate.postgres.server.own_session import OwnConnection

# Our tables, recognised by name and by columns that no other tool's tables have.
_OURS = {
    "migration_history": ("down_options", "up_script", "attempting", "done_checksum"),
    "migration_run": ("caller_reference", "finished_at", "report"),
    "migration_lock": ("layout_version", "backend_start", "expires_at"),
}
_IS_OURS = """
(c.relname = {name} AND {count} = (
    SELECT pg_catalog.count(*) FROM pg_catalog.pg_attribute AS a
    WHERE a.attrelid = c.oid AND NOT a.attisdropped AND a.attname IN ({columns})))
"""
# A partition counts as part of an extension if one of its ancestors is.
_LIST = """
SELECT c.oid::bigint, n.nspname::text, c.relname::text, pg_catalog.format('%I.%I', n.nspname, c.relname),
       EXISTS (SELECT FROM pg_catalog.pg_depend AS d
               WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.deptype = 'e'
                 AND (d.objid = c.oid
                      OR d.objid IN (SELECT relid FROM pg_catalog.pg_partition_ancestors(c.oid)))),
       CASE WHEN {is_ours} THEN n.nspname::text END
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_'
ORDER BY n.nspname, c.relname
"""


def list_tables(connection: OwnConnection) -> tuple[Table, ...]:
    """Return every table of the database, except system tables and temporary ones."""
    is_ours = " OR ".join(
        _IS_OURS.format(
            name=quote_literal(name),
            count=len(columns),
            columns=", ".join(map(quote_literal, columns)),
        )
        for name, columns in _OURS.items()
    )
    rows = connection.send(_LIST.format(is_ours=is_ours))[0].rows
    return tuple(Table(*row) for row in rows)
