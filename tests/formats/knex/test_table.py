"""Read Knex's tables: names, suffixes, the lock and adoption."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.asking import make_ask
from tests.support.tables import find_table

from lockgate.core.request import Action
from lockgate.formats.knex import table as knex
from lockgate.report.report import Status

if TYPE_CHECKING:
    from tests.support.database import Database
    from tests.support.project import Project

# As created by Knex.
TABLES = """
CREATE TABLE {name} (
    id serial PRIMARY KEY, name varchar(255), batch integer, migration_time timestamptz
);
CREATE TABLE {lock} (index serial PRIMARY KEY, is_locked integer);
INSERT INTO {lock} (is_locked) VALUES (0)"""
ROWS = "INSERT INTO {name} (name, batch, migration_time) VALUES {rows}"


def make_tables(
    database: Database, *rows: tuple[str, int], name: str = "knex_migrations", lock: str = ""
) -> None:
    """Create both tables with rows of name and batch."""
    database.run(TABLES.format(name=name, lock=lock or f"{name}_lock"))
    if rows:
        listed = ", ".join(f"('{n}', {batch}, '2024-05-06 07:08:09+00')" for n, batch in rows)
        database.run(ROWS.format(name=name, rows=listed))


def test_table_is_found_under_the_name_that_the_settings_gave_it(database: Database) -> None:
    """The table is found by its columns."""
    assert find_table(knex.SHAPE, make_ask(database)) is None
    make_tables(database, name='"My log"', lock='"My log_lock"')
    table = find_table(knex.SHAPE, make_ask(database))
    assert table == 'public."My log"'
    assert knex.read_table(make_ask(database), table).problem is None


@pytest.mark.parametrize(
    "name", ["1_a", "1_a.js", "1_a.ts", "1_a.mjs", "1_a.sql", "1_a.up.sql", "1_a.up"]
)
def test_suffix_is_no_part_of_the_name(database: Database, name: str) -> None:
    """The suffix of a recorded file name is not part of the version."""
    make_tables(database, (name, 1))
    history = knex.read_table(make_ask(database), "knex_migrations")
    (row,) = history.rows
    assert row.applied_at is not None
    assert (row.version, row.applied_at.isoformat()) == ("1_a", "2024-05-06T07:08:09+00:00")


def test_rows_come_in_the_order_of_application(database: Database) -> None:
    """Rows are ordered by batch, and a version appears once."""
    make_tables(database, ("2_b.sql", 2), ("1_a.js", 1), ("1_a.sql", 2), ("3_c.sql", 3))
    history = knex.read_table(make_ask(database), "knex_migrations")
    assert [row.version for row in history.rows] == ["1_a", "2_b", "3_c"]


def test_lock_is_a_problem(database: Database) -> None:
    """A held lock is reported, because Knex may still be migrating."""
    make_tables(database, ("1_a.js", 1))
    database.run("UPDATE knex_migrations_lock SET is_locked = 1")
    expected = (
        "a run of Knex holds the lock in public.knex_migrations_lock. If none is running, release it:"
        " knex migrate:unlock."
    )
    assert knex.read_table(make_ask(database), "public.knex_migrations").problem == expected


def test_missing_lock_table_is_none(database: Database) -> None:
    """A missing lock table is not a problem, because Knex creates it on demand."""
    make_tables(database, ("1_a.js", 1))
    database.run("DROP TABLE knex_migrations_lock")
    assert knex.read_table(make_ask(database), "public.knex_migrations").problem is None


def test_adopted_history_is_continued(project: Project) -> None:
    """A migration that Knex applied is not run again."""
    project.settings["LOCKGATE_FORMAT"] = "knex"
    project.write({"1_a.sql": "CREATE TABLE one ();\n", "2_b.sql": "CREATE TABLE two ();\n"})
    project.database.run("CREATE TABLE one ()")
    make_tables(project.database, ("1_a.sql", 1))
    report = project.do(Action.ADOPT, source="knex", reason="we move")
    assert report.status is Status.APPLIED
    assert project.run().status is Status.APPLIED
    assert project.history() == [("1_a", "applied"), ("2_b", "applied")]


def test_programs_that_knex_has_run_are_adopted(project: Project) -> None:
    """Programs that Knex applied are adopted, and a pending one is refused by name."""
    project.settings["LOCKGATE_FORMAT"] = "knex"
    program = "exports.up = (knex) => knex.schema.createTable('one', () => {});\n"
    project.write({"1_a.js": program, "2_b.sql": "CREATE TABLE two ();\n"})
    refused = project.run()
    assert refused.error is not None
    assert refused.error.file == "1_a.js"
    make_tables(project.database, ("1_a.js", 1))
    report = project.do(Action.ADOPT, source="knex", reason="we move")
    assert report.status is Status.APPLIED
    assert project.run().status is Status.APPLIED
    assert project.history() == [("1_a", "applied"), ("2_b", "applied")]
