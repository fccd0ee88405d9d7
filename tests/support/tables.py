"""Queries to a test's database, as the reader of another tool's history sends them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lockgate.formats.foreign_tables import find_tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.database import Database

    from lockgate.formats.tool import Ask, TableShape


def make_ask(database: Database, *, setup: str | None = None) -> Ask:
    """Return a function that sends queries on one connection, after sending ``setup`` on it."""
    connection = database.connect()
    if setup is not None:
        connection.run(setup)

    def ask(sql: str) -> Sequence[tuple[Any, ...]]:
        return [tuple(row) for row in connection.run(sql) or []]

    return ask


def find_table(shape: TableShape, ask: Ask) -> str | None:
    """Return the table with the shape of a tool's history, if there is exactly one."""
    found = find_tables(ask, shape)
    return found[0].table if len(found) == 1 else None
