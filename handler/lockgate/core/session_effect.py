"""What a statement may leave in its session: settings, a role, temporary objects, locks.

A statement that is not on a short list of harmless kinds may leave something. Only the catalogs show
whether a trigger of a table changes the session.
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
    """It writes rows of one table: only triggers and the like of that table can leave anything."""
    VISIBLE = "visible"
    """It may leave something that the server shows (`postgres.server.session_digest`)."""
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
# They change nothing in the session beyond the transaction.
_TRANSACTION = frozenset(
    {"ABORT", "BEGIN", "CHECKPOINT", "COMMIT", "END", "LOCK", "NOTIFY", "RELEASE", "ROLLBACK"}
    | {"SAVEPOINT", "START"}
)
_LOCAL = frozenset(("SET", word) for word in TRANSACTION_WORDS)
_UNSEEN = frozenset({"LISTEN", "UNLISTEN"})
_SEED = re.compile(r"\b(?:setseed|set\s+(?:session\s+)?seed)\b", re.IGNORECASE)
# The server does not list custom settings. One whose name is computed cannot be compared.
_COMPUTED_NAME = re.compile(
    r"\bset_config\s*+\(\s*+(?!'[\w.]+'\s*+,)|\bset\s+(?:session\s+)?(?:\w+\.)*+[%']", re.IGNORECASE
)
# With these, more than the statement shows may run or change: a new session reads the settings of roles
# and databases again, an extension's script may do anything, a query calls the functions of a view, and
# temporary objects end with their session.
_OPEN = frozenset(
    {"DATABASE", "EXECUTE", "EXTENSION", "GROUP", "PG_TEMP", "PROGRAM", "ROLE", "SELECT", "SYSTEM"}
    | {"TEMP", "TEMPORARY", "USER", "WITH"}
)
# These make PostgreSQL evaluate a check of a domain or table, which the statement does not show.
_EVALUATING = frozenset({"ADD", "ATTACH", "TYPE", "VALIDATE"})
_WITH_ROWS = frozenset({("ALTER", "DOMAIN"), ("ALTER", "TABLE")})
_OPEN_WRITES = {
    "COPY": frozenset({"PROGRAM", "PG_TEMP", "SELECT"}),
    "DELETE": frozenset({"PG_TEMP", "SELECT", "USING", "WITH"}),
    "INSERT": frozenset({"PG_TEMP", "SELECT", "TABLE", "WITH"}),
    "TRUNCATE": frozenset({"PG_TEMP", ","}),
    "UPDATE": frozenset({"FROM", "PG_TEMP", "SELECT", "WITH"}),
}

# A list in parentheses after a name is not a call if one of these precedes the name.
_BEFORE_NAME = frozenset(
    {"AGGREGATE", "COPY", "EXISTS", "FUNCTION", "INTO", "ON", "ONLY", "PROCEDURE", "REFERENCES"}
    | {"TABLE", "USING"}
)
# These words can precede a list or the length of a type.
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
    start, end = statement.start, statement.end
    if first in _UNSEEN or _SEED.search(sql, start, end) or _COMPUTED_NAME.search(sql, start, end):
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
        start,
        end,
        standard_conforming_strings=statement.standard_conforming_strings,
    )
    if not forbidden.isdisjoint(tokens) or _calls(tokens) or ("AS", "TABLE") in pairwise(tokens):
        return VISIBLE
    return _find_table(tokens) if first in _OPEN_WRITES else NOTHING


def join_effects(effects: Iterable[SessionEffect]) -> tuple[Effect, tuple[str, ...]]:
    """Return the strongest of the effects, and the tables that are written."""
    order = list(Effect)
    strongest, tables = 0, set()
    for one in effects:
        strongest = max(strongest, order.index(one.effect))
        if one.table is not None:
            tables.add(one.table)
    return order[strongest], tuple(sorted(tables))


def _calls(tokens: list[str]) -> bool:
    """Return whether anything looks like a call of a function."""
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
