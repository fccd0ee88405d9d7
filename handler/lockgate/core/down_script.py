"""Down scripts: an empty one counts as missing, while a no-op such as ``SELECT 1`` is deliberate."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lockgate.core.analysis import analyse_script
from lockgate.core.migration import Kind, Language
from lockgate.core.python_source import find_function, is_empty
from lockgate.core.sql.script import (
    Control,
    SqlTextInvalid,
    TokenKind,
    classify,
    split_statements,
    tokenize,
)
from lockgate.errors import MigrationFileInvalid
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from lockgate.core.migration import Migration, Script
    from lockgate.core.sql.script import Statement

# The function of each direction in a Python file: native, Alembic.
_DOWNS = ("down", "downgrade")
_UPS = ("up", "upgrade")
_NAMES = frozenset({TokenKind.WORD, TokenKind.QUOTED_IDENTIFIER})
_LITERAL_WORDS = frozenset({"SELECT", "VALUES", "AS", "NULL", "TRUE", "FALSE"})
_BEFORE_NAMES = frozenset({"AS", "::"})
_BLOCK_ENDS = frozenset({Control.BEGIN, Control.COMMIT, Control.ROLLBACK, Control.SAVEPOINT})
_SETTERS = frozenset({("SET",), ("RESET",)})
_EMPTY_BODY = re.compile(r"(?is)\s*(?:begin\s*(?:null\s*;\s*)*end\s*+;?+)\s*+")


@dataclass(frozen=True, slots=True)
class DownFlaw:
    """Why the down script of a file cannot undo its migration.

    ``why`` is the rest of a sentence. ``error`` is that of a script that cannot be run; without one,
    the script is empty.
    """

    migration: Migration
    why: str
    error: MigrationFileInvalid | None = None


def find_down_flaw(migration: Migration) -> DownFlaw | None:
    """Return why the down script of a file cannot undo its migration."""
    if migration.kind is not Kind.VERSIONED:
        return None
    empty = migration.empty_down
    if empty is not None:
        why = f"its down script is empty ({empty.path}:{empty.first_line})"
        return DownFlaw(migration, why)
    if migration.down is None:
        return None
    try:
        analyse_script(migration.down)
    except MigrationFileInvalid as error:
        return DownFlaw(migration, describe_unusable(error), error)
    return None


def find_down_problem(migration: Migration) -> str | None:
    """Return the same as the rest of a sentence."""
    found = find_down_flaw(migration)
    return None if found is None else found.why


def describe_unusable(error: MigrationFileInvalid) -> str:
    """Return why a down script cannot be run, as the rest of a sentence."""
    problem = error.message.removesuffix(".")
    return f"its down script cannot be run: {problem}"


def is_empty_down(down: Script, up: Script | None) -> bool:
    """Return whether a down script is empty although its up script, if known, is not.

    BEGIN and COMMIT alone do nothing; in Python neither do a docstring, ``pass`` and ``...``.
    """
    if down.obstacle is not None:
        return False
    if down.language is Language.PYTHON:
        return _has_empty_function(down.text, _DOWNS) and not (
            up is not None and _has_empty_function(up.text, _UPS)
        )
    return _is_empty_sql(down) and not (up is not None and _is_empty_sql(up))


def is_empty_up(up: Script) -> bool:
    """Return whether an up script has no statement, as a new file from its template."""
    if up.language is Language.PYTHON:
        return _has_empty_function(up.text, _UPS)
    return _is_empty_sql(up)


def is_no_op(script: Script) -> bool:
    """Return whether SQL changes nothing, as ``SELECT 1;``: its author has nothing to undo."""
    statements = _split(script)
    return statements is not None and all(_does_nothing(script.sql, one) for one in statements)


def may_stop_counting(script: Script) -> bool:
    """Return whether a script mentions ``track_counts``, without which changed rows are not counted."""
    return "track_counts" in script.sql.lower()


def _is_empty_sql(script: Script) -> bool:
    if script.language is not Language.SQL:
        return False
    statements = _split(script)
    return statements is not None and all(_is_control(script.sql, one) for one in statements)


def _split(script: Script) -> tuple[Statement, ...] | None:
    """Return the statements, or ``None`` if the script cannot be split."""
    if script.language is not Language.SQL:
        return None
    try:
        return split_statements(script.sql)
    except SqlTextInvalid:
        return None


def _is_control(sql: str, statement: Statement) -> bool:
    return classify(sql, statement).control in _BLOCK_ENDS


def _does_nothing(sql: str, statement: Statement) -> bool:
    if statement.words[:1] in _SETTERS or _is_control(sql, statement):
        return True
    if statement.words[:1] == ("DO",):
        return _is_empty_block(sql[statement.start : statement.end])
    return _selects_literals(sql, statement)


def _is_empty_block(text: str) -> bool:
    """Return whether the body of a DO statement is only BEGIN, NULL and END."""
    bodies = [text[t.start : t.end] for t in tokenize(text) if t.kind is TokenKind.DOLLAR_STRING]
    if len(bodies) != 1:
        return False
    tag = len(bodies[0]) - len(bodies[0][1:].partition("$")[2])
    return _EMPTY_BODY.fullmatch(bodies[0][tag:-tag]) is not None


def _selects_literals(sql: str, statement: Statement) -> bool:
    """Return whether a SELECT or VALUES contains only literals."""
    if statement.words[:1] not in {("SELECT",), ("VALUES",)}:
        return False
    text = sql[statement.start : statement.end]
    previous = ""
    for token in tokenize(text):
        word = text[token.start : token.end].upper()
        is_name = token.kind in _NAMES and word not in _LITERAL_WORDS
        is_call = token.kind is TokenKind.OPEN and previous not in {"VALUES", ",", "SELECT", "("}
        if is_call or (is_name and previous not in _BEFORE_NAMES):
            return False
        previous = word
    return True


def _has_empty_function(text: str, names: tuple[str, ...]) -> bool:
    function = find_function(text, *names)
    return function is not None and is_empty(function)
