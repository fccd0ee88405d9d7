"""A digest of the session state that a script has set so far, computed by the server.

It is recorded with each finished statement and compared before the script continues in another session.
State that no query can see (`core.session_effect`) has no digest.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from lockgate.core.index_shape import fold_identifier
from lockgate.postgres.quoting import quote_literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lockgate.postgres.server.connection import Connection

_SCRIPT_SESSION = "lockgate.script_session"

# Runs with the script's own role and search path, before Lockgate sets its own. Every name is qualified,
# and no operator is used.
CAPTURE: Final = f"""
SELECT pg_catalog.set_config('{_SCRIPT_SESSION}', pg_catalog.concat_ws(' ',
    pg_catalog.quote_ident(session_user), pg_catalog.quote_ident(current_user),
    pg_catalog.quote_literal(pg_catalog.current_setting('role')),
    pg_catalog.current_setting('search_path')), true)
"""

# Settings that Lockgate changes for every migration; by now its own role and search path apply.
_NOT_COUNTED: Final = (
    "application_name",
    "client_connection_check_interval",
    "client_min_messages",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "lock_timeout",
    "search_path",
    "statement_timeout",
)
# A new session reads the settings of its role and database anew: so they count as well. Without a
# temporary schema, which is asked first, no catalog is read: a digest is made with each statement.
_DIGEST: Final = """(
    SELECT pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(
               pg_catalog.string_agg(line, E'\\n' ORDER BY line COLLATE "C"),
               pg_catalog.getdatabaseencoding())), 'hex')
    FROM (
        SELECT 'script ' || pg_catalog.current_setting('{script_session}') AS line
        UNION ALL
        SELECT 'setting ' || name || ' ' || setting FROM pg_catalog.pg_settings
        WHERE source IN ('session', 'user', 'database', 'database user', 'global')
          AND name !~ '^(transaction|tcp)_' AND NOT name = ANY (ARRAY[{not_counted}])
        UNION ALL
        SELECT 'custom ' || name || ' ' || pg_catalog.current_setting(name, true)
        FROM pg_catalog.unnest(ARRAY[{custom}]::text[]) AS custom (name)
        WHERE pg_catalog.current_setting(name, true) <> ''
        UNION ALL
        SELECT 'prepared ' || name || ' ' || statement FROM pg_catalog.pg_prepared_statements
        WHERE from_sql
        UNION ALL
        SELECT 'cursor ' || name FROM pg_catalog.pg_cursors WHERE is_holdable
        UNION ALL
        SELECT 'lock ' || pg_catalog.concat_ws(' ', classid, objid, objsubid, mode)
        FROM pg_catalog.pg_locks
        WHERE locktype = 'advisory' AND pid = pg_catalog.pg_backend_pid()
        UNION ALL
        SELECT 'relation ' || relname FROM pg_catalog.pg_class
        WHERE pg_catalog.pg_my_temp_schema() <> 0
          AND relnamespace = pg_catalog.pg_my_temp_schema()
        UNION ALL
        SELECT 'type ' || typname FROM pg_catalog.pg_type
        WHERE pg_catalog.pg_my_temp_schema() <> 0
          AND typnamespace = pg_catalog.pg_my_temp_schema()
        UNION ALL
        SELECT 'routine ' || proname FROM pg_catalog.pg_proc
        WHERE pg_catalog.pg_my_temp_schema() <> 0
          AND pronamespace = pg_catalog.pg_my_temp_schema()
    ) AS lines)"""

# The server does not list custom settings, so find their names where the script sets them.
_CUSTOM = re.compile(
    r"set_config\s*\(\s*'([a-z_]\w*(?:\.\w+)+)'"
    r"|\bset\s+(?:session\s+)?([a-z_]\w*(?:\.\w+)+)\s*(?:=|to\b)",
    re.IGNORECASE,
)

# Is anything attached to the tables with these names, in any schema, that can run user code? That is:
# triggers, rules, policies, views, foreign keys that change other tables, functions in defaults, checks
# and indexes, and domains. Partitions and child tables count as well.
_ATTACHED = """
WITH RECURSIVE relation AS (
    SELECT oid FROM pg_catalog.pg_class
    WHERE relname = ANY (ARRAY[{names}]::name[]) AND relkind IN ('r', 'p', 'v', 'm', 'f')
    UNION
    SELECT i.inhrelid FROM pg_catalog.pg_inherits AS i JOIN relation AS r ON r.oid = i.inhparent
)
SELECT EXISTS (SELECT FROM pg_catalog.pg_event_trigger WHERE evtenabled <> 'D')
    OR (SELECT count(DISTINCT relname) FROM pg_catalog.pg_class
        WHERE relname = ANY (ARRAY[{names}]::name[]) AND relkind IN ('r', 'p')) < {count}
    OR EXISTS (
        SELECT FROM relation AS r JOIN pg_catalog.pg_class AS c ON c.oid = r.oid
        WHERE c.relkind NOT IN ('r', 'p') OR c.relhasrules OR c.relrowsecurity
           OR EXISTS (SELECT FROM pg_catalog.pg_trigger AS t
                      WHERE t.tgrelid = c.oid AND NOT t.tgisinternal)
           OR EXISTS (SELECT FROM pg_catalog.pg_constraint AS k
                      WHERE k.confrelid = c.oid
                        AND (k.confdeltype IN ('c', 'n', 'd') OR k.confupdtype IN ('c', 'n', 'd')))
           OR EXISTS (SELECT FROM pg_catalog.pg_attribute AS a
                      JOIN pg_catalog.pg_type AS y ON y.oid = a.atttypid
                      WHERE a.attrelid = c.oid AND a.attnum > 0 AND y.typtype = 'd')
           OR EXISTS (SELECT FROM pg_catalog.pg_attrdef AS d WHERE d.adrelid = c.oid
                        AND (pg_catalog.pg_get_expr(d.adbin, d.adrelid) ~ 'set_config'
                             OR EXISTS (SELECT FROM pg_catalog.pg_depend AS p
                                        WHERE p.classid = 'pg_catalog.pg_attrdef'::regclass
                                          AND p.objid = d.oid
                                          AND p.refclassid = 'pg_catalog.pg_proc'::regclass)))
           OR EXISTS (SELECT FROM pg_catalog.pg_constraint AS k
                      JOIN pg_catalog.pg_depend AS p ON p.objid = k.oid
                       AND p.classid = 'pg_catalog.pg_constraint'::regclass
                       AND p.refclassid = 'pg_catalog.pg_proc'::regclass
                      WHERE k.conrelid = c.oid)
           OR EXISTS (SELECT FROM pg_catalog.pg_index AS i
                      JOIN pg_catalog.pg_depend AS p ON p.objid = i.indexrelid
                       AND p.classid = 'pg_catalog.pg_class'::regclass
                       AND p.refclassid = 'pg_catalog.pg_proc'::regclass
                      WHERE i.indrelid = c.oid))
"""


def find_custom_settings(sql: str) -> tuple[str, ...]:
    """Return the custom settings that a script may set."""
    names = (match[1] or match[2] for match in _CUSTOM.finditer(sql))
    return tuple(sorted({name.lower() for name in names}))


def digest_sql(custom_settings: Sequence[str]) -> str:
    """Return the expression for the digest. Run it after `CAPTURE`, with Lockgate's own search path."""
    return _DIGEST.format(
        script_session=_SCRIPT_SESSION,
        not_counted=", ".join(map(quote_literal, _NOT_COUNTED)),
        custom=", ".join(map(quote_literal, custom_settings)),
    )


def may_set_session(connection: Connection, tables: Sequence[str]) -> bool:
    """Return whether code attached to tables with these names may have set the session.

    Names are as written in the script, without a schema. For a table that no longer exists, assume yes.
    """
    names = [fold_identifier(name) for name in tables]
    literals = ", ".join(map(quote_literal, names))
    query = _ATTACHED.format(names=literals, count=len(set(names)))
    rows = connection.send(f"SET LOCAL search_path = pg_catalog, pg_temp;\n{query}")[1].rows
    return bool(rows[0][0])
