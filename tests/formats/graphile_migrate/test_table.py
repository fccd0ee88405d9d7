"""Read graphile-migrate's table as a history, and adopt it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from tests.support.asking import make_ask
from tests.support.tables import find_table

from lockgate.core.request import Action
from lockgate.formats.graphile_migrate import table as graphile_migrate
from lockgate.report.report import Status

if TYPE_CHECKING:
    from tests.support.database import Database
    from tests.support.project import Project

# As created by graphile-migrate.
TABLE = """
CREATE SCHEMA graphile_migrate;
CREATE TABLE graphile_migrate.migrations (
    hash text PRIMARY KEY, previous_hash text REFERENCES graphile_migrate.migrations,
    filename text NOT NULL, date timestamptz NOT NULL DEFAULT now()
)"""
FIRST = "create table one ();\n"
SECOND = "create table two ();\n"


def hash_of(body: str, previous: str = "") -> str:
    """Return the hash of a body that follows a hash."""
    text = f"{previous}\n{body}".strip() + "\n"
    return "sha1:" + hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def commit(body: str, previous: str = "") -> str:
    """Return a body as a committed file."""
    return f"--! Previous: {previous or '-'}\n--! Hash: {hash_of(body, previous)}\n\n{body}"


def write_row(database: Database, digest: str) -> None:
    """Write the row of the first file."""
    database.run(
        "INSERT INTO graphile_migrate.migrations (hash, filename, date)"
        f" VALUES ('{digest}', '000001.sql', '2024-05-06 07:08:09+00')"
    )


@pytest.fixture
def adopted(project: Project) -> Project:
    """Give a project with two committed files and an empty history table."""
    project.settings["LOCKGATE_FORMAT"] = "graphile-migrate"
    project.write(
        {
            "committed/000001-one.sql": commit(FIRST),
            "committed/000002-two.sql": commit(SECOND, hash_of(FIRST)),
        }
    )
    project.database.run(FIRST)
    project.database.run(TABLE)
    return project


def test_rows_become_what_is_applied(adopted: Project) -> None:
    """The version is the number of the file, and the checksum is graphile-migrate's hash."""
    ask = make_ask(adopted.database)
    write_row(adopted.database, hash_of(FIRST))
    table = find_table(graphile_migrate.SHAPE, ask)
    assert table == "graphile_migrate.migrations"
    (row,) = graphile_migrate.read_table(ask, table).rows
    assert row.applied_at is not None
    found = (row.version, row.checksum, row.applied_at.isoformat())
    assert found == ("000001", hash_of(FIRST), "2024-05-06T07:08:09+00:00")


def test_table_is_not_found_where_there_is_none(database: Database) -> None:
    """A database that graphile-migrate never used has no such table."""
    assert find_table(graphile_migrate.SHAPE, make_ask(database)) is None


def test_adopted_history_is_continued(adopted: Project) -> None:
    """A migration that graphile-migrate applied is not run again."""
    write_row(adopted.database, hash_of(FIRST))
    report = adopted.do(Action.ADOPT, source="graphile-migrate", reason="we move")
    assert report.status is Status.APPLIED
    assert adopted.run().status is Status.APPLIED
    assert adopted.history() == [("000001", "applied"), ("000002", "applied")]


def test_other_hash_is_not_adopted(adopted: Project) -> None:
    """A file whose hash differs from the recorded one is not adopted."""
    write_row(adopted.database, hash_of("create table other ();\n"))
    report = adopted.do(Action.ADOPT, source="graphile-migrate", reason="we move")
    assert report.error is not None
    assert report.error.message == (
        "Files were edited after graphile-migrate applied them, by its own checksums: 000001 one."
        " Nothing was changed."
    )
