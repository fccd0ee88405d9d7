"""Checking that no untrusted role controls our tables, by owning them, their schema or a trigger.

The owner of the schema can replace Lockgate's tables. A view or a trigger runs its code with the rights
of this role.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from lockgate.core.address import make_command
from lockgate.core.hint import Hint
from lockgate.core.request import Action
from lockgate.errors import HistoryUnusable, TargetUnsuitable
from lockgate.fast_start.dataclass import dataclass
from lockgate.postgres.quoting import quote_literal, write_name

if TYPE_CHECKING:
    from lockgate.postgres.tables.table_names import Tables

# Square root of a negative number. Only the ownership check fails like this.
UNTRUSTED_OWNER_FOUND = "2201F"

OUR_TABLES = """
    SELECT c.oid, c.relname, c.relkind, c.relowner
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = {schema}
      AND c.relname IN ('migration_history', 'migration_run', 'migration_lock')
"""

# Trusted are this role, the roles that it is a member of, superusers, and the owner of the database. The
# last two are members of pg_database_owner, which owns schema public from PostgreSQL 15 on.
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

_OWNERSHIP_CHECK = "SELECT pg_catalog.sqrt(CASE WHEN EXISTS ({untrusted}) THEN -1 ELSE 1 END)"
_FIRST_UNTRUSTED_OWNER = """
    SELECT pg_catalog.json_build_array(kind, name, owner)::text FROM ({untrusted}) AS untrusted LIMIT 1
"""
# A policy can hide rows from a role; so can a view or another kind of table with the same name.
_FIRST_HIDDEN_TABLE = """
    SELECT min(c.relname) FROM ({tables}) AS c
    WHERE c.relkind <> 'r' OR pg_catalog.row_security_active(c.oid)
"""


@dataclass(frozen=True, slots=True)
class UntrustedOwner:
    """An object and the untrusted role that owns it. ``kind``: schema, table or trigger."""

    kind: str
    name: str
    owner: str

    @classmethod
    def parse(cls, text: str) -> UntrustedOwner:
        """Return the result of `first_untrusted_owner_sql`."""
        return cls(*json.loads(text))


def hidden_rows_sql(tables: Tables) -> str:
    """Return the query for the name of one of Lockgate's tables that may hide rows from this role."""
    return _FIRST_HIDDEN_TABLE.format(tables=our_tables_sql(tables))


def our_tables_sql(tables: Tables) -> str:
    """Return the query for the relations with the names of our tables."""
    return OUR_TABLES.format(schema=quote_literal(tables.schema_name))


def _untrusted_owners_sql(tables: Tables) -> str:
    return _UNTRUSTED_OWNERS.format(
        schema=quote_literal(tables.schema_name), tables=our_tables_sql(tables)
    )


def first_untrusted_owner_sql(tables: Tables) -> str:
    """Return the query for the first untrusted owner, as one value for `UntrustedOwner.parse`."""
    return _FIRST_UNTRUSTED_OWNER.format(untrusted=_untrusted_owners_sql(tables))


def ownership_check_sql(tables: Tables) -> str:
    """Return the statement that fails with `UNTRUSTED_OWNER_FOUND` if there is an untrusted owner."""
    return _OWNERSHIP_CHECK.format(untrusted=_untrusted_owners_sql(tables))


def refuse_new_untrusted_owner(schema: str) -> TargetUnsuitable:
    """Return the error for an untrusted owner that appeared during the run."""
    return TargetUnsuitable(
        f"Schema {schema}, one of Lockgate's tables in it, or a trigger on one of them, now belongs to a"
        " role which this role is not a member of.",
        hint=Hint("Find out which one: ", make_command(Action.STATUS)),
    )


def refuse_untrusted_owner(schema: str, untrusted: UntrustedOwner, role: str) -> TargetUnsuitable:
    """Return the error for an object whose owner ``role`` must not trust."""
    name, owner, at = write_name(untrusted.name), write_name(untrusted.owner), write_name(schema)
    what, remedy = {
        "schema": (f"Schema {schema} belongs to", f"DROP SCHEMA {at} CASCADE"),
        "table": (f"Table {schema}.{untrusted.name} belongs to", f"DROP SCHEMA {at} CASCADE"),
        "trigger": (
            f"Trigger {untrusted.name} on a table in schema {schema} runs a function of",
            f"DROP TRIGGER {name}",
        ),
    }[untrusted.kind]
    return TargetUnsuitable(
        f"{what} role {untrusted.owner}, which this role is not a member of.",
        hint=f"Its owner could run code with the rights of this role. If you trust {untrusted.owner}:"
        f" GRANT {owner} TO {write_name(role)}, or set LOCKGATE_SET_ROLE={untrusted.owner}. Otherwise"
        f" {remedy}, or set LOCKGATE_SCHEMA to another name.",
    )


def refuse_hidden_rows(schema: str, name: str, role: str) -> HistoryUnusable:
    """Return the error for one of Lockgate's tables that may hide rows from ``role``."""
    table = f"{write_name(schema)}.{name}"
    return HistoryUnusable(
        f"{schema}.{name} may hide rows from role {role}: it has row-level security, or is not an"
        " ordinary table. If rows of the history were hidden, migrations would run again.",
        hint=f"As its owner: ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL"
        f" SECURITY; or exempt {role} from policies: ALTER ROLE {write_name(role)} BYPASSRLS; or set"
        " LOCKGATE_SET_ROLE to the owner.",
    )
