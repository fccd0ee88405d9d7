"""Read goose's table as a history."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tests.support.tables import find_table, make_ask

from lockgate.formats.goose import table as goose
from lockgate.formats.tool import ForeignHistory, ForeignRow

if TYPE_CHECKING:
    from tests.support.database import Database

SETUP = """
CREATE TABLE goose_db_version (
    id serial PRIMARY KEY,
    version_id bigint NOT NULL,
    is_applied boolean NOT NULL,
    tstamp timestamp NULL DEFAULT '2024-01-02 03:04:05'
);
INSERT INTO goose_db_version (version_id, is_applied)
VALUES (0, true), (1, true), (3, true), (2, true), (1, false), (3, false), (3, true)
"""


def test_last_row_of_a_version_counts(database: Database) -> None:
    """Version 1 was undone, 3 was applied again after 2, and 0 is not a migration."""
    database.run(SETUP)
    ask = make_ask(database, setup="SET TIME ZONE 'UTC'")
    table = find_table(goose.SHAPE, ask)
    assert table is not None
    at = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
    rows = (ForeignRow("2", applied_at=at), ForeignRow("3", applied_at=at))
    assert ForeignHistory("public.goose_db_version", rows) == goose.read_table(ask, table)


def test_table_of_other_columns_is_not_gooses(database: Database) -> None:
    """A table with that name but other columns is not used."""
    database.run("CREATE TABLE goose_db_version (version_id bigint)")
    assert find_table(goose.SHAPE, make_ask(database)) is None
