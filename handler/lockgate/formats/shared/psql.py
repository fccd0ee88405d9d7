"""Reads scripts that a tool runs with psql.

psql commits each statement separately unless the script begins a transaction, and fills in variables.
Its own commands begin with a backslash; `psql_text` removes those that do not affect the database.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from lockgate.core.migration import Obstacle
from lockgate.core.psql_command import describe_replacement, find_command
from lockgate.core.sql.script import (
    Control,
    SqlTextInvalid,
    TokenKind,
    Transactionality,
    classify,
    may_refuse_transaction,
    split_statements,
    tokenize,
)
from lockgate.formats.shared.folder import line_of, read_text
from lockgate.formats.shared.psql_text import make_sent_text
from lockgate.formats.shared.scripts import make_script

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lockgate.core.migration import Script
    from lockgate.core.sql.script import Statement

_MAYBE_VARIABLE = re.compile(r"(?<!:):(?=[\w'\"{])")


def read_psql_script(folder: Path, path: str, tool: str) -> Script:
    """Return a script that runs as psql would run it; ``tool`` is the one that runs it with psql.

    If it matters that psql commits after each statement (a statement that cannot run in a transaction,
    a CALL, a new enum value that the next statement uses), the script has ``transaction`` False. Other
    scripts run in one transaction, or in those that they begin themselves.

    Obstacles are a psql variable, a command that affects the database, and a transaction of the
    script's own that does not end in COMMIT.

    Raises:
        MigrationFileInvalid: the file cannot be read.
    """
    text = read_text(folder, path)
    sent = make_sent_text(text)
    statements, obstacle = _split(sent, tool)
    transaction = False if _needs_commits(sent, statements) else None
    substituted = None if sent == text else sent
    script = make_script(text, path, transaction=transaction, substituted=substituted)
    found = (
        obstacle
        or _find_open_transaction(sent, statements, tool)
        or _find_variable(sent, statements, tool)
    )
    return replace(script, obstacle=found)


def _split(text: str, tool: str) -> tuple[tuple[Statement, ...], Obstacle | None]:
    """Return the statements, or the obstacle if the script has a psql command."""
    try:
        return split_statements(text), None
    except SqlTextInvalid as error:
        command = find_command(text, error)
        if command is None:
            # The plan reports what is wrong and where, if the script is pending.
            return (), None
        why = f"has the psql command {command}, which is not SQL"
        return (), Obstacle(why, describe_replacement(command), error.line or 1, psql=tool)


def _needs_commits(text: str, statements: tuple[Statement, ...]) -> bool:
    classes = [classify(text, statement) for statement in statements]
    kinds = {one.transactionality for one in classes}
    if Transactionality.ALONE in kinds:
        return True
    has_own = any(one.control is not None for one in classes)
    if has_own:
        return False
    # A procedure may commit; only the server knows.
    calls = any(may_refuse_transaction(text, statement) for statement in statements)
    return calls or (Transactionality.ENUM_VALUE in kinds and len(statements) > 1)


def _find_open_transaction(
    text: str, statements: tuple[Statement, ...], tool: str
) -> Obstacle | None:
    """Find a BEGIN or an end of a transaction that has no counterpart.

    `psql_text` has already removed those that psql only warns about.
    """
    begin: Statement | None = None
    for statement in statements:
        match classify(text, statement).control:
            case None | Control.SAVEPOINT:
                continue
            case Control.BEGIN if begin is None:
                begin = statement
            case Control.COMMIT if begin is not None:
                begin = None
            case _:
                return _make_unpaired(text, statement, tool)
    return None if begin is None else _make_unpaired(text, begin, tool)


def _make_unpaired(text: str, statement: Statement, tool: str) -> Obstacle:
    word = text[statement.start : statement.end].split(maxsplit=1)[0].upper()
    return Obstacle(
        f"has an unbalanced transaction: this {word} has no counterpart",
        "End each BEGIN with one COMMIT.",
        line_of(text, statement.start),
        psql=tool,
    )


def _find_variable(text: str, statements: tuple[Statement, ...], tool: str) -> Obstacle | None:
    if _MAYBE_VARIABLE.search(text) is None:
        return None
    for offset, name in _find_variables(text, statements):
        return Obstacle(
            f"uses the psql variable {name}, which only psql can fill in",
            "Write the value itself, or read it with current_setting() and set it with ALTER ROLE or"
            " ALTER DATABASE.",
            line_of(text, offset),
            psql=tool,
        )
    return None


def _find_variables(text: str, statements: tuple[Statement, ...]) -> Iterator[tuple[int, str]]:
    """Yield offset and text of each colon that psql would read as the start of a variable.

    In square brackets a colon is a slice, unless quotes follow: psql leaves unknown names there alone.
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
