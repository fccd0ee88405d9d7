"""Read Rails' table as a history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.tables import find_table, make_ask

from lockgate.formats.rails import table as rails
from lockgate.formats.tool import ForeignHistory, ForeignRow

if TYPE_CHECKING:
    from tests.support.database import Database


def test_versions_are_read_in_rails_order(database: Database) -> None:
    """Versions are text but sorted as numbers."""
    database.run(
        "CREATE TABLE ar_internal_metadata (key varchar);"
        "CREATE TABLE schema_migrations (version varchar PRIMARY KEY);"
        "INSERT INTO schema_migrations VALUES ('20240101000000'), ('9'), ('10')"
    )
    ask = make_ask(database)
    table = find_table(rails.SHAPE, ask)
    assert table is not None
    rows = (ForeignRow("9"), ForeignRow("10"), ForeignRow("20240101000000"))
    assert ForeignHistory("public.schema_migrations", rows) == rails.read_table(ask, table)
