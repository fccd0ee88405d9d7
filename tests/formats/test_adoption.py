"""Choose the table to adopt when several have the columns of a tool's history."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from lockgate.core.request import Action
from lockgate.formats.names import list_tools

if TYPE_CHECKING:
    from tests.support.database import Database
    from tests.support.project import Project

    from lockgate.report.report import Report

# By tool: columns, default name, a row for the migration below.
TABLES = {
    "rails": ("version varchar", "schema_migrations", "'1'"),
    "graphile-migrate": (
        "hash text, previous_hash text, filename text, date timestamptz",
        "migrations",
        "'x', NULL, '000001.sql', now()",
    ),
    "postgres-migrations": (
        "id int, name varchar, hash varchar, executed_at timestamp",
        "migrations",
        "1, 'one', 'x', now()",
    ),
    "dbmate": ("version varchar", "schema_migrations", "'1'"),
    "goose": (
        "id int, version_id bigint, is_applied boolean, tstamp timestamp",
        "goose_db_version",
        "1, 1, true, now()",
    ),
    "golang-migrate": ("version bigint, dirty boolean", "schema_migrations", "1, false"),
    "sqlx": (
        (
            "version bigint, description text, installed_on timestamptz, success boolean,"
            " checksum bytea, execution_time bigint"
        ),
        "_sqlx_migrations",
        "1, 'one', now(), true, '\\x00', 1",
    ),
    "diesel": ("version varchar, run_on timestamp", "__diesel_schema_migrations", "'1', now()"),
    "flyway": (
        (
            "installed_rank int, version varchar, description varchar, type varchar, script varchar,"
            " checksum int, installed_by varchar, installed_on timestamp, execution_time int,"
            " success boolean"
        ),
        "flyway_schema_history",
        "1, '1', 'one', 'SQL', 'V1__one.sql', NULL, 'me', now(), 1, true",
    ),
    "liquibase": (
        (
            "id varchar, author varchar, filename varchar, dateexecuted timestamp, orderexecuted int,"
            " exectype varchar, md5sum varchar"
        ),
        "databasechangelog",
        "'1', 'me', 'one.sql', now(), 1, 'EXECUTED', NULL",
    ),
    "prisma": (
        (
            "migration_name text, checksum text, started_at timestamptz, finished_at timestamptz,"
            " rolled_back_at timestamptz"
        ),
        "_prisma_migrations",
        "'1_one', 'x', now(), now(), NULL",
    ),
    "knex": (
        "id int, name varchar, batch int, migration_time timestamptz",
        "knex_migrations",
        "1, '1_one.sql', 1, now()",
    ),
    "node-pg-migrate": (
        "id int, name varchar, run_on timestamp",
        "pgmigrations",
        "1, '1_one', now()",
    ),
    "sqitch": (
        (
            "change_id text, script_hash text, change text, project text, committed_at timestamptz,"
            " planned_at timestamptz"
        ),
        "changes",
        "'a', 'b', 'one', 'p', now(), now()",
    ),
    "yoyo": (
        "migration_hash varchar, migration_id varchar, applied_at_utc timestamp",
        "_yoyo_migration",
        "'x', '1_one', now()",
    ),
    "alembic": ("version_num varchar", "alembic_version", "'1'"),
}
# The only schema in which a tool has its table.
SCHEMAS = {"graphile-migrate": "graphile_migrate"}
IN_ANY_SCHEMA = [tool for tool in TABLES if tool not in SCHEMAS]
# Settings that choose the table in schema app, or the one named `other`.
SETTINGS = {
    "dbmate": {"DBMATE_MIGRATIONS_TABLE": "app.schema_migrations"},
    "goose": {"GOOSE_TABLE": "app.goose_db_version"},
    "golang-migrate": {
        "DATABASE_URL": "postgres://u:p@h/d?x-migrations-table=app.schema_migrations"
    },
    "flyway": {"FLYWAY_TABLE": "other"},
    "liquibase": {"LIQUIBASE_LIQUIBASE_SCHEMA_NAME": "app"},
    "prisma": {"DATABASE_URL": "postgres://u:p@h/d?schema=app"},
    "node-pg-migrate": {"NODE_CONFIG": '{"db": {"migrations-schema": "app"}}'},
}
FILES = {
    "sqlx.toml": '[migrate]\ntable-name = "app._sqlx_migrations"\n',
    "yoyo.ini": "[DEFAULT]\nmigration_table = app._yoyo_migration\n",
    "knexfile.js": "module.exports = { tableName: 'knex_migrations', schemaName: 'app' };\n",
    "env.py": "context.configure(version_table='alembic_version', version_table_schema='app')\n",
    "sqitch.conf": '[core]\n\tengine = pg\n[engine "pg"]\n\tregistry = app\n',
    "flyway.conf": "flyway.table=other\n",
    "liquibase.properties": "liquibaseSchemaName=app\n",
    "package.json": '{"scripts": {"up": "npx node-pg-migrate up --migrations-schema=app"}}',
    "config/default.json": '{"db": {"migrations-table": "pgmigrations", "schema": ["app"]}}',
    "../config/application.rb": "schema_migrations_table_name = 'app.schema_migrations'\n",
}
BY_FILE = [
    ("sqlx", "sqlx.toml"),
    ("yoyo", "yoyo.ini"),
    ("knex", "knexfile.js"),
    ("alembic", "env.py"),
    ("sqitch", "sqitch.conf"),
    ("flyway", "flyway.conf"),
    ("liquibase", "liquibase.properties"),
    ("node-pg-migrate", "package.json"),
    ("node-pg-migrate", "config/default.json"),
    ("rails", "../config/application.rb"),
]


def table_of(tool: str) -> str:
    """Return the tool's table, with its schema."""
    return f"{SCHEMAS.get(tool, 'public')}.{TABLES[tool][1]}"


def make_table(database: Database, tool: str, table: str, *, is_empty: bool = False) -> None:
    """Create a tool's table, its schema and what the tool has beside it."""
    columns, _, row = TABLES[tool]
    schema = table.partition(".")[0]
    database.run(f"CREATE SCHEMA IF NOT EXISTS {schema}; CREATE TABLE {table} ({columns})")
    if tool == "rails":
        database.run(f"CREATE TABLE {schema}.ar_internal_metadata (key varchar, value varchar)")
    if not is_empty:
        database.run(f"INSERT INTO {table} VALUES ({row})")


def make_tables(project: Project, tool: str) -> tuple[str, str]:
    """Create a tool's table in two places, the first with a row that must not be read."""
    first = table_of(tool)
    second = "public.other" if tool == "flyway" else f"app.{TABLES[tool][1]}"
    make_table(project.database, tool, first)
    make_table(project.database, tool, second, is_empty=True)
    return first, second


def test_every_tool_has_a_table() -> None:
    """The tables are those of all tools in the registry."""
    assert set(TABLES) == set(list_tools())


def adopt(project: Project, tool: str, table: str | None = None) -> Report:
    """Request a dry run of an adoption."""
    return project.do(
        Action.ADOPT, source=tool, table=table, dry_run=True, reason="test", requested_by="me"
    )


@pytest.mark.parametrize("tool", IN_ANY_SCHEMA)
def test_adoption_with_two_tables_of_a_tool_is_refused_with_their_names(
    project: Project, tool: str
) -> None:
    """With two tables, none is chosen, and the refusal lists both."""
    project.write({"1_one.sql": "-- migrate:up\nSELECT 1;\n"})
    first, second = make_tables(project, tool)
    report = adopt(project, tool)
    assert report.error is not None
    assert report.error.message == (
        f"There are 2 tables with the columns of {tool}'s history in this database:"
        f" {', '.join(sorted((first, second)) if tool == 'flyway' else (first, second))};"
        " no setting chooses one. Nothing was changed."
    )
    assert report.error.hint is not None
    command = json.loads(report.error.hint[report.error.hint.index("{") :].partition("}")[0] + "}")
    assert {**command, "table": ""} == {
        "action": "adopt",
        "from": tool,
        "table": "",
        "dry_run": True,
    }


@pytest.mark.parametrize("tool", IN_ANY_SCHEMA)
def test_adoption_reads_the_table_that_the_request_names(project: Project, tool: str) -> None:
    """The table that the request names is read: it is empty, unlike the other."""
    project.write({"1_one.sql": "-- migrate:up\nSELECT 1;\n"})
    _, second = make_tables(project, tool)
    report = adopt(project, tool, second)
    assert report.error is not None
    assert f"{tool}'s table {second} contains no applied migration" in report.error.message


@pytest.mark.parametrize("tool", SETTINGS)
def test_adoption_reads_the_table_that_a_variable_names(project: Project, tool: str) -> None:
    """The table that the tool's own variable names is read: it is empty, unlike the other."""
    project.write({"1_one.sql": "-- migrate:up\nSELECT 1;\n"})
    _, second = make_tables(project, tool)
    project.settings |= SETTINGS[tool]
    report = adopt(project, tool)
    assert report.error is not None
    assert f"{tool}'s table {second} contains no applied migration" in report.error.message


@pytest.mark.parametrize(("tool", "file"), BY_FILE)
def test_adoption_reads_the_table_that_a_file_of_settings_names(
    project: Project, tool: str, file: str
) -> None:
    """The table that the tool's settings file names is read, in the folder or beside it."""
    project.folder = project.folder / "db" / "migrate"
    project.write({"1_one.sql": "-- migrate:up\nSELECT 1;\n", f"../{file}": FILES[file]})
    if file == "sqitch.conf":
        project.write({file: FILES[file]})
    _, second = make_tables(project, tool)
    report = adopt(project, tool)
    assert report.error is not None
    assert f"{tool}'s table {second} contains no applied migration" in report.error.message


def test_adoption_with_a_setting_for_a_missing_table_is_refused_with_those_that_are_there(
    project: Project,
) -> None:
    """A setting that names a missing table is refused, with the tables that exist."""
    project.write({"1_one.sql": "-- migrate:up\nSELECT 1;\n"})
    make_tables(project, "goose")
    report = project.do(
        Action.ADOPT, source="goose", dry_run=True, reason="r", requested_by="me", GOOSE_TABLE="x"
    )
    assert report.error is not None
    assert report.error.message == (
        "There is no history table of goose with the name x, which GOOSE_TABLE sets. Tables with"
        " its columns: public.goose_db_version, app.goose_db_version. Nothing was changed."
    )
