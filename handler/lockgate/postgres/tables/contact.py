"""What is in a database before the first run: its tables, and whether a run has ever changed it.

Knows the catalogs and our own tables. Decides nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.core.contact import Table
from lockgate.postgres.quoting import quote_literal

if TYPE_CHECKING:
    from lockgate.postgres.server.own_session import OwnConnection
    from lockgate.postgres.tables.table_names import Tables

# Our tables by name and by columns that nobody else's have.
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
# A partition belongs to whoever the table at the top of its tree belongs to.
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
# Of a run that noted nothing, its status and report tell: one of an earlier build, or one that changed
# nothing. Breaking a lock changes no migration. Without the column, as in tables of an earlier build,
# its name means the NULL outside of the subquery.
_HAS_CHANGED = """
SELECT EXISTS (
    SELECT FROM (VALUES (NULL::boolean)) AS earlier_build (has_committed), LATERAL (
        SELECT FROM {run} AS r
        WHERE r.action <> 'unlock'
          AND (has_committed
               OR r.status IN ('applied', 'rolled_back')
               OR r.report -> 'applied' -> 0 IS NOT NULL
               OR r.report -> 'reverted' -> 0 IS NOT NULL)
        LIMIT 1
    ) AS changed)
"""
_NOTE = """
UPDATE {run} SET has_committed = true WHERE run_id = {run_id} AND has_committed IS NOT TRUE
"""


def list_tables(connection: OwnConnection) -> tuple[Table, ...]:
    """Return every table of the database but PostgreSQL's own and temporary ones."""
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


def has_changed_anything(connection: OwnConnection, tables: Tables) -> bool:
    """Tell whether a run is recorded that has committed, adopted or baselined anything."""
    return bool(connection.send(_HAS_CHANGED.format(run=tables.run))[0].rows[0][0])


def note_commit_sql(tables: Tables, run_id: str) -> str:
    """Return the statement that notes that a run commits a change, in the transaction that does."""
    return _NOTE.format(run=tables.run, run_id=quote_literal(run_id))
