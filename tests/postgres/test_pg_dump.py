"""The output of pg_dump is a migration, that of --schema=public after the edit that the docs name."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from lockgate.report.report import Status

if TYPE_CHECKING:
    from tests.conftest import MakeDatabase
    from tests.support.database import Database
    from tests.support.project import Project

TABLES = """
CREATE SCHEMA app;
CREATE TYPE app.mood AS ENUM ('ok', 'so; so');
CREATE TABLE account (id serial PRIMARY KEY, note text DEFAULT E'a\\n;b', mood app.mood);
CREATE FUNCTION one() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END $$;
CREATE VIEW notes AS SELECT note FROM account;
INSERT INTO account (note, mood) VALUES ('x', 'ok'), (E'tab\\tand \\\\.', 'so; so');
"""
CREATE_PUBLIC = "CREATE SCHEMA public;\n"


def run_pg_dump(database: Database, *options: str) -> str:
    """Return the output of pg_dump."""
    server = database.server
    if server.pg_dump is None:
        pytest.skip("there is no pg_dump")
    done = subprocess.run(
        [server.pg_dump, *options],
        env=server.client_environment(database.name),
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


@pytest.fixture
def source(make_database: MakeDatabase) -> Database:
    """Give a database with schema and rows."""
    database = make_database()
    database.run(TABLES)
    return database


def test_dump_is_applied_as_it_is(project: Project, source: Database) -> None:
    """The schema and the rows are those of the database that was dumped."""
    project.write({"1_dump.sql": run_pg_dump(source)})
    report = project.run()
    assert (Status.APPLIED, None) == (report.status, report.error)
    assert source.dump() == project.database.dump()
    rows = "SELECT * FROM public.account ORDER BY id"
    assert source.run(rows) == project.database.run(rows)


def test_dump_of_schema_public_needs_the_edit_that_the_docs_name(
    project: Project, source: Database
) -> None:
    """Its CREATE SCHEMA public fails with 42P06, as in psql; without that statement it is applied."""
    source.run("ALTER TABLE account DROP COLUMN mood; DROP SCHEMA app CASCADE")
    text = run_pg_dump(source, "--schema=public")
    project.write({"1_dump.sql": text})
    report = project.run()
    assert report.error is not None
    line = text[: text.index(CREATE_PUBLIC)].count("\n") + 1
    assert ("42P06", line) == (report.error.sqlstate, report.error.line)
    project.write({"1_dump.sql": text.replace(CREATE_PUBLIC, "")})
    report = project.run()
    assert (Status.APPLIED, None) == (report.status, report.error)
    assert source.dump() == project.database.dump()
