"""Find out whether a statement outside a transaction is done if its outcome was not recorded.

From the statement follows a question to the catalogs; `core.statement_verdict` interprets the answer.

::

    intent written ──> statement ──> fact written
                   ✗ killed here ✗              the next run finds the intent without its fact
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING

from lockgate.core.index_shape import IndexShape, read_shape
from lockgate.core.sql.script import Token, TokenKind, can_be_repeated, tokenize
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from lockgate.core.sql.script import Statement

# As `formats.native.script` finds its marker lines: after every line ending, in either case.
_VERIFY = re.compile(
    r"(?:^|(?<=\r))[ \t]*--[ \t]*migrate:verify[ \t]+([^\r\n]+)", re.MULTILINE | re.IGNORECASE
)


class Question(StrEnum):
    """A question to the catalogs."""

    INDEX_BUILT = "index_built"
    INDEX_DROPPED = "index_dropped"
    REINDEXED = "reindexed"
    DETACHED = "detached"
    DATABASE_THERE = "database_there"
    DATABASE_GONE = "database_gone"
    TABLESPACE_THERE = "tablespace_there"
    TABLESPACE_GONE = "tablespace_gone"
    SUBSCRIPTION_THERE = "subscription_there"
    SUBSCRIPTION_GONE = "subscription_gone"
    AUTHOR = "author"
    HARMLESS = "harmless"
    UNKNOWN = "unknown"


class Reindexed(StrEnum):
    """The object whose indexes a REINDEX rebuilds."""

    INDEX = "index"
    TABLE = "table"
    SCHEMA = "schema"
    DATABASE = "database"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Verification:
    """A question and the names in it.

    ``name`` and ``table`` are written as in the statement, quotes included; ``query`` is from the
    author. An index to build has a ``shape``, and no name if the server chooses it. For ``REINDEXED``,
    ``kind`` is the kind of object that ``name`` names; an index or a table may be qualified, and a
    database without a name is the current one. ``owner`` is the owner of a new database.
    """

    question: Question
    name: str | None = None
    table: str | None = None
    query: str | None = None
    kind: Reindexed | None = None
    shape: IndexShape | None = None
    owner: str | None = None


HARMLESS = Verification(Question.HARMLESS)
UNKNOWN = Verification(Question.UNKNOWN)

_BY_NAME = {
    ("CREATE", "DATABASE"): Question.DATABASE_THERE,
    ("DROP", "DATABASE"): Question.DATABASE_GONE,
    ("CREATE", "TABLESPACE"): Question.TABLESPACE_THERE,
    ("DROP", "TABLESPACE"): Question.TABLESPACE_GONE,
    ("CREATE", "SUBSCRIPTION"): Question.SUBSCRIPTION_THERE,
    ("DROP", "SUBSCRIPTION"): Question.SUBSCRIPTION_GONE,
}


def find_verification(sql: str, statement: Statement, previous_end: int) -> Verification:
    """Return how to find out whether a statement is done.

    ``previous_end`` is where the previous statement ends. An author's ``-- migrate:verify`` between the
    two, on one or several lines, takes precedence.
    """
    lines = _VERIFY.finditer(sql, previous_end, statement.start)
    query = " ".join(line[1].strip() for line in lines)
    if query:
        return Verification(Question.AUTHOR, query=query)
    if can_be_repeated(statement):
        return HARMLESS
    found = _read_question(_Words(sql, statement))
    # The server refuses a statement without a name.
    return UNKNOWN if found.name == "" else found


def _read_question(words: _Words) -> Verification:
    first, two = words.text(0), (words.text(0), words.text(1))
    if first == "REINDEX":
        return _verify_reindex(words)
    if two in _BY_NAME:
        place = words.after_if(2)
        owner = words.value_of("OWNER") if two[0] == "CREATE" else None
        return Verification(_BY_NAME[two], name=words.name(place)[0], owner=owner)
    if words.find("CONCURRENTLY") is None:
        return UNKNOWN
    return _verify_concurrent(words)


def _verify_reindex(words: _Words) -> Verification:
    """Ask for the invalid indexes of a concurrent one; any other leaves none and can be repeated."""
    if words.find("CONCURRENTLY") is None:
        return HARMLESS
    place = words.after_parentheses(1)
    kind = next((kind for kind in Reindexed if kind == words.text(place).lower()), None)
    if kind is None:
        return UNKNOWN
    place += 1 + (words.text(place + 1) == "CONCURRENTLY")
    name: str | None = words.name(place)[0]
    if not name and kind in {Reindexed.DATABASE, Reindexed.SYSTEM}:
        name = None
    return Verification(Question.REINDEXED, name=name, kind=kind)


def _verify_concurrent(words: _Words) -> Verification:
    place = words.find("CONCURRENTLY") or 0
    match words.text(0), words.text(1):
        case "CREATE", _:
            return _verify_index(words, words.after_if(place + 1))
        case "DROP", "INDEX":
            name, _ = words.name(words.after_if(place + 1))
            return Verification(Question.INDEX_DROPPED, name=name)
        case "ALTER", "TABLE":
            place = words.after_if(2)
            place += words.text(place) == "ONLY"
            table, place = words.name(place)
            partition, _ = words.name(place + 2)
            return Verification(Question.DETACHED, name=partition, table=table)
        case _:
            return UNKNOWN


def _verify_index(words: _Words, place: int) -> Verification:
    """Ask for an index; the server chooses the name if there is none."""
    name: str | None = None
    if words.text(place) != "ON":
        name, place = words.name(place)
    place += 1 + (words.text(place + 1) == "ONLY")
    table, place = words.name(place)
    shape = read_shape(words.texts, place)
    if not table or (name is None and shape is None):
        return UNKNOWN
    return Verification(Question.INDEX_BUILT, name=name, table=table, shape=shape)


class _Words:
    """A statement's tokens, accessed by their place."""

    def __init__(self, sql: str, statement: Statement) -> None:
        self._sql = sql
        self._tokens: list[Token] = list(tokenize(sql, statement.start, statement.end))

    def text(self, place: int) -> str:
        if place >= len(self._tokens):
            return ""
        token = self._tokens[place]
        return self._sql[token.start : token.end].upper()

    @property
    def texts(self) -> list[str]:
        """Every token, unquoted words in upper case."""
        return [
            self.text(place) if token.kind is TokenKind.WORD else self._sql[token.start : token.end]
            for place, token in enumerate(self._tokens)
        ]

    def value_of(self, option: str) -> str | None:
        """Return the value of an option ``OWNER [=] name``, as written."""
        place = self.find(option)
        if place is None:
            return None
        return self.name(place + 1 + (self.text(place + 1) == "="))[0] or None

    def find(self, word: str) -> int | None:
        places = (
            place
            for place, token in enumerate(self._tokens)
            if token.kind is TokenKind.WORD and self.text(place) == word
        )
        return next(places, None)

    def after_if(self, place: int) -> int:
        """Skip ``IF EXISTS`` or ``IF NOT EXISTS``."""
        if self.text(place) != "IF":
            return place
        return place + (3 if self.text(place + 1) == "NOT" else 2)

    def after_parentheses(self, place: int) -> int:
        """Skip ``( … )`` without nested parentheses, if it is here."""
        if self.text(place) != "(":
            return place
        while self.text(place) not in {")", ""}:
            place += 1
        return place + 1

    def name(self, place: int) -> tuple[str, int]:
        """Return a name, qualified or not, as written, and the place after it."""
        if place >= len(self._tokens):
            return "", place
        stop = place + 1
        while self.text(stop) == ".":
            stop += 2
        first, last = self._tokens[place], self._tokens[min(stop, len(self._tokens)) - 1]
        return self._sql[first.start : last.end], stop
