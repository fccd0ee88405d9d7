"""How to learn whether a statement outside a transaction is done, once nobody recorded it.

Reads the statement and names a question to the catalogs; `decide` turns the answer into what to do.
Asks nothing itself.

::

    intent written ──> statement ──> fact written
                   ✗ killed here ✗              the next run finds the intent without its fact
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING

from lockgate.core.sql import Token, TokenKind, tokenize
from lockgate.value import dataclass

if TYPE_CHECKING:
    from lockgate.core.sql import Statement

# As `formats.native_script` finds its marker lines: behind every line ending, in capitals too.
_VERIFY = re.compile(
    r"(?:^|(?<=\r))[ \t]*--[ \t]*migrate:verify[ \t]+([^\r\n]+)", re.MULTILINE | re.IGNORECASE
)
_LONGEST_NAME_BYTES = 63


class Question(StrEnum):
    """What the catalogs are asked about."""

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
    """What a REINDEX rebuilds the indexes of."""

    INDEX = "index"
    TABLE = "table"
    SCHEMA = "schema"
    DATABASE = "database"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Verification:
    """A question and the names in it.

    ``name`` and ``table`` are as the statement writes them, quotes included; ``query`` is the
    author's own. For ``REINDEXED``, ``kind`` says what ``name`` is the name of; an index or a table
    may be qualified, and a database without a name is the current one.
    """

    question: Question
    name: str | None = None
    table: str | None = None
    query: str | None = None
    kind: Reindexed | None = None


HARMLESS = Verification(Question.HARMLESS)
UNKNOWN = Verification(Question.UNKNOWN)

# Saying these again does again what they did, and nothing else.
_HARMLESS = frozenset({"VACUUM", "CLUSTER", "DISCARD", "ALTER SYSTEM", "ALTER DATABASE"})
_BY_NAME = {
    ("CREATE", "DATABASE"): Question.DATABASE_THERE,
    ("DROP", "DATABASE"): Question.DATABASE_GONE,
    ("CREATE", "TABLESPACE"): Question.TABLESPACE_THERE,
    ("DROP", "TABLESPACE"): Question.TABLESPACE_GONE,
    ("CREATE", "SUBSCRIPTION"): Question.SUBSCRIPTION_THERE,
    ("DROP", "SUBSCRIPTION"): Question.SUBSCRIPTION_GONE,
}


def find_verification(sql: str, statement: Statement, previous_end: int) -> Verification:
    """Return how to learn whether a statement is done.

    ``previous_end`` is where the statement before it ends: an author's ``-- migrate:verify`` stands
    between the two, on one line or several, and goes before anything else.
    """
    lines = _VERIFY.finditer(sql, previous_end, statement.start)
    query = " ".join(line[1].strip() for line in lines)
    if query:
        return Verification(Question.AUTHOR, query=query)
    found = _read_question(_Words(sql, statement))
    # A statement that lacks its name is the server's to refuse.
    return UNKNOWN if found.name == "" else found


def _read_question(words: _Words) -> Verification:
    first, two = words.text(0), (words.text(0), words.text(1))
    if first in _HARMLESS or " ".join(two) in _HARMLESS:
        return HARMLESS
    if first == "REINDEX":
        return _verify_reindex(words)
    if two in _BY_NAME:
        place = words.after_if(2)
        return Verification(_BY_NAME[two], name=words.name(place)[0])
    if words.find("CONCURRENTLY") is None:
        return UNKNOWN
    return _verify_concurrent(words)


def _verify_reindex(words: _Words) -> Verification:
    """Ask for what a concurrent one may leave behind; another leaves nothing, and may be repeated."""
    if words.find("CONCURRENTLY") is None:
        return HARMLESS
    place = words.behind_parentheses(1)
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
            place = words.after_if(place + 1)
            if words.text(place) == "ON":
                return UNKNOWN  # the server makes up the name of the index
            name, place = words.name(place)
            place += 1 + (words.text(place + 1) == "ONLY")
            return Verification(Question.INDEX_BUILT, name=name, table=words.name(place)[0])
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


class _Words:
    """A statement's tokens, asked by their place."""

    def __init__(self, sql: str, statement: Statement) -> None:
        self._sql = sql
        self._tokens: list[Token] = list(tokenize(sql, statement.start, statement.end))

    def text(self, place: int) -> str:
        if place >= len(self._tokens):
            return ""
        token = self._tokens[place]
        return self._sql[token.start : token.end].upper()

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

    def behind_parentheses(self, place: int) -> int:
        """Skip ``( … )``, which holds no other parentheses, if that stands here."""
        if self.text(place) != "(":
            return place
        while self.text(place) not in {")", ""}:
            place += 1
        return place + 1

    def name(self, place: int) -> tuple[str, int]:
        """Return a name, qualified or not, as it is written, and the place behind it."""
        if place >= len(self._tokens):
            return "", place
        stop = place + 1
        while self.text(stop) == ".":
            stop += 2
        first, last = self._tokens[place], self._tokens[min(stop, len(self._tokens)) - 1]
        return self._sql[first.start : last.end], stop


def identifier_value(name: str) -> str:
    """Return the name that the server keeps for an unqualified identifier as written."""
    if name.startswith('"'):
        value = name[1:-1].replace('""', '"')
    else:
        value = "".join(c.lower() if c.isascii() else c for c in name)
    return value.encode()[:_LONGEST_NAME_BYTES].decode(errors="ignore")


class Verdict(StrEnum):
    """What the answer means for a statement."""

    RUN = "run"
    DONE = "done"
    WAIT = "wait"
    CLEAN = "clean"
    FINALIZE = "finalize"
    CANNOT_KNOW = "cannot_know"


@dataclass(frozen=True, slots=True)
class Found:
    """What the catalogs say.

    ``is_there``: the thing named exists (an author's query: it said true). ``is_broken``: it is an
    invalid index, or a detaching that was not finished. ``builder``: the process id of a session
    that is building it right now.
    """

    is_there: bool = False
    is_broken: bool = False
    builder: int | None = None
    oid: int | None = None


def decide(question: Question, found: Found, *, was_begun: bool) -> Verdict:
    """Return what to do with a statement; ``was_begun``: an earlier run wrote its intent."""
    if question is Question.INDEX_BUILT and found.builder is not None:
        return Verdict.WAIT
    if found.is_broken and (was_begun or question is not Question.REINDEXED):
        return Verdict.FINALIZE if question is Question.DETACHED else Verdict.CLEAN
    if not was_begun or question in _REPEATED:
        return Verdict.RUN
    if question is Question.UNKNOWN:
        return Verdict.CANNOT_KNOW
    return Verdict.DONE if found.is_there is _THERE_WHEN_DONE[question] else Verdict.RUN


_REPEATED = frozenset({Question.HARMLESS, Question.REINDEXED})
_THERE_WHEN_DONE = {
    Question.INDEX_BUILT: True,
    Question.INDEX_DROPPED: False,
    Question.DETACHED: False,
    Question.DATABASE_THERE: True,
    Question.DATABASE_GONE: False,
    Question.TABLESPACE_THERE: True,
    Question.TABLESPACE_GONE: False,
    Question.SUBSCRIPTION_THERE: True,
    Question.SUBSCRIPTION_GONE: False,
    Question.AUTHOR: True,
}
