"""Dropping an index that a broken statement has left invalid, and no other.

Between a look and a drop the name may have come to mean another index, or the index may have become
valid. So it is first given a name of its own, in a transaction that looks again under the locks that
others need to change it; that name is then dropped::

    BEGIN; lock table, rename index, is it that one and invalid?; COMMIT     DROP INDEX CONCURRENTLY

Knows one index. What belongs to whom is `core.statement_verdict`'s business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.postgres.quoting import quote_identifier, quote_literal, write_name
from lockgate.postgres.server.own_session import OWN_PATH
from lockgate.postgres.server.statement_result import StatementError

if TYPE_CHECKING:
    from lockgate.core.statement_verdict import Index
    from lockgate.postgres.server.connection import Connection

_TOAST = "pg_toast"
# 22012: our own condition. The others: the index or its table is gone, or has another name by now.
_CHANGED = frozenset({"22012", "42P01", "42704", "42809"})

# As strong as what builds and drops indexes takes: it waits until nobody does, and holds them off.
# Readers and writers do not notice. A materialized view cannot be locked by hand.
_LOCK = "LOCK TABLE {table} IN SHARE UPDATE EXCLUSIVE MODE"
_RENAME = "ALTER INDEX {index} RENAME TO {name}"
_IS_TABLE = """
SELECT t.relkind IN ('r', 'p') FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS t ON t.oid = i.indrelid WHERE i.indexrelid = {oid}
"""
_IS_STILL_INVALID = """
SELECT 1 / (CASE WHEN EXISTS (
    SELECT FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
    WHERE i.indexrelid = {oid} AND NOT i.indisvalid AND c.relname = {name}
) THEN 1 ELSE 0 END)
"""


def describe(index: Index) -> str:
    """Return an index as somebody would write it."""
    return f"{write_name(index.schema)}.{write_name(index.name)}"


def drop_invalid(connection: Connection, index: Index) -> None:
    """Drop an index if it is still that one and invalid; leave it alone if anything has changed.

    Raises:
        StatementError: the server refused, or a lock was not to be had in time.
    """
    name = index.name
    # The server itself drops one of these only while it is invalid, and renames none.
    if index.schema != _TOAST and name != index.own_name:
        if not _take_aside(connection, index):
            return
        name = index.own_name
    qualified = f"{quote_identifier(index.schema)}.{quote_identifier(name)}"
    connection.send(f"DROP INDEX CONCURRENTLY IF EXISTS {qualified}", is_watched=True)


def _take_aside(connection: Connection, index: Index) -> bool:
    """Give an index its own name; return whether it still is what it was."""
    schema = quote_identifier(index.schema)
    is_table = f"SET LOCAL {OWN_PATH};\n{_IS_TABLE.format(oid=index.oid)}"
    rows = connection.send(is_table, is_watched=True)[1].rows
    lock = _LOCK.format(table=f"{schema}.{quote_identifier(index.table)}")
    statements = [
        "BEGIN",
        f"SET LOCAL {OWN_PATH}",
        *([lock] if rows and rows[0][0] else []),
        _RENAME.format(
            index=f"{schema}.{quote_identifier(index.name)}", name=quote_identifier(index.own_name)
        ),
        _IS_STILL_INVALID.format(oid=index.oid, name=quote_literal(index.own_name)),
        "COMMIT",
    ]
    try:
        connection.send(";\n".join(statements), is_watched=True)
    except StatementError as error:
        connection.send("ROLLBACK")
        if error.sqlstate in _CHANGED:
            return False
        raise
    return True
