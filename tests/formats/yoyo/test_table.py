"""Read yoyo's tables as a history."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tests.support.tables import find_table, make_ask

from lockgate.formats.tool import ForeignHistory, ForeignRow, ForeignState
from lockgate.formats.yoyo import table as yoyo

if TYPE_CHECKING:
    from tests.support.database import Database

SETUP = """
CREATE TABLE _yoyo_migration (
    migration_hash varchar(64) PRIMARY KEY,
    migration_id varchar(255),
    applied_at_utc timestamp
);
INSERT INTO _yoyo_migration
SELECT encode(sha256(id::bytea), 'hex'), id, at::timestamp
  FROM (VALUES ('b', '2024-01-02'), ('a.x', '2024-01-03'), ('__init__', '2024-01-01')) AS v (id, at)
"""
LOCK = (
    "CREATE TABLE yoyo_lock (locked int DEFAULT 1 PRIMARY KEY, ctime timestamp, pid int NOT NULL)"
)


def read(database: Database) -> ForeignHistory:
    """Return the history in the tables."""
    ask = make_ask(database)
    table = find_table(yoyo.SHAPE, ask)
    assert table is not None
    return yoyo.read_table(ask, table)


def test_rows_are_read_in_the_order_of_application(database: Database) -> None:
    """Times are UTC, and the row of __init__ is left out."""
    database.run(f"{SETUP};{LOCK}")
    rows = (
        ForeignRow("b", applied_at=datetime(2024, 1, 2, tzinfo=UTC)),
        ForeignRow("a.x", applied_at=datetime(2024, 1, 3, tzinfo=UTC)),
    )
    assert ForeignHistory("public._yoyo_migration", rows) == read(database)


def test_row_whose_digest_is_of_another_id_is_unknown(database: Database) -> None:
    """A row whose hash does not match its id is unknown, because yoyo identifies it by the hash."""
    database.run(f"{SETUP}; UPDATE _yoyo_migration SET migration_id = 'c' WHERE migration_id = 'b'")
    assert [ForeignState.UNKNOWN, ForeignState.APPLIED] == [r.state for r in read(database).rows]


def test_lock_that_is_held_stands_in_the_way(database: Database) -> None:
    """A held lock is reported with its process and the command that breaks it."""
    database.run(f"{SETUP};{LOCK};INSERT INTO yoyo_lock (pid) VALUES (4711)")
    expected = (
        "yoyo's process 4711 holds its lock (public.yoyo_lock). If it ended: yoyo break-lock."
    )
    assert expected == read(database).problem


def test_database_without_the_table_has_none(database: Database) -> None:
    """Without yoyo's table, no table is found."""
    assert find_table(yoyo.SHAPE, make_ask(database)) is None
