"""Databases and partitions after an interruption: identified by their oid, not by their name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.database import open_connection

from lockgate.report.report import Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.project import Project

ABSENT = "jsonb_build_object('oid', NULL, 'table', NULL, 'indexes', '[]'::jsonb)"
PRESENT = "jsonb_build_object('oid', {oid}, 'table', NULL, 'indexes', '[]'::jsonb)"


@pytest.fixture
def name(project: Project) -> Iterator[str]:
    """Return the name of a database that is dropped at the end."""
    name = f"{project.database.name}_other"
    yield name
    project.database.run(f'DROP DATABASE IF EXISTS "{name}"')


def begin(project: Project, statement: str, facts: str | None) -> None:
    """Leave a migration as a killed run does: statement begun, with these facts recorded."""
    project.write({"1_t.sql": "CREATE TABLE t ();"})
    project.run()
    project.write({"2_next.sql": statement})
    project.database.run(
        "INSERT INTO lockgate.migration_history (migration_id, version, name, kind, up_checksum,"
        " language, state, statements_done, statements_total, attempting, attempt_facts, applied_at,"
        " duration_ms, run_id, token, database_user, package_version)"
        " SELECT '2', '2', 'next', kind, 'sha256:0', language, 'partial', 0, 1, 1,"
        f" {facts or 'NULL'}, now(), 0, 'killed0000000000', token, database_user, package_version"
        " FROM lockgate.migration_history WHERE migration_id = '1'"
    )


def count(project: Project, name: str) -> int:
    """Return the number of databases with this name."""
    rows = project.database.run("SELECT count(*) FROM pg_database WHERE datname = :name", name=name)
    return int(rows[0][0])


def make(project: Project, name: str) -> int:
    """Create a database and return its oid."""
    project.database.run(f'CREATE DATABASE "{name}"')
    sql = "SELECT oid::bigint FROM pg_database WHERE datname = :name"
    return int(project.database.run(sql, name=name)[0][0])


def assert_unknown(project: Project) -> None:
    """Require that the next run is refused with outcome-unknown."""
    report = project.run()
    assert report.error is not None
    assert "outcome-unknown" == report.error.code


def test_database_that_was_made_meanwhile_is_done(project: Project, name: str) -> None:
    """A database that did not exist before, exists now and has the right owner counts as created."""
    begin(project, f'CREATE DATABASE "{name}";', ABSENT)
    make(project, name)
    assert Status.APPLIED == project.run().status


def test_database_that_was_not_made_is_made(project: Project, name: str) -> None:
    """If no database has that name, the statement did nothing and is run."""
    begin(project, f'CREATE DATABASE "{name}";', ABSENT)
    assert Status.APPLIED == project.run().status
    assert 1 == count(project, name)


@pytest.mark.parametrize("facts", [None, PRESENT.format(oid=1)])
def test_database_of_that_name_alone_is_not_called_made(
    project: Project, name: str, facts: str | None
) -> None:
    """Without a matching record, an existing database does not prove that the statement created it."""
    begin(project, f'CREATE DATABASE "{name}";', facts)
    make(project, name)
    assert_unknown(project)


def test_database_of_another_owner_does_not_count_as_created(project: Project, name: str) -> None:
    """A database with another owner than the statement's does not count as created."""
    begin(project, f'CREATE DATABASE "{name}" OWNER pg_monitor;', ABSENT)
    make(project, name)
    assert_unknown(project)


def test_database_that_stood_there_before_is_not_called_made(project: Project, name: str) -> None:
    """If the database existed before, the statement fails again with the server's error."""
    oid = make(project, name)
    begin(project, f'CREATE DATABASE "{name}";', PRESENT.format(oid=oid))
    report = project.run()
    assert report.error is not None
    assert "42P04" == report.error.sqlstate


def test_database_that_was_dropped_is_not_dropped_again(project: Project, name: str) -> None:
    """If the recorded database is gone, the drop is done, and a new one with its name is left alone."""
    oid = make(project, name)
    project.database.run(f'DROP DATABASE "{name}"')
    begin(project, f'DROP DATABASE "{name}";', PRESENT.format(oid=oid))
    make(project, name)
    assert Status.APPLIED == project.run().status
    assert 1 == count(project, name)


def test_database_that_was_not_dropped_is_dropped(project: Project, name: str) -> None:
    """If the recorded database still has its name, it is dropped."""
    oid = make(project, name)
    begin(project, f'DROP DATABASE "{name}";', PRESENT.format(oid=oid))
    assert Status.APPLIED == project.run().status
    assert 0 == count(project, name)


@pytest.mark.parametrize("facts", [None, ABSENT])
def test_database_of_which_nothing_was_recorded_is_left_alone(
    project: Project, name: str, facts: str | None
) -> None:
    """Without a recorded oid, a missing database is not done and an existing one is not dropped."""
    begin(project, f'DROP DATABASE IF EXISTS "{name}";', facts)
    if facts is not None:
        make(project, name)
    assert_unknown(project)
    assert (facts is not None) is bool(count(project, name))


def test_facts_are_recorded_before_the_statement(project: Project, name: str) -> None:
    """A failing drop has its facts recorded beforehand and its intent withdrawn afterwards."""
    oid = make(project, name)
    project.write({"1_drop.sql": f'DROP DATABASE "{name}";'})
    other = open_connection(project.database.server, name)
    project.database.run(
        "CREATE TABLE seen (facts jsonb); CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO public.seen VALUES (NEW.attempt_facts); RETURN NEW; END $$"
    )
    project.run()  # Creates the tables; the drop fails because another session is connected.
    project.database.run(
        "CREATE TRIGGER note AFTER INSERT OR UPDATE ON lockgate.migration_history"
        " FOR EACH ROW EXECUTE FUNCTION note()"
    )
    report = project.run()
    other.close()
    assert report.error is not None
    assert "55006" == report.error.sqlstate
    assert [[oid]] == project.database.run("SELECT DISTINCT (facts ->> 'oid')::bigint FROM seen")
    assert [[0]] == project.database.run("SELECT count(*) FROM lockgate.migration_history")
