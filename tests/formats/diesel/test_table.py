"""Read Diesel's table as a history."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tests.support.tables import find_table, make_ask

from lockgate.formats.diesel import table as diesel
from lockgate.formats.tool import ForeignHistory, ForeignRow

if TYPE_CHECKING:
    from tests.support.database import Database

SETUP = """
CREATE TABLE __diesel_schema_migrations (
    version varchar(50) PRIMARY KEY NOT NULL,
    run_on timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP
);
INSERT INTO __diesel_schema_migrations
VALUES ('20240101000000', '2024-01-02 00:00:01'), ('00000000000000', '2024-01-02 00:00:00')
"""


def test_versions_are_read_in_the_order_of_application(database: Database) -> None:
    """Times without a zone are read in the time zone of the session."""
    database.run(SETUP)
    ask = make_ask(database, setup="SET TIME ZONE 'UTC'")
    table = find_table(diesel.SHAPE, ask)
    assert table is not None
    rows = (
        ForeignRow("00000000000000", applied_at=datetime(2024, 1, 2, tzinfo=UTC)),
        ForeignRow("20240101000000", applied_at=datetime(2024, 1, 2, 0, 0, 1, tzinfo=UTC)),
    )
    expected = ForeignHistory("public.__diesel_schema_migrations", rows)
    assert expected == diesel.read_table(ask, table)
