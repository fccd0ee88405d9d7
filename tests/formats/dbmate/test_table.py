"""Read dbmate's table as a history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.tables import find_table, make_ask

from lockgate.formats.dbmate import table as dbmate
from lockgate.formats.tool import ForeignHistory, ForeignRow

if TYPE_CHECKING:
    from tests.support.database import Database


def test_versions_are_read_in_dbmates_order(database: Database) -> None:
    """Versions are text and sorted byte by byte."""
    database.run("CREATE TABLE schema_migrations (version varchar PRIMARY KEY)")
    database.run("INSERT INTO schema_migrations VALUES ('9'), ('10')")
    ask = make_ask(database)
    table = find_table(dbmate.SHAPE, ask)
    assert table is not None
    expected = ForeignHistory("public.schema_migrations", (ForeignRow("10"), ForeignRow("9")))
    assert expected == dbmate.read_table(ask, table)
