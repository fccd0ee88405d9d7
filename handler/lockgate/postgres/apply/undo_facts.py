"""Queries at the beginning of a transaction and before its COMMIT: which rows did it change?

The server counts changed rows per relation and session, and flushes the counts when a message ends
outside a transaction. So both queries must be in one message or in one transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.postgres.apply.description import own_relations_sql
from lockgate.postgres.server.driver_fixes import RECORD_COLUMN

if TYPE_CHECKING:
    from lockgate.postgres.tables.table_names import Tables

# Relations that PostgreSQL writes to stay locked until the end of the transaction, except system
# catalogs. The code of an extension may unlock its tables earlier, so those are always checked.
_CHECKED = """
WITH locked AS MATERIALIZED (
    SELECT relation, pg_catalog.array_agg(mode) AS modes
    FROM pg_catalog.pg_locks
    WHERE pid = pg_catalog.pg_backend_pid() AND locktype = 'relation'
      AND database = (SELECT oid FROM pg_catalog.pg_database
                      WHERE datname = pg_catalog.current_database())
    GROUP BY relation
),
mine AS MATERIALIZED (
    SELECT c.oid, c.xmin, c.relkind, c.relfilenode, l.modes, n.nspname || '.' || c.relname AS label
    FROM locked AS l
    JOIN pg_catalog.pg_class AS c ON c.oid = l.relation
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.oid >= 16384 AND c.relpersistence <> 't' AND c.oid NOT IN ({own})
      AND NOT l.modes <@ ARRAY['AccessShareLock']
)"""
_COUNTED = """
    SELECT c.oid, c.label,
           pg_catalog.pg_stat_get_xact_tuples_inserted(c.oid)
           + pg_catalog.pg_stat_get_xact_tuples_updated(c.oid)
           + pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid) AS changes
    FROM ({of}) AS c
"""
# Shared catalogs, large objects, and tables of extensions.
_ALWAYS = """
    SELECT c.oid, n.nspname || '.' || c.relname AS label
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.oid < 16384 AND c.relkind = 'r' AND c.relname <> 'pg_shdepend'
      AND (c.relisshared OR c.relname ~ '^pg_(largeobject|user_mapping)')
    UNION
    SELECT c.oid, n.nspname || '.' || c.relname
    FROM pg_catalog.pg_depend AS d
    JOIN pg_catalog.pg_class AS c ON c.oid = d.objid
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.deptype = 'e'
      AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND c.relkind IN ('r', 'm')
"""
_LOCKED = "SELECT oid, label FROM mine WHERE relkind IN ('r', 'm')"
_ALL = """
    SELECT oid, ''::text AS label FROM pg_catalog.pg_class
    WHERE relkind IN ('r', 'm') AND relpersistence <> 't'
"""

_BEGIN = """
SELECT pg_catalog.json_build_object(
           'track_counts', pg_catalog.current_setting('track_counts'),
           'counts', coalesce((SELECT pg_catalog.json_object_agg(oid, changes)
                               FROM ({counted}) AS counted WHERE changes <> 0), '{{}}')
       )::text AS {column}
"""
_BEGIN_WITHOUT_COUNTS = """
SELECT pg_catalog.json_build_object(
           'track_counts', pg_catalog.current_setting('track_counts'),
           'counts', '{{}}'::pg_catalog.json)::text AS {column}
"""

# age() counts from this transaction: a row that is not older was written by it, by one of its
# subtransactions, or by a later transaction. Locks are held until the end. A deferred trigger runs after
# this query. The catalog row of a system column is only written when the table is created.
_END = """
{checked}
SELECT pg_catalog.json_build_object(
    'track_counts', pg_catalog.current_setting('track_counts'),
    'xid', pg_catalog.pg_current_xact_id()::text,
    'written', coalesce((
        SELECT pg_catalog.json_agg(pg_catalog.json_build_array(d.oid::bigint, d.label, d.changes))
        FROM ({counted}) AS d WHERE d.changes <> 0), '[]'),
    'made', coalesce((
        SELECT pg_catalog.json_agg(pg_catalog.json_build_array(
                   c.oid::bigint, c.label, c.relfilenode::bigint, c.relkind = 'r'))
        FROM mine AS c
        WHERE c.relkind IN ('r', 'p', 'm') AND pg_catalog.age(c.xmin) <= 0), '[]'),
    'sequences', coalesce((
        SELECT pg_catalog.json_agg(pg_catalog.json_build_array(
                   c.oid::bigint, c.label, pg_catalog.pg_sequence_last_value(c.oid)))
        FROM mine AS c
        WHERE c.relkind = 'S' AND pg_catalog.age(c.xmin) <= 0), '[]'),
    'blind', coalesce(
        (SELECT CASE c.relkind WHEN 'f' THEN 'foreign table ' ELSE 'sequence ' END
                || c.label || ' was used'
         FROM mine AS c
         WHERE c.relkind = 'f' OR (c.relkind = 'S' AND 'RowExclusiveLock' = ANY (c.modes)
                                   AND pg_catalog.age(c.xmin) > 0)
         ORDER BY 1 LIMIT 1),
        (SELECT 'table ' || c.label || ' was made a part of another'
         FROM pg_catalog.pg_inherits AS h
         JOIN mine AS c ON c.oid = h.inhrelid
         JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = -6
         WHERE pg_catalog.age(h.xmin) <= 0 AND pg_catalog.age(a.xmin) > 0
         ORDER BY 1 LIMIT 1),
        (SELECT 'trigger ' || t.tgname || ' runs at COMMIT'
         FROM pg_catalog.pg_trigger AS t
         WHERE t.tgdeferrable AND NOT t.tgisinternal AND pg_catalog.age(t.xmin) <= 0
         ORDER BY 1 LIMIT 1)){flush}
)::text AS {column}
"""
# From this version on, a flush can be forced at the end of a message, so each transaction begins at 0.
FLUSHES_ON_DEMAND = 150000
_FLUSH = ",\n    'flushed', pg_catalog.pg_stat_force_next_flush() IS NULL"

# A function may turn counting off while it runs, which cannot be seen afterwards.
BLINDING_FUNCTIONS = """
SELECT oid::pg_catalog.regprocedure::text AS label FROM pg_catalog.pg_proc
WHERE proconfig IS NOT NULL AND proconfig::text ~ 'track_counts'
"""


def begin_sql() -> str:
    """Return the query at the beginning: the counts so far."""
    return _BEGIN.format(counted=_COUNTED.format(of=_ALL), column=RECORD_COLUMN)


def begin_alone_sql(server_version: int) -> str:
    """Return the query for the beginning of a message, where the counts are 0 on newer servers."""
    if server_version < FLUSHES_ON_DEMAND:
        return begin_sql()
    return _BEGIN_WITHOUT_COUNTS.format(column=RECORD_COLUMN)


def end_sql(tables: Tables, server_version: int) -> str:
    """Return the query before COMMIT; run it with Lockgate's own search path."""
    return _END.format(
        checked=_CHECKED.format(own=own_relations_sql(tables)),
        counted=_COUNTED.format(of=f"{_LOCKED} UNION {_ALWAYS}"),
        flush=_FLUSH if server_version >= FLUSHES_ON_DEMAND else "",
        column=RECORD_COLUMN,
    )
