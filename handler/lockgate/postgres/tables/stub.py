"""SQL for a stub: another tool's history table, created empty for migrations that use it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.core.catalog import CreatedStub
from lockgate.postgres.quoting import quote_identifier, quote_literal
from lockgate.postgres.server.own_session import OWN_PATH

if TYPE_CHECKING:
    from lockgate.postgres.server.statement_result import Result

_ROLE_PATH = "SET LOCAL search_path = DEFAULT"
# A table is new if its row type is: a foreign key to a table also rewrites its row in pg_class.
_MADE = """
SELECT n.nspname, c.relname, c.oid
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_type AS t ON t.oid = c.reltype
WHERE c.relkind = 'r' AND t.xmin = pg_catalog.pg_current_xact_id()::pg_catalog.xid
UNION ALL
SELECT nspname, NULL, oid FROM pg_catalog.pg_namespace
WHERE xmin = pg_catalog.pg_current_xact_id()::pg_catalog.xid
"""


def creation_sql(sql: str) -> str:
    """Return the statements that create missing tables and list what they created."""
    return f"{_ROLE_PATH};\n{sql.rstrip().rstrip(';')};\nSET LOCAL {OWN_PATH};{_MADE}"


def read_made(result: Result) -> CreatedStub:
    """Return what the last statement of `creation_sql` lists."""
    return CreatedStub(
        tables=tuple((_name(schema, table), oid) for schema, table, oid in result.rows if table),
        schemas=tuple(quote_identifier(schema) for schema, table, _ in result.rows if not table),
    )


def removal_sql(made: CreatedStub, fence: str) -> str:
    """Return the statements that drop a stub; they fail if a table was replaced or has rows."""
    names = ", ".join(name for name, _ in made.tables)
    checks = " AND ".join(_check(name, oid) for name, oid in made.tables)
    statements = [
        f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE",
        f"SELECT 1 / CASE WHEN {checks} THEN 1 ELSE 0 END",
        f"DROP TABLE {names}",
        *(f"DROP SCHEMA {schema}" for schema in made.schemas),
        fence,
    ]
    return ";\n".join(statements)


def _check(name: str, oid: int) -> str:
    return (
        f"{quote_literal(name)}::pg_catalog.regclass::pg_catalog.oid = {oid}"
        f" AND NOT EXISTS (SELECT FROM {name})"
    )


def _name(schema: str, table: str) -> str:
    return f"{quote_identifier(schema)}.{quote_identifier(table)}"
