"""What a statement may leave in its session: settings, a role, temporary objects, locks.

A short list of kinds leaves nothing; any other may. Knows no server: whether a trigger of the table sets
something, only the catalogs tell.
"""

from __future__ import annotations

import re
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING

from lockgate.core.sql.setting import TRANSACTION_WORDS
from lockgate.core.sql.token import fold_tokens
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lockgate.core.sql.script import Statement


class Effect(StrEnum):
    """What a statement may leave in its session."""

    NOTHING = "nothing"
    TABLE = "table"
    """It writes rows of one table: only what is attached to that table can leave anything."""
    VISIBLE = "visible"
    """It may leave something, and the server shows it (`postgres.session_digest`)."""
    HIDDEN = "hidden"
    """It leaves something that the server does not show."""


@dataclass(frozen=True, slots=True)
class SessionEffect:
    """What a statement may leave; for ``TABLE`` also the table's name as written, without a schema."""

    effect: Effect
    table: str | None = None


NOTHING = SessionEffect(Effect.NOTHING)
VISIBLE = SessionEffect(Effect.VISIBLE)
HIDDEN = SessionEffect(Effect.HIDDEN)

_DDL = frozenset(
    {"ALTER", "ANALYZE", "CLUSTER", "COMMENT", "CREATE", "DROP", "GRANT", "REINDEX", "REVOKE"}
    | {"VACUUM"}
)
# They set nothing, or nothing beyond the transaction.
_TRANSACTION = frozenset(
    {"ABORT", "BEGIN", "CHECKPOINT", "COMMIT", "END", "LOCK", "NOTIFY", "RELEASE", "ROLLBACK"}
    | {"SAVEPOINT", "START"}
)
_LOCAL = frozenset(("SET", word) for word in TRANSACTION_WORDS)
_UNSEEN = frozenset({"LISTEN", "UNLISTEN"})
_SEED = re.compile(r"\b(?:setseed|set\s+(?:session\s+)?seed)\b", re.IGNORECASE)
# A new session reads the settings of roles and databases anew, an extension's script does anything, a
# query calls what a view calls, and what is temporary ends with its session.
_OPEN = frozenset(
    {"DATABASE", "EXECUTE", "EXTENSION", "GROUP", "PG_TEMP", "PROGRAM", "ROLE", "SELECT", "SYSTEM"}
    | {"TEMP", "TEMPORARY", "USER", "WITH"}
)
# These make PostgreSQL evaluate what the statement does not show: a check of a domain or of the table,
# for every row.
_EVALUATING = frozenset({"ADD", "ATTACH", "TYPE", "VALIDATE"})
_WITH_ROWS = frozenset({("ALTER", "DOMAIN"), ("ALTER", "TABLE")})
_OPEN_WRITES = {
    "COPY": frozenset({"PROGRAM", "PG_TEMP", "SELECT"}),
    "DELETE": frozenset({"PG_TEMP", "SELECT", "USING", "WITH"}),
    "INSERT": frozenset({"PG_TEMP", "SELECT", "TABLE", "WITH"}),
    "TRUNCATE": frozenset({"PG_TEMP", ","}),
    "UPDATE": frozenset({"FROM", "PG_TEMP", "SELECT", "WITH"}),
}

# A list in parentheses behind a name is no call where one of these stands before the name.
_BEFORE_NAME = frozenset(
    {"AGGREGATE", "COPY", "EXISTS", "FUNCTION", "INTO", "ON", "ONLY", "PROCEDURE", "REFERENCES"}
    | {"TABLE", "USING"}
)
# These stand before a list, or before the length of a type, themselves.
_NO_FUNCTIONS = frozenset(
    {"ALWAYS", "AND", "ANY", "ARRAY", "AS", "BIT", "CHAR", "CHARACTER", "CHECK", "DECIMAL"}
    | {"DEFAULT", "ENUM", "EXCLUDE", "FLOAT", "FROM", "HASH", "IDENTITY", "IN", "INCLUDE"}
    | {"INHERITS", "INTERVAL", "KEY", "LIST", "NOT", "NUMERIC", "ON", "OPTIONS", "OR", "RANGE"}
    | {"ROW", "SET", "SOME", "TIME", "TIMESTAMP", "TO", "UNIQUE", "USING", "VALUES", "VARBIT"}
    | {"VARCHAR", "VARYING", "WHERE"}
)
_NAME = re.compile(r'[^\W\d]|"')


def find_effect(sql: str, statement: Statement) -> SessionEffect:
    """Return what a statement may leave in its session."""
    first = statement.words[0] if statement.words else ""
    if first in _UNSEEN or _SEED.search(sql, statement.start, statement.end):
        return HIDDEN
    if first in _TRANSACTION or statement.words[:2] in _LOCAL:
        return NOTHING
    forbidden = _OPEN_WRITES.get(first, _OPEN)
    if statement.words[:2] in _WITH_ROWS:
        forbidden |= _EVALUATING
    if first not in _DDL and first not in _OPEN_WRITES:
        return VISIBLE
    tokens = fold_tokens(
        sql,
        statement.start,
        statement.end,
        standard_conforming_strings=statement.standard_conforming_strings,
    )
    if not forbidden.isdisjoint(tokens) or _calls(tokens) or ("AS", "TABLE") in pairwise(tokens):
        return VISIBLE
    return _find_table(tokens) if first in _OPEN_WRITES else NOTHING


def join_effects(effects: Iterable[SessionEffect]) -> tuple[Effect, tuple[str, ...]]:
    """Return the strongest of some effects, and the tables that are written."""
    order = list(Effect)
    strongest, tables = 0, set()
    for one in effects:
        strongest = max(strongest, order.index(one.effect))
        if one.table is not None:
            tables.add(one.table)
    return order[strongest], tuple(sorted(tables))


def _calls(tokens: list[str]) -> bool:
    """Tell whether anything looks like a call of a function."""
    for place, token in enumerate(tokens[:-1]):
        if tokens[place + 1] != "(" or not _NAME.match(token) or token in _NO_FUNCTIONS:
            continue
        start = place
        while tokens[start - 1 : start] == ["."]:
            start -= 2
        if start == 0 or tokens[start - 1] not in _BEFORE_NAME:
            return True
    return False


def _find_table(tokens: list[str]) -> SessionEffect:
    """Find the table that a statement writes to."""
    place = 1
    while tokens[place : place + 1] and tokens[place] in {"FROM", "INTO", "ONLY", "TABLE"}:
        place += 1
    while tokens[place + 1 : place + 2] == ["."]:
        place += 2
    if place >= len(tokens) or not _NAME.match(tokens[place]):
        return VISIBLE
    return SessionEffect(Effect.TABLE, tokens[place])
