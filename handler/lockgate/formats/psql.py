"""Scripts that a tool hands to psql: what psql does with them besides sending them.

psql commits each statement by itself unless the script says BEGIN, and fills its variables in.
Its other commands begin with a backslash; `core.sql` refuses those.
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
    statements = _split(text)
    transaction = False if _needs_commits(text, statements) else None
    script = make_script(text, path, transaction=transaction)
    return replace(script, obstacle=_find_obstacle(text, statements))


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
