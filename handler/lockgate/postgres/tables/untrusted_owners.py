"""Who else decides what our tables do: owners and triggers that this role must not trust.

Whoever owns the schema can put other tables in place of Lockgate's. A table may be a view or have a
trigger, which runs with this role's rights.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from lockgate.errors import HistoryUnusable, TargetUnsuitable
from lockgate.fast_start.dataclass import dataclass
from lockgate.postgres.quoting import quote_literal, write_name

if TYPE_CHECKING:
    from lockgate.postgres.tables.table_names import Tables

# Square root of a negative number: how the guard refuses, and no other statement of Lockgate does.
UNTRUSTED_OWNER_FOUND = "2201F"

OUR_TABLES = """
    SELECT c.oid, c.relname, c.relkind, c.relowner
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = {schema}
      AND c.relname IN ('migration_history', 'migration_run', 'migration_lock')
"""

# Trusted are this role, the roles that it is a member of, superusers, and the database's owner. The last
# two are the members of pg_database_owner, which owns schema public from PostgreSQL 15 on.
_UNTRUSTED_OWNERS = """
    SELECT found.kind, found.name, pg_catalog.pg_get_userbyid(found.owner) AS owner
    FROM (
        SELECT 'schema' AS kind, n.nspname AS name, n.nspowner AS owner
        FROM pg_catalog.pg_namespace AS n WHERE n.nspname = {schema}
        UNION ALL
        SELECT 'table', c.relname, c.relowner FROM ({tables}) AS c
        UNION ALL
        SELECT 'trigger', t.tgname, p.proowner
        FROM ({tables}) AS c
        JOIN pg_catalog.pg_trigger AS t ON t.tgrelid = c.oid AND NOT t.tgisinternal
        JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid
    ) AS found
    WHERE NOT pg_catalog.pg_has_role(found.owner, 'MEMBER')
      AND NOT pg_catalog.pg_has_role(found.owner, 'pg_database_owner', 'MEMBER')
"""

_GUARD = "SELECT pg_catalog.sqrt(CASE WHEN EXISTS ({strangers}) THEN -1 ELSE 1 END)"
_FIRST_UNTRUSTED_OWNER = """
    SELECT pg_catalog.json_build_array(kind, name, owner)::text FROM ({strangers}) AS strangers LIMIT 1
"""
# A policy filters what a role reads; a view or another table in place of Lockgate's may, too.
_FIRST_HIDDEN_TABLE = """
    SELECT min(c.relname) FROM ({tables}) AS c
    WHERE c.relkind <> 'r' OR pg_catalog.row_security_active(c.oid)
"""


@dataclass(frozen=True, slots=True)
class UntrustedOwner:
    """What belongs to a role that is not trusted. ``kind``: schema, table or trigger."""

    kind: str
    name: str
    owner: str

    @classmethod
    def parse(cls, text: str) -> UntrustedOwner:
        """Return what `first_untrusted_owner_sql` found."""
        return cls(*json.loads(text))


def hidden_rows_sql(tables: Tables) -> str:
    """Return the query for the name of a Lockgate relation that does not show this role every row."""
    return _FIRST_HIDDEN_TABLE.format(tables=our_tables_sql(tables))


def our_tables_sql(tables: Tables) -> str:
    """Return the query for the relations by our tables' names."""
    return OUR_TABLES.format(schema=quote_literal(tables.schema_name))


def _untrusted_owners_sql(tables: Tables) -> str:
    return _UNTRUSTED_OWNERS.format(
        schema=quote_literal(tables.schema_name), tables=our_tables_sql(tables)
    )


def first_untrusted_owner_sql(tables: Tables) -> str:
    """Return the query for one value that `UntrustedOwner.parse` reads."""
    return _FIRST_UNTRUSTED_OWNER.format(strangers=_untrusted_owners_sql(tables))


def ownership_check_sql(tables: Tables) -> str:
    """Return the statement that fails with `UNTRUSTED_OWNER_FOUND` if there is a stranger."""
    return _GUARD.format(strangers=_untrusted_owners_sql(tables))


def refuse_new_untrusted_owner(schema: str) -> TargetUnsuitable:
    """Return the error about a stranger that came after the first look."""
    return TargetUnsuitable(
        f"Schema {schema}, one of Lockgate's tables in it, or a trigger on one of them, now belongs to a"
        " role in whose rights this role has no part.",
        hint="See which: lockgate status",
    )


def refuse_untrusted_owner(schema: str, stranger: UntrustedOwner, role: str) -> TargetUnsuitable:
    """Return the error about a stranger to ``role``."""
    name, owner, at = write_name(stranger.name), write_name(stranger.owner), write_name(schema)
    what, remedy = {
        "schema": (f"Schema {schema} belongs to", f"DROP SCHEMA {at} CASCADE"),
        "table": (f"Table {schema}.{stranger.name} belongs to", f"DROP SCHEMA {at} CASCADE"),
        "trigger": (
            f"Trigger {stranger.name} on a table in schema {schema} runs a function of",
            f"DROP TRIGGER {name}",
        ),
    }[stranger.kind]
    return TargetUnsuitable(
        f"{what} role {stranger.owner}, in whose rights this role has no part.",
        hint=f"Whoever owns it decides what runs here. If you trust {stranger.owner}:"
        f" GRANT {owner} TO {write_name(role)}, or set LOCKGATE_SET_ROLE={stranger.owner}. Else"
        f" {remedy}, or set LOCKGATE_SCHEMA to another name.",
    )


def refuse_hidden_rows(schema: str, name: str, role: str) -> HistoryUnusable:
    """Return the error of a Lockgate relation that may not show ``role`` every row."""
    table = f"{write_name(schema)}.{name}"
    return HistoryUnusable(
        f"{schema}.{name} does not show role {role} all of its rows: it has row-level security, or is"
        " not an ordinary table. A history with rows left out would have migrations run again.",
        hint=f"As its owner: ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL"
        f" SECURITY; or let {role} skip policies: ALTER ROLE {write_name(role)} BYPASSRLS; or set"
        " LOCKGATE_SET_ROLE to the owner.",
    )
