"""Read node-pg-migrate's table as a history, and adopt it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.asking import make_ask
from tests.support.tables import find_table

from lockgate.core.request import Action
from lockgate.formats.node_pg_migrate import table as node_pg_migrate
from lockgate.formats.tool import ForeignRow
from lockgate.report.report import Status

if TYPE_CHECKING:
    from tests.support.database import Database
    from tests.support.project import Project

# As created by node-pg-migrate.
TABLE = (
    "CREATE TABLE {schema}.pgmigrations"
    " (id serial PRIMARY KEY, name varchar(255) NOT NULL, run_on timestamp NOT NULL)"
)


def test_table_is_found_in_the_only_schema_that_has_it(database: Database) -> None:
    """The table is found in any schema."""
    assert find_table(node_pg_migrate.SHAPE, make_ask(database)) is None
    database.run("CREATE SCHEMA app")
    database.run(TABLE.format(schema="app"))
    assert find_table(node_pg_migrate.SHAPE, make_ask(database)) == "app.pgmigrations"


def test_rows_come_in_the_order_of_application(database: Database) -> None:
    """Rows are in order of application, and the suffix of an up file is not part of the version."""
    database.run(TABLE.format(schema="public"))
    database.run(
        "INSERT INTO pgmigrations (name, run_on) VALUES"
        " ('3_c', '2024-01-03'), ('1_a.up', '2024-01-01'), ('2_b', '2024-01-01')"
    )
    history = node_pg_migrate.read_table(make_ask(database), "public.pgmigrations")
    assert [row.version for row in history.rows] == ["1_a", "2_b", "3_c"]
    first = history.rows[0]
    assert first == ForeignRow("1_a", applied_at=first.applied_at)
    assert first.applied_at is not None
    assert first.applied_at.tzinfo is not None


def test_adopted_history_is_continued(project: Project) -> None:
    """A migration that node-pg-migrate applied is not run again and can be undone."""
    project.settings["LOCKGATE_FORMAT"] = "node-pg-migrate"
    text = "-- Up Migration\nCREATE TABLE {0} ();\n-- Down Migration\nDROP TABLE {0};\n"
    project.write({"1_a.sql": text.format("one"), "2_b.sql": text.format("two")})
    project.database.run("CREATE TABLE one ()")
    project.database.run(TABLE.format(schema="public"))
    project.database.run("INSERT INTO pgmigrations (name, run_on) VALUES ('1_a', now())")
    report = project.do(Action.ADOPT, source="node-pg-migrate", reason="we move")
    assert report.status is Status.APPLIED
    assert project.run().status is Status.APPLIED
    assert project.history() == [("1_a", "applied"), ("2_b", "applied")]
    assert project.do(Action.DOWN, steps=2, reason="proof").status is Status.ROLLED_BACK
    assert project.history() == []
