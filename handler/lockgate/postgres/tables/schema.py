"""The layout of our three tables and the view, and the SQL that creates them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.postgres.quoting import quote_literal
from lockgate.postgres.tables.untrusted_owners import ownership_check_sql

if TYPE_CHECKING:
    from lockgate.postgres.tables.table_names import Tables

LAYOUT_VERSION = 1

# Columns that tables of an earlier build lack (table, name, type); they are added if missing. Older
# packages neither read nor write them, so the layout version stays the same.
ADDED_COLUMNS = (
    ("migration_history", "session_digest", "text"),
    ("migration_history", "attempt_facts", "jsonb"),
    ("migration_run", "catalog_digest", "text"),
    ("migration_run", "undo_facts", "jsonb"),
    ("migration_run", "has_committed", "boolean"),
)

# Errors of two first runs at the same time, which `CREATE … IF NOT EXISTS` does not prevent.
CREATION_RACES = frozenset({"23505", "42P06", "42P07", "42710", "40P01", "40001", "XX000"})


_VIEW_COMMENT = "Lockgate: what is in the database. May be granted to dashboards."

# A view reads with the rights of its owner, so a grant on it is enough. Another relation with that name
# is left alone: the schema may be public.
_CREATE_VIEW = """
DO $lockgate$
BEGIN
    IF pg_catalog.to_regclass({view_name}) IS NOT NULL
       AND pg_catalog.obj_description(pg_catalog.to_regclass({view_name}), 'pg_class')
           IS DISTINCT FROM {comment} THEN
        RETURN;
    END IF;
    CREATE OR REPLACE VIEW {status} AS
        SELECT h.version, h.name, h.kind, h.state, h.applied_at, h.duration_ms, h.run_id,
               r.caller, r.requested_by, h.database_user, h.package_version
        FROM {history} AS h
        LEFT JOIN {run} AS r ON r.run_id = h.run_id;
    COMMENT ON VIEW {status} IS {comment};
    REVOKE ALL ON {status} FROM PUBLIC;
END
$lockgate$;
"""

_CREATE = """
{create_schema}
CREATE TABLE IF NOT EXISTS {history} (
    migration_id       text        PRIMARY KEY,
    version            text,
    name               text        NOT NULL,
    kind               text        NOT NULL CHECK (kind IN ('versioned', 'repeatable')),
    up_checksum        text        NOT NULL,
    up_token_checksum  text,
    down_checksum      text,
    down_script        text,
    down_options       jsonb,
    up_script          text,
    language           text        NOT NULL CHECK (language IN ('sql', 'python')),
    state              text        NOT NULL
        CHECK (state IN ('applied', 'partial', 'reverting', 'stale')),
    statements_done    integer     NOT NULL,
    statements_total   integer     NOT NULL,
    attempting         integer,
    attempted_oid      bigint,
    done_checksum      text,
    applied_at         timestamptz NOT NULL,
    duration_ms        bigint      NOT NULL,
    run_id             text        NOT NULL,
    token              bigint      NOT NULL,
    database_user      text        NOT NULL,
    package_version    text        NOT NULL
);
CREATE TABLE IF NOT EXISTS {run} (
    run_id             text        PRIMARY KEY,
    action             text        NOT NULL,
    caller             text        NOT NULL,
    caller_reference   jsonb       NOT NULL,
    requested_by       text,
    reason             text,
    token              bigint      NOT NULL,
    started_at         timestamptz NOT NULL,
    finished_at        timestamptz,
    status             text        NOT NULL,
    package_version    text        NOT NULL,
    from_version       text,
    to_version         text,
    report             jsonb
);
CREATE TABLE IF NOT EXISTS {lock} (
    lock_id            smallint    PRIMARY KEY CHECK (lock_id = 1),
    layout_version     integer     NOT NULL,
    token              bigint      NOT NULL,
    owner              text,
    caller             text,
    backend_pid        integer,
    backend_start      timestamptz,
    taken_at           timestamptz,
    expires_at         timestamptz
);
{guard};
-- If somebody deleted the row, it gets a token that was never used before.
INSERT INTO {lock} (lock_id, layout_version, token)
SELECT 1, {layout}, greatest(0, (SELECT max(token) FROM {history}), (SELECT max(token) FROM {run}))
ON CONFLICT (lock_id) DO NOTHING;
-- This fails, and nothing is created, if one of these names belongs to a foreign table.
SELECT down_options, up_script, attempting, done_checksum, package_version FROM {history} LIMIT 0;
SELECT caller_reference, finished_at, report FROM {run} LIMIT 0;
SELECT layout_version, backend_start, expires_at FROM {lock} LIMIT 0;
{add_columns}
REVOKE ALL ON {history}, {run}, {lock} FROM PUBLIC;
{create_view}
"""

# ADD COLUMN needs the rights of the owner even if the column exists, so add only missing columns.
_ADD_COLUMN = """
DO $lockgate$
BEGIN
    IF NOT EXISTS ({column}) THEN
        ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {name} {type};
    END IF;
END
$lockgate$;"""
_COLUMN = """
SELECT FROM pg_catalog.pg_attribute AS a
JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = {schema} AND c.relname = {relation} AND a.attname = {column}
  AND NOT a.attisdropped
"""

# Only for a schema that we create: in an existing one, other objects may be meant for everybody.
_CREATE_SCHEMA = """
CREATE SCHEMA IF NOT EXISTS {schema};
REVOKE ALL ON SCHEMA {schema} FROM PUBLIC;
"""


def has_columns_sql(tables: Tables) -> str:
    """Return the condition that our tables have every column of `ADDED_COLUMNS`."""
    columns = (_column_sql(tables, table, name) for table, name, _ in ADDED_COLUMNS)
    return " AND ".join(f"EXISTS ({column})" for column in columns)


def _column_sql(tables: Tables, table: str, name: str) -> str:
    return _COLUMN.format(
        schema=quote_literal(tables.schema_name),
        relation=quote_literal(table),
        column=quote_literal(name),
    )


def _add_column_sql(tables: Tables, table: str, name: str, type_name: str) -> str:
    return _ADD_COLUMN.format(
        column=_column_sql(tables, table, name),
        table=f"{tables.schema}.{table}",
        name=name,
        type=type_name,
    )


def creation_sql(tables: Tables, *, schema_exists: bool) -> str:
    """Return the statements of one transaction that create what is missing.

    If the schema exists, ``CREATE SCHEMA IF NOT EXISTS`` is left out: it would need the right to create
    schemas, and an owner may have prepared the schema for a role without that right.
    """
    create_view = _CREATE_VIEW.format(
        status=tables.status,
        history=tables.history,
        run=tables.run,
        view_name=quote_literal(tables.status),
        comment=quote_literal(_VIEW_COMMENT),
    )
    return _CREATE.format(
        create_schema="" if schema_exists else _CREATE_SCHEMA.format(schema=tables.schema),
        add_columns="".join(_add_column_sql(tables, *column) for column in ADDED_COLUMNS),
        create_view=create_view,
        guard=ownership_check_sql(tables),
        history=tables.history,
        run=tables.run,
        lock=tables.lock,
        layout=LAYOUT_VERSION,
    )
