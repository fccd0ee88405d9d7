r"""Makes the text that psql would send: without psql's own commands, and ``\copy … from stdin`` as COPY.

Every statement keeps its offset, so that a position in the sent text is also one in the file.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING

from lockgate.core.sql.script import Control, SqlTextInvalid, blank, classify, iterate_statements

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lockgate.core.sql.script import Skip, Statement

# These commands only affect the output of psql, or stop it at an error, as Sqitch does anyway.
_IDLE = re.compile(
    r"\\(?:echo|qecho|warn|timing|pset|x|encoding[ \t]+'?utf-?8'?"
    r"|set[ \t]+(?:ON_ERROR_STOP[ \t]+'?(?:on|true|1)'?|QUIET|ECHO|VERBOSITY|SHOW_CONTEXT))"
    r"(?![\w+])[^\r\n]*",
    re.IGNORECASE,
)
# psql reads the whole line. A comment in it would hide the semicolon that is added at its end.
_COPY = re.compile(
    r"^([ \t]*)\\(copy[ \t](?>(?:(?!--|/\*)[^\r\n;])*?[ \t]from[ \t]+stdin(?=[ \t\r\n]|\Z))"
    r"(?:(?!--|/\*)[^\r\n;])*)$",
    re.MULTILINE | re.IGNORECASE,
)
# The server only warns about these, inside and outside of a transaction respectively.
_BEGINS = frozenset({"BEGIN", "BEGIN WORK", "BEGIN TRANSACTION", "START TRANSACTION"})
_ENDS = frozenset(
    f"{word}{more}"
    for word in ("COMMIT", "END", "ROLLBACK", "ABORT")
    for more in ("", " WORK", " TRANSACTION", " AND NO CHAIN")
)


def make_sent_text(text: str) -> str:
    """Return a script as psql sends it, as far as its text alone decides that."""
    text = _translate_copies(text)
    found: dict[int, int] = {}
    statements: list[Statement] = []
    with suppress(SqlTextInvalid):
        statements.extend(iterate_statements(text, skip=_skip_idle(text, found)))
        text = blank(text, found.items())
        idle = _find_idle_controls(text, statements)
        return blank(text, ((one.start, one.end) for one in idle))
    return blank(text, found.items())


def _skip_idle(text: str, found: dict[int, int]) -> Skip:
    """Return a function that skips commands without effect on the database, and notes their places."""

    def skip(offset: int) -> int | None:
        match = _IDLE.match(text, offset)
        if match is None:
            return None
        found[offset] = match.end()
        return match.end()

    return skip


def _translate_copies(text: str) -> str:
    r"""Return the text with ``\copy … from stdin`` as a COPY statement, which reads the lines below it.

    Such a line in a string or a comment stays as it is.
    """
    if not _COPY.search(text):
        return text
    translated = _COPY.sub(r"\1\2;", text)
    starts: set[int] = set()
    with suppress(SqlTextInvalid):
        starts.update(
            one.start for one in iterate_statements(translated, skip=_skip_idle(translated, {}))
        )

    def translate(match: re.Match[str]) -> str:
        is_statement = match.start(2) - 1 in starts
        return f"{match[1]}{match[2]};" if is_statement else match[0]

    return _COPY.sub(translate, text)


def _find_idle_controls(text: str, statements: Sequence[Statement]) -> list[Statement]:
    """Return each BEGIN inside a transaction and each end outside of one: the server only warns."""
    idle: list[Statement] = []
    is_open = False
    for statement in statements:
        control = classify(text, statement).control
        if control is None or control is Control.SAVEPOINT:
            continue
        is_begin = control is Control.BEGIN
        words = " ".join(text[statement.start : statement.end].upper().split())
        if is_begin is is_open and words in (_BEGINS if is_open else _ENDS):
            idle.append(statement)
        else:
            is_open = is_begin
    return idle
