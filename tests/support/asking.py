"""A function through which a history reader queries a test's database."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.database import Database

    from lockgate.formats.tool import Ask


def make_ask(database: Database) -> Ask:
    """Return a function that queries this database."""
    return lambda sql: [tuple(row) for row in database.run(sql)]
