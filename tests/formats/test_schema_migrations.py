"""Distinguish the three tools whose table is called schema_migrations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.tables import find_table, make_ask

from lockgate.formats.dbmate import table as dbmate
from lockgate.formats.golang_migrate import table as golang_migrate
from lockgate.formats.rails import table as rails

if TYPE_CHECKING:
    from tests.support.database import Database

DBMATE = "CREATE TABLE {}schema_migrations (version varchar(255) PRIMARY KEY);"
GOLANG = "CREATE TABLE {}schema_migrations (version bigint PRIMARY KEY, dirty boolean NOT NULL);"
RAILS = (
    "CREATE TABLE {0}schema_migrations (version varchar NOT NULL PRIMARY KEY);"
    "CREATE TABLE {0}ar_internal_metadata (key varchar, value varchar);"
)
PUBLIC = "public.schema_migrations"


@pytest.mark.parametrize(
    ("setup", "expected"),
    [
        (DBMATE.format(""), (PUBLIC, None, None)),
        (GOLANG.format(""), (None, PUBLIC, None)),
        (RAILS.format(""), (None, None, PUBLIC)),
        ("CREATE TABLE schema_migrations (id int, version text);", (None, None, None)),
        ("CREATE VIEW schema_migrations AS SELECT 'x'::text AS version;", (None, None, None)),
        ("", (None, None, None)),
    ],
)
def test_table_is_told_by_its_columns_and_neighbours(
    database: Database, setup: str, expected: tuple[str | None, ...]
) -> None:
    """Columns and related tables identify the tool, and no other one claims the table."""
    database.run(setup or "SELECT 1")
    ask = make_ask(database)
    assert expected == tuple(
        find_table(tool.SHAPE, ask) for tool in (dbmate, golang_migrate, rails)
    )


ONE, TWO = 'CREATE SCHEMA "One";', "CREATE SCHEMA two;"


@pytest.mark.parametrize(
    ("path", "setup", "expected"),
    [
        ("public", ONE + DBMATE.format('"One".'), '"One".schema_migrations'),
        ("two, public", TWO + DBMATE.format("two.") + DBMATE.format(""), None),
        ("public", ONE + TWO + DBMATE.format('"One".') + DBMATE.format("two."), None),
        ("public", TWO + DBMATE.format("two.") + GOLANG.format(""), "two.schema_migrations"),
    ],
)
def test_table_is_found_where_it_is_alone(
    database: Database, path: str, setup: str, expected: str | None
) -> None:
    """The table is found in any schema; if there are several, none is chosen."""
    database.run(setup)
    ask = make_ask(database, setup=f"SET search_path TO {path}")
    assert expected == find_table(dbmate.SHAPE, ask)
