"""Texts derived from SQL: what is sent, what may be shown, and what a digest is computed from.

The text that is sent differs from the file only where the server would refuse it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from lockgate.core.sql.statement import split_statements
from lockgate.core.sql.token import (
    LITERAL_KINDS,
    RESTRICT,
    Token,
    TokenKind,
    lower_ascii,
    match_tokens,
    split_operator,
    tokenize,
)
from lockgate.invisible import is_invisible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lockgate.core.sql.statement import Statement

_BOM = "\ufeff"
_HIDDEN = "?"
_UNQUOTED = frozenset({TokenKind.WORD, TokenKind.PARAMETER, TokenKind.OTHER})


# A script may have thousands of units, each sent from the same text.
@lru_cache(maxsize=1)
def sendable(sql: str) -> str:
    r"""Return ``sql`` with spaces in place of pg_dump's ``\restrict`` lines and a leading BOM.

    All offsets stay the same. Lines inside a string or COPY data that only look like these stay too.

    Raises:
        SqlTextInvalid: As `split_statements`, if there is anything to blank.
    """
    text = " " + sql[1:] if sql.startswith(_BOM) else sql
    # Nearly every text lacks the word, and needs no further work.
    if "restrict" not in sql:
        return text
    return blank(text, _find_free_lines(sql))


def _find_free_lines(sql: str) -> Iterator[tuple[int, int]]:
    """Yield the spans of pg_dump's lines outside tokens and COPY data."""
    taken = _taken_spans(sql)
    last = (0, 0)
    for match in re.finditer(RESTRICT, sql):
        start, end = match.span()
        while last[1] <= start:
            last = next(taken, (len(sql), len(sql) + 1))
        if start < last[0]:
            yield start, end


def blank(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """Return a text with spaces in place of some spans, given in order."""
    pieces: list[str] = []
    position = 0
    for start, end in spans:
        pieces += [text[position:start], " " * (end - start)]
        position = end
    return "".join([*pieces, text[position:]])


def _taken_spans(sql: str) -> Iterator[tuple[int, int]]:
    """Yield the spans of tokens and COPY data."""
    for statement in split_statements(sql):
        yield from ((token.start, token.end) for token in _tokens(sql, statement))
        if statement.copy_data is not None:
            yield statement.copy_data


def normalize_tokens(sql: str) -> str:
    r"""Return every token in a normal form, each followed by a NUL, for a digest independent of layout.

    Comments, space and ``\restrict`` lines are left out.

    Raises:
        SqlTextInvalid: As `split_statements`.
    """
    statements = split_statements(sql)
    return "".join(
        piece for statement in statements for piece in normalize_statement(sql, statement)
    )


def normalize_statement(sql: str, statement: Statement) -> Iterator[str]:
    """Yield one statement's part of `normalize_tokens`, in a few pieces.

    Unquoted words are in lower case, everything else is verbatim. A semicolon always follows, whether or
    not the script has one, and then the lines of COPY data as one piece.
    """
    yield "".join(_normalize_statement_tokens(sql, statement))
    yield ";\0"
    if statement.copy_data is not None:
        yield sql[slice(*statement.copy_data)]
        yield "\0"


def _normalize_statement_tokens(sql: str, statement: Statement) -> Iterator[str]:
    """Yield one statement's tokens. No `Token` is built, because this runs for every migration."""
    strings = statement.standard_conforming_strings
    start, end = statement.start, statement.end
    for match in match_tokens(sql, start, end, standard_conforming_strings=strings):
        kind = match.lastgroup or "end"
        if kind == "word":
            yield lower_ascii(match[kind])
        elif kind == "operator":
            yield "\0".join(split_operator(match[kind]))
        elif kind != "end":
            yield match[kind]
        if kind != "end":
            yield "\0"


def redact_literals(sql: str) -> str:
    """Return ``sql`` on one line with ``?`` for literals and without comments; never raise.

    A literal cut off at the end is hidden too. If a backslash before a quote makes the end of a string
    ambiguous (the other session's ``standard_conforming_strings`` is unknown), the rest is hidden.
    """
    shown = _redact(sql, strings=True)
    if "\\'" not in sql:
        return shown
    other = _redact(sql, strings=False)
    if shown == other:
        return shown
    return f"{_common_start(shown, other)} …"


def _redact(sql: str, *, strings: bool) -> str:
    pieces: list[str] = []
    end = 0
    for token in tokenize(sql, standard_conforming_strings=strings):
        if token.start > end and pieces:
            pieces.append(" ")
        pieces.append(_HIDDEN if _hides(token) else sql[token.start : token.end])
        end = token.end
    return "".join(pieces)


def _hides(token: Token) -> bool:
    return token.kind in LITERAL_KINDS or token.kind is TokenKind.UNFINISHED


def _common_start(one: str, other: str) -> str:
    """Return the words with which both texts begin."""
    same = 0
    for left, right in zip(one.split(" "), other.split(" "), strict=False):
        if left != right:
            break
        same += 1
    return " ".join(one.split(" ")[:same])


def find_invisible(sql: str, statement: Statement) -> int | None:
    """Return the offset of a statement's first invisible character outside quotes, or ``None``.

    PostgreSQL treats it as a letter, so it changes the name or keyword that it is in.
    """
    if sql.isascii():
        return None
    for token in _tokens(sql, statement):
        if token.kind in _UNQUOTED:
            places = (at for at in range(token.start, token.end) if is_invisible(sql[at]))
            found = next(places, None)
            if found is not None:
                return found
    return None


def _tokens(sql: str, statement: Statement) -> Iterator[Token]:
    return tokenize(
        sql,
        statement.start,
        statement.end,
        standard_conforming_strings=statement.standard_conforming_strings,
    )
