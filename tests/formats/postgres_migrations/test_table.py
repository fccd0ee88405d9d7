"""Read postgres-migrations' table as a history with checksums."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tests.support.tables import find_table, make_ask

from lockgate.core.request import Action
from lockgate.formats.postgres_migrations import table as postgres_migrations
from lockgate.formats.tool import ForeignHistory, ForeignRow
from lockgate.report.report import Status

if TYPE_CHECKING:
    from tests.support.database import Database
    from tests.support.project import Project

CREATE = """
CREATE TABLE migrations (
    id integer PRIMARY KEY,
    name varchar(100) UNIQUE NOT NULL,
    hash varchar(40) NOT NULL,
    executed_at timestamp DEFAULT current_timestamp
);
SET timezone = 'UTC';
INSERT INTO migrations VALUES (0, 'create-migrations-table', 'x', '2024-01-01 00:00:00');
"""


def insert(number: int, name: str, digest: str) -> str:
    """Return the statement that inserts a row as postgres-migrations does."""
    return (
        "INSERT INTO migrations (id, name, hash, executed_at)"
        f" VALUES ({number}, '{name}', '{digest}', '2024-01-02 03:04:05');"
    )


def digest_of(name: str, text: str) -> str:
    """Return postgres-migrations' checksum of a file."""
    return hashlib.sha1(f"{name}{text}".encode(), usedforsecurity=False).hexdigest()


def test_rows_have_their_checksum_and_the_tools_own_is_left_out(database: Database) -> None:
    """Row 0, which postgres-migrations writes for its own table, is left out."""
    database.run(CREATE + insert(1, "a", "0aff"))
    ask = make_ask(database)
    assert "public.migrations" == find_table(postgres_migrations.SHAPE, ask)
    at = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
    expected = ForeignHistory("public.migrations", (ForeignRow("1", "a", at, "0aff"),))
    assert expected == postgres_migrations.read_table(ask, "public.migrations")


def test_table_of_laravel_is_not_taken_for_it(database: Database) -> None:
    """Laravel's table has the same name and is not used."""
    database.run("CREATE TABLE migrations (id serial, migration text, batch int)")
    assert None is find_table(postgres_migrations.SHAPE, make_ask(database))


def test_adoption_goes_on_where_the_tool_stopped(project: Project) -> None:
    """Unchanged applied files are recorded, and the next one is run."""
    project.settings["LOCKGATE_FORMAT"] = "auto"
    files = {"0001-a.sql": "CREATE TABLE a ();", "0002-b.sql": "CREATE TABLE b ();"}
    project.write(files)
    project.database.run(
        f"{CREATE}CREATE TABLE a (); {insert(1, 'a', digest_of('0001-a.sql', files['0001-a.sql']))}"
    )
    report = project.do(
        Action.ADOPT, source="postgres-migrations", reason="we move", requested_by="test"
    )
    assert report.error is None, report.error
    assert ["0001"] == [entry.version for entry in report.recorded]
    assert ["0002"] == [entry.version for entry in project.run().applied]
    assert Status.UP_TO_DATE == project.run().status


def test_adoption_notices_a_file_that_was_edited_or_renamed(project: Project) -> None:
    """The checksum covers name and text."""
    project.settings["LOCKGATE_FORMAT"] = "postgres-migrations"
    project.write({"1-a.sql": "SELECT 1;", "2-b.sql": "SELECT 2;"})
    renamed = digest_of("2-c.sql", "SELECT 2;")
    project.database.run(
        CREATE + insert(1, "a", digest_of("1-a.sql", "SELECT 1;")) + insert(2, "c", renamed)
    )
    report = project.do(
        Action.ADOPT, source="postgres-migrations", reason="we move", requested_by="test"
    )
    assert report.error is not None
    assert "2 b" in report.error.message
    assert "1 a" not in report.error.message
