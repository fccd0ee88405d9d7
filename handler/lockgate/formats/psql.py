"""Scripts that a tool hands to psql: what psql does with them besides sending them.

psql commits each statement by itself unless the script says BEGIN, and fills its variables in.
Its own commands begin with a backslash; those that concern a database, `core.sql` refuses.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from lockgate.core.migration import Obstacle
from lockgate.core.sql import (
    SqlTextInvalid,
    TokenKind,
    Transactionality,
    classify,
    split_statements,
    tokenize,
)
from lockgate.formats.folder import line_of, read_text
from lockgate.formats.scripts import make_script

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lockgate.core.migration import Script
    from lockgate.core.sql import Statement

# What psql does by these, it does to its own output; that an error ends the script, Sqitch says too.
_IDLE = re.compile(
    r"\\(?:echo|qecho|warn|timing|pset|x|encoding[ \t]+'?utf-?8'?"
    r"|set[ \t]+(?:ON_ERROR_STOP[ \t]+'?(?:on|true|1)'?|QUIET|ECHO|VERBOSITY|SHOW_CONTEXT))"
    r"(?![\w+])[^\r\n]*",
    re.IGNORECASE,
)
_MAYBE_VARIABLE = re.compile(r"(?<!:):(?=[\w'\"{])")


def read_psql_script(folder: Path, path: str) -> Script:
    """Return a script that runs as psql would run it.

    Where psql would have committed statement by statement and that can matter (a statement that no
    transaction may hold, an enum value used by the next one), the script has ``transaction`` False;
    any other runs in one transaction, or in those that it begins itself.

    A psql variable in it is an obstacle.

    Raises:
        MigrationFileInvalid: it cannot be read.
    """
    text = read_text(folder, path)
    sent = _without_idle_commands(text)
    statements = _split(sent)
    transaction = False if _needs_commits(sent, statements) else None
    substituted = None if sent == text else sent
    script = make_script(text, path, transaction=transaction, substituted=substituted)
    return replace(script, obstacle=_find_obstacle(sent, statements))


def _without_idle_commands(text: str) -> str:
    """Return the text with spaces in the place of commands that do nothing to a database."""
    while True:
        try:
            split_statements(text)
        except SqlTextInvalid as error:
            found = _IDLE.match(text, error.offset)
            if found is None:
                return text
            text = f"{text[: found.start()]}{' ' * len(found[0])}{text[found.end() :]}"
        else:
            return text


def _split(text: str) -> tuple[Statement, ...]:
    try:
        return split_statements(text)
    except SqlTextInvalid:
        # The plan says what is wrong with it, and where, when it is to run.
        return ()


def _needs_commits(text: str, statements: tuple[Statement, ...]) -> bool:
    classes = [classify(text, statement) for statement in statements]
    kinds = {one.transactionality for one in classes}
    if Transactionality.ALONE in kinds:
        return True
    has_own = any(one.control is not None for one in classes)
    return Transactionality.ENUM_VALUE in kinds and not has_own and len(statements) > 1


def _find_obstacle(text: str, statements: tuple[Statement, ...]) -> Obstacle | None:
    if _MAYBE_VARIABLE.search(text) is None:
        return None
    for offset, name in _find_variables(text, statements):
        return Obstacle(
            f"uses the psql variable {name}, which only psql fills in",
            "Write its value in, or read it with current_setting() and set it by ALTER ROLE or"
            " ALTER DATABASE.",
            line_of(text, offset),
        )
    return None


def _find_variables(text: str, statements: tuple[Statement, ...]) -> Iterator[tuple[int, str]]:
    """Yield offset and text of each colon that psql would take for the start of a variable.

    In square brackets a colon stands for a slice, unless quotes follow; there psql leaves a name
    alone that it does not know.
    """
    for statement in statements:
        depth = 0
        colon: int | None = None
        for token in tokenize(text, statement.start, statement.end):
            piece = text[token.start : token.end]
            if colon == token.start and _is_name(token.kind, depth):
                yield colon - 1, f":{piece}"
            depth += (piece == "[") - (piece == "]")
            colon = token.end if piece == ":" else None


def _is_name(kind: TokenKind, depth: int) -> bool:
    if kind in {TokenKind.STRING, TokenKind.QUOTED_IDENTIFIER}:
        return True
    return depth == 0 and kind in {TokenKind.WORD, TokenKind.NUMBER, TokenKind.OTHER}
