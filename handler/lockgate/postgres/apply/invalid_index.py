"""Dropping an invalid index that an interrupted statement left behind, and no other index.

Between finding and dropping it, the name may refer to another index, or the index may have become
valid. So the index is first renamed to a unique name, in a transaction that checks it again while
holding the locks that others need to change it. Then that name is dropped::

    BEGIN; lock table; rename index; still the same and invalid?; COMMIT     DROP INDEX CONCURRENTLY

`core.statement_verdict` decides which index belongs to which statement.
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
# 22012: our own check failed. The others: the index or its table was dropped or renamed.
_CHANGED = frozenset({"22012", "42P01", "42704", "42809"})

# As strong as the lock for building or dropping an index, so it waits for those and blocks them, but
# neither readers nor writers. LOCK TABLE does not accept a materialized view.
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
    """Return the name of an index as a person would write it."""
    return f"{write_name(index.schema)}.{write_name(index.name)}"


def drop_invalid(connection: Connection, index: Index) -> None:
    """Drop an index if it is still the same and invalid; leave it alone if anything has changed.

    Raises:
        StatementError: the server refused, or a lock could not be taken in time.
    """
    name = index.name
    # TOAST indexes cannot be renamed, and the server drops them only while they are invalid.
    if index.schema != _TOAST and name != index.own_name:
        if not _rename_to_unique(connection, index):
            return
        name = index.own_name
    qualified = f"{quote_identifier(index.schema)}.{quote_identifier(name)}"
    connection.send(f"DROP INDEX CONCURRENTLY IF EXISTS {qualified}", is_watched=True)


def _rename_to_unique(connection: Connection, index: Index) -> bool:
    """Give an index its unique name; return False if it has changed."""
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
