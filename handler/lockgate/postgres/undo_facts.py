"""Two looks at a transaction, at its beginning and before its COMMIT: what rows did it change?

The server counts changed rows for each relation as a session goes, and hands the numbers on between
two transactions at most. So both looks must be in one message, or in one transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.postgres.connection import RECORD_COLUMN
from lockgate.postgres.description import own_relations_sql

if TYPE_CHECKING:
    from lockgate.postgres.schema import Tables

# Tables of users, and of the system those that belong to all databases or hold large objects.
_COUNTED = """
    SELECT c.oid, c.relname, c.relnamespace,
           pg_catalog.pg_stat_get_xact_tuples_inserted(c.oid)
           + pg_catalog.pg_stat_get_xact_tuples_updated(c.oid)
           + pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid) AS changes
    FROM pg_catalog.pg_class AS c
    WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't'
      AND (c.oid >= 16384 OR c.relisshared OR c.relname ~ '^pg_(largeobject|user_mapping)')
      AND c.relname <> 'pg_shdepend'
      AND c.oid NOT IN ({own})
"""

_BEGIN = """
SELECT pg_catalog.json_build_object(
           'track_counts', pg_catalog.current_setting('track_counts'),
           'counts', coalesce((SELECT pg_catalog.json_object_agg(oid, changes)
                               FROM ({counted}) AS counted WHERE changes <> 0), '{{}}')
       )::text AS {column}
"""

# age() counts from this transaction: what is not older was written by it, by a part of it, or by one
# that began later. Locks are kept to the end. A trigger that is deferred runs behind this look.
_END = """
SELECT pg_catalog.json_build_object(
    'track_counts', pg_catalog.current_setting('track_counts'),
    'xid', pg_catalog.pg_current_xact_id()::text,
    'written', coalesce((
        SELECT pg_catalog.json_agg(pg_catalog.json_build_array(
                   d.oid::bigint, n.nspname || '.' || d.relname, d.changes))
        FROM ({counted}) AS d
        JOIN pg_catalog.pg_namespace AS n ON n.oid = d.relnamespace
        WHERE d.changes <> 0), '[]'),
    'made', coalesce((
        SELECT pg_catalog.json_agg(pg_catalog.json_build_array(
                   c.oid::bigint, n.nspname || '.' || c.relname, c.relfilenode::bigint,
                   c.relkind = 'r'))
        FROM pg_catalog.pg_class AS c
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'm') AND c.relpersistence <> 't' AND c.oid >= 16384
          AND pg_catalog.age(c.xmin) <= 0 AND c.oid NOT IN ({own})), '[]'),
    'sequences', coalesce((
        SELECT pg_catalog.json_agg(pg_catalog.json_build_array(
                   c.oid::bigint, n.nspname || '.' || c.relname,
                   pg_catalog.pg_sequence_last_value(c.oid)))
        FROM pg_catalog.pg_class AS c
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND pg_catalog.age(c.xmin) <= 0), '[]'),
    'blind', coalesce(
        (SELECT CASE c.relkind WHEN 'f' THEN 'foreign table ' ELSE 'sequence ' END
                || n.nspname || '.' || c.relname || ' was used'
         FROM pg_catalog.pg_locks AS l
         JOIN pg_catalog.pg_class AS c ON c.oid = l.relation
         JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
         WHERE l.pid = pg_catalog.pg_backend_pid() AND l.locktype = 'relation'
           AND l.database = (SELECT oid FROM pg_catalog.pg_database
                             WHERE datname = pg_catalog.current_database())
           AND ((c.relkind = 'f' AND l.mode <> 'AccessShareLock')
                OR (c.relkind = 'S' AND l.mode = 'RowExclusiveLock'
                    AND pg_catalog.age(c.xmin) > 0))
         ORDER BY 1 LIMIT 1),
        (SELECT 'trigger ' || t.tgname || ' runs at COMMIT'
         FROM pg_catalog.pg_trigger AS t
         WHERE t.tgdeferrable AND NOT t.tgisinternal AND pg_catalog.age(t.xmin) <= 0
         ORDER BY 1 LIMIT 1))
)::text AS {column}
"""


def begin_sql(tables: Tables) -> str:
    """Return the look at the beginning."""
    counted = _COUNTED.format(own=own_relations_sql(tables))
    return _BEGIN.format(counted=counted, column=RECORD_COLUMN)


def end_sql(tables: Tables) -> str:
    """Return the look before COMMIT; it must run with our own path."""
    own = own_relations_sql(tables)
    return _END.format(counted=_COUNTED.format(own=own), own=own, column=RECORD_COLUMN)
