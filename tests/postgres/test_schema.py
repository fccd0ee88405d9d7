"""Lockgate's tables: their creation, their permissions, and tables with their names that are foreign."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pg8000.exceptions
import pytest
from tests.support.engine import open_database

from lockgate.core.request import Action
from lockgate.errors import LockgateError, TargetUnsuitable
from lockgate.postgres.server.own_session import OWN_LOCK_TIMEOUT_MS
from lockgate.postgres.tables.schema import ADDED_COLUMNS, LAYOUT_VERSION, creation_sql
from lockgate.postgres.tables.table_names import Tables
from lockgate.report.report import Report, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.database import Database
    from tests.support.project import Project

RACERS = 20
TABLE = "CREATE TABLE account (id int PRIMARY KEY);"
OURS = ["migration_history", "migration_lock", "migration_run"]


@pytest.fixture
def stranger(database: Database) -> Iterator[str]:
    """Return a role without any grants."""
    name = f"stranger_{database.name}"
    database.run(f"CREATE ROLE {name} LOGIN PASSWORD 'x'")
    yield name
    database.run(f"DROP OWNED BY {name}; DROP ROLE {name}")


def list_tables(database: Database, schema: str = "lockgate") -> list[str]:
    """Return the tables of a schema."""
    rows = database.run(
        "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace(quote_ident(:schema))"
        " AND relkind = 'r' ORDER BY relname",
        schema=schema,
    )
    return [row[0] for row in rows]


def read_error(report: Report) -> tuple[str, str]:
    """Return the code and the message of a report's error."""
    assert report.error is not None
    return report.error.code, report.error.message


@pytest.mark.parametrize("schema_exists", [False, True])
def test_twenty_first_installs_at_once_all_succeed(
    project: Project, *, schema_exists: bool
) -> None:
    """All installations succeed although each saw no tables, and there is one lock row."""
    if schema_exists:
        project.database.run("CREATE SCHEMA lockgate")
    databases = [open_database(project.runner()) for _ in range(RACERS)]
    probes = [database.probe() for database in databases]
    assert not any(probe.has_history for probe in probes)
    barrier = threading.Barrier(RACERS)
    failures: list[LockgateError] = []

    def install(number: int) -> None:
        barrier.wait()
        try:
            databases[number].install(probes[number])
        except LockgateError as error:
            failures.append(error)
        finally:
            databases[number].close()

    threads = [threading.Thread(target=install, args=(number,)) for number in range(RACERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [] == failures
    assert OURS == list_tables(project.database)
    rows = project.database.run(
        "SELECT lock_id, layout_version, token, owner FROM lockgate.migration_lock"
    )
    assert [[1, LAYOUT_VERSION, 0, None]] == rows


def test_twenty_first_runs_at_once_apply_once(project: Project) -> None:
    """One of 20 simultaneous first runs does the work, and the others find it done."""
    project.write({"1_account.sql": TABLE, "2_once.sql": "INSERT INTO account VALUES (1);"})
    reports = project.run_at_once(RACERS)
    statuses = sorted(report.status for report in reports)
    assert [Status.APPLIED] + [Status.UP_TO_DATE] * (RACERS - 1) == statuses
    assert [[1]] == project.database.run("SELECT count(*) FROM account")


def test_installation_can_be_repeated(database: Database) -> None:
    """A second installation leaves existing tables unchanged, including the lock's token."""
    tables = Tables("lockgate")
    database.run(creation_sql(tables, schema_exists=False))
    database.run("UPDATE lockgate.migration_lock SET token = 7, owner = 'run'")
    for schema_exists in (False, True):
        database.run(creation_sql(tables, schema_exists=schema_exists))
    assert [[7, "run"]] == database.run("SELECT token, owner FROM lockgate.migration_lock")


def test_tables_of_an_earlier_build_get_the_columns_that_they_lack(project: Project) -> None:
    """A run adds missing columns, and a status works without them."""
    project.write({"1_account.sql": TABLE})
    project.run()
    for table, name, _ in ADDED_COLUMNS:
        project.database.run(f"ALTER TABLE lockgate.{table} DROP COLUMN {name}")
    assert Status.UP_TO_DATE == project.run(Action.STATUS).status
    project.write({"2_more.sql": "SELECT 1;"})
    assert Status.APPLIED == project.run().status
    found = project.database.run(
        "SELECT c.relname, a.attname FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid"
        " WHERE c.relnamespace = 'lockgate'::regnamespace AND NOT a.attisdropped"
    )
    assert {(table, name) for table, name, _ in ADDED_COLUMNS} <= {tuple(row) for row in found}


def test_tables_in_use_get_their_columns_once_they_are_free(project: Project) -> None:
    """A missing column is added after the other session's transaction ends."""
    project.write({"1_account.sql": TABLE})
    project.run()
    project.database.run("ALTER TABLE lockgate.migration_history DROP COLUMN session_digest")
    project.write({"2_more.sql": "SELECT 1;"})
    reader = project.database.connect()
    reader.run("BEGIN")
    reader.run("SELECT FROM lockgate.migration_history")
    # Longer than one attempt waits for the lock.
    release = threading.Timer(OWN_LOCK_TIMEOUT_MS / 1000 + 1, lambda: reader.run("COMMIT"))
    release.start()
    report = project.run()
    release.join()
    reader.close()
    assert Status.APPLIED == report.status, report.error


@pytest.mark.parametrize("action", [Action.UP, Action.STATUS, Action.PLAN, Action.VALIDATE])
def test_newer_layout_is_refused_untouched(project: Project, action: Action) -> None:
    """Tables with a newer layout are neither read nor written."""
    project.write({"1_account.sql": TABLE})
    project.run()
    project.write({"2_more.sql": "SELECT 1;"})
    newer = LAYOUT_VERSION + 1
    project.database.run(f"UPDATE lockgate.migration_lock SET layout_version = {newer}")
    before = project.database.run("TABLE lockgate.migration_run")
    report = project.run(action)
    assert Status.REFUSED == report.status
    assert (
        "history-unusable",
        (
            f"The tables in schema lockgate have layout {newer}; this package knows up to"
            f" {LAYOUT_VERSION}. Nothing was changed."
        ),
    ) == read_error(report)
    assert before == project.database.run("TABLE lockgate.migration_run")


def test_tables_of_somebody_else_are_refused_untouched(project: Project) -> None:
    """Tables of another tool with the same names are recognised and left unchanged."""
    project.write({"1_account.sql": TABLE})
    project.database.run(
        "CREATE SCHEMA lockgate;"
        " CREATE TABLE lockgate.migration_history AS SELECT 1 AS id;"
        " CREATE TABLE lockgate.migration_run AS SELECT 2 AS id;"
        " CREATE TABLE lockgate.migration_lock AS SELECT 3 AS id;"
    )
    before = project.database.dump(without=())
    code, message = read_error(project.run())
    assert "history-unusable" == code
    assert message.startswith("The tables in schema lockgate do not belong to Lockgate: column ")
    assert message.endswith("Nothing was changed.")
    assert before == project.database.dump(without=())


@pytest.mark.parametrize("name", OURS)
def test_one_table_of_somebody_else_is_refused(project: Project, name: str) -> None:
    """A single foreign table is enough for a refusal, and no migration is run."""
    project.write({"1_account.sql": TABLE})
    project.database.run(f"CREATE SCHEMA lockgate; CREATE TABLE lockgate.{name} AS SELECT 1 AS id")
    report = project.run()
    assert Status.REFUSED == report.status
    assert [[1]] == project.database.run(f"SELECT id FROM lockgate.{name}")
    assert [[None]] == project.database.run("SELECT to_regclass('public.account')")


@pytest.mark.parametrize("name", ["migration_history", "migration_run"])
def test_refusal_of_one_foreign_table_is_true(project: Project, name: str) -> None:
    """If the refusal says that nothing was changed, the database is unchanged."""
    project.write({"1_account.sql": TABLE})
    project.database.run(f"CREATE SCHEMA lockgate; CREATE TABLE lockgate.{name} AS SELECT 1 AS id")
    before = project.database.dump(without=())
    _, message = read_error(project.run())
    assert message.endswith("No migration was run.")
    assert before == project.database.dump(without=())


def test_history_is_readable_only_by_its_owner(project: Project, stranger: str) -> None:
    """Schema and tables are revoked from PUBLIC, whatever the default privileges are."""
    project.database.run(
        "ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO PUBLIC;"
        "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC"
    )
    project.write({"1_account.sql": TABLE})
    assert Status.APPLIED == project.run().status
    rights = project.database.run(
        f"SELECT has_schema_privilege('{stranger}', 'lockgate', 'USAGE')"
        f" OR has_schema_privilege('{stranger}', 'lockgate', 'CREATE')"
    )
    assert [[False]] == rights
    for table in OURS:
        for right in ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE"):
            assert [[False]] == project.database.run(
                f"SELECT has_table_privilege('{stranger}', 'lockgate.{table}', '{right}')"
            ), f"{right} on {table}"


def test_role_without_rights_is_refused_readably(project: Project, stranger: str) -> None:
    """A role without access to the history is told so and sees nothing of it."""
    project.write({"1_account.sql": TABLE})
    project.run()
    database = project.database
    report = project.run(
        LOCKGATE_DATABASE_URL=(
            f"postgresql://{stranger}:x@{database.host}:{database.port}/{database.name}"
        )
    )
    assert Status.REFUSED == report.status
    assert (
        TargetUnsuitable.code,
        (
            "The role may not use the tables in schema lockgate: permission denied for schema lockgate."
            " Nothing was changed."
        ),
    ) == read_error(report)


@pytest.mark.parametrize(
    "schema", ["Select", "user", "_", "a$1", "LOCKGATE", "lockgate2", "public", "x" * 63]
)
def test_schema_of_any_legal_name_works(project: Project, schema: str) -> None:
    """Key words, capitals, dollar signs and the longest name work: every statement quotes the schema."""
    project.settings["LOCKGATE_SCHEMA"] = schema
    project.write({"1_account.sql": TABLE})
    assert Status.APPLIED == project.run().status
    assert set(OURS) <= set(list_tables(project.database, schema))
    assert Status.UP_TO_DATE == project.run().status
    project.write({"2_more.sql": "SELECT 1;", "3_bad.sql": "SELECT nothing;"})
    assert Status.FAILED == project.run().status
    project.write({"3_bad.sql": "SELECT 3;"})
    assert Status.APPLIED == project.run().status
    assert [] == list_tables(project.database)


def test_two_schemas_are_two_histories(project: Project) -> None:
    """Each schema has its own rows and lock, and neither knows what the other one applied."""
    project.write({"1_once.sql": "CREATE TABLE IF NOT EXISTS t (a int); INSERT INTO t VALUES (1);"})
    for schema in ("one", "two", "one"):
        project.run(LOCKGATE_SCHEMA=schema)
    assert [[2]] == project.database.run("SELECT count(*) FROM t")


def test_our_tables_make_no_database_used(project: Project) -> None:
    """A database that contains only Lockgate's empty tables counts as fresh."""
    project.database.run(creation_sql(Tables("lockgate"), schema_exists=False))
    project.write({"1_account.sql": TABLE, "2_more.sql": "SELECT 1;"})
    assert [("1", "2")] == [segment.migrations for segment in project.run().segments]


@pytest.mark.parametrize(("catalog", "segments"), [("pg_class", 1), ("pg_type", 2)])
def test_only_a_table_of_an_extension_makes_no_database_used(
    project: Project, catalog: str, segments: int
) -> None:
    """Only a pg_class dependency makes a table an extension's; another catalog may reuse its oid."""
    project.database.run(
        "SET allow_system_table_mods = on; CREATE TABLE other (a int);"
        " INSERT INTO pg_depend (classid, objid, objsubid, refclassid, refobjid, refobjsubid, deptype)"
        f" SELECT '{catalog}'::regclass, 'other'::regclass, 0, 'pg_extension'::regclass, oid, 0, 'e'"
        " FROM pg_extension WHERE extname = 'plpgsql'"
    )
    project.write({"1_account.sql": TABLE, "2_more.sql": "SELECT 1;"})
    assert segments == len(project.run().segments)


# The status view.

SEEN = (
    "version, name, kind, state, run_id IS NOT NULL, applied_at IS NOT NULL, duration_ms >= 0,"
    " caller, requested_by, database_user, package_version IS NOT NULL"
)


@pytest.mark.parametrize("schema", ["lockgate", "Select", "public"])
def test_view_alone_shows_a_role_the_applied_migrations(
    project: Project, stranger: str, schema: str
) -> None:
    """A role that was granted the view can read it, and none of Lockgate's tables."""
    project.settings["LOCKGATE_SCHEMA"] = schema
    project.write({"1_account.sql": TABLE, "R__v.sql": "CREATE OR REPLACE VIEW v AS SELECT 1;"})
    project.do(Action.UP, requested_by="ada")
    project.database.run(
        f'GRANT USAGE ON SCHEMA "{schema}" TO {stranger};'
        f'GRANT SELECT ON "{schema}".status TO {stranger}'
    )
    opened = project.database.connect(user=stranger, password="x")
    who = ["test", "ada", project.database.user, True]
    assert [
        ["1", "account", "versioned", "applied", True, True, True, *who],
        [None, "v", "repeatable", "applied", True, True, True, *who],
    ] == opened.run(f'SELECT {SEEN} FROM "{schema}".status ORDER BY version')
    for table in OURS:
        with pytest.raises(pg8000.exceptions.DatabaseError, match="permission denied"):
            opened.run(f'SELECT 1 FROM "{schema}".{table}')
    with pytest.raises(pg8000.exceptions.DatabaseError, match="cannot delete from view"):
        opened.run(f'DELETE FROM "{schema}".status')


def test_view_is_revoked_from_public(project: Project, stranger: str) -> None:
    """Only roles with a grant can read the view, whatever the default privileges are."""
    project.database.run("ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC")
    project.write({"1_account.sql": TABLE})
    project.run()
    assert [[False]] == project.database.run(
        f"SELECT has_table_privilege('{stranger}', 'lockgate.status', 'SELECT')"
    )


@pytest.mark.parametrize(
    "theirs", ["TABLE status (a integer)", "VIEW status AS SELECT 1 AS a", "SEQUENCE status"]
)
def test_relation_of_somebody_elses_by_the_name_of_the_view_stays(
    project: Project, theirs: str
) -> None:
    """In a shared schema, an existing relation named status is left unchanged."""
    project.settings["LOCKGATE_SCHEMA"] = "public"
    project.database.run(f"CREATE {theirs}; GRANT SELECT ON status TO PUBLIC")
    before = project.database.run(RIGHTS)
    project.write({"1_account.sql": TABLE})
    assert Status.APPLIED == project.run().status
    assert before == project.database.run(RIGHTS)


RIGHTS = "SELECT relkind, relacl::text FROM pg_class WHERE oid = 'public.status'::regclass"


def test_schema_that_was_there_before_keeps_its_rights(project: Project, stranger: str) -> None:
    """Other users of the schema public keep their access to it."""
    project.settings["LOCKGATE_SCHEMA"] = "public"
    project.write({"1_account.sql": TABLE})
    project.run()
    assert [[True, False]] == project.database.run(
        f"SELECT has_schema_privilege('{stranger}', 'public', 'USAGE'),"
        f" has_table_privilege('{stranger}', 'migration_history', 'SELECT')"
    )
