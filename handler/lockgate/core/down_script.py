"""Whether a down script does anything: an empty one counts as missing, a no-op is deliberate.

Reads text alone; runs nothing.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from lockgate.core.migration import Language
from lockgate.core.sql import Control, TokenKind, classify, split_statements, tokenize

if TYPE_CHECKING:
    from lockgate.core.migration import Script
    from lockgate.core.sql import Statement

# The function of each direction in a Python file: ours, Alembic's.
_DOWNS = frozenset({"down", "downgrade"})
_UPS = frozenset({"up", "upgrade"})
_NAMES = frozenset({TokenKind.WORD, TokenKind.QUOTED_IDENTIFIER})
_LITERAL_WORDS = frozenset({"SELECT", "AS", "NULL", "TRUE", "FALSE"})
_BEFORE_NAMES = frozenset({"AS", "::"})
_BLOCK_ENDS = frozenset({Control.BEGIN, Control.COMMIT})


def is_empty_down(down: Script, up: Script | None) -> bool:
    """Tell whether a down script has nothing in it although its up, where that is known, has something.

    BEGIN and COMMIT alone do nothing; in Python neither do a docstring, ``pass`` and ``...``.
    """
    if down.language is Language.PYTHON:
        return _has_empty_function(down.text, _DOWNS) and not _has_empty_function(down.text, _UPS)
    return _is_empty_sql(down) and not (up is not None and _is_empty_sql(up))


def is_no_op(script: Script) -> bool:
    """Tell whether SQL only selects literals, such as ``SELECT 1;``: it says that nothing is undone."""
    return script.language is Language.SQL and all(
        _selects_literals(script.sql, one) or _is_transaction_control(script.sql, one)
        for one in split_statements(script.sql)
    )


def _is_empty_sql(script: Script) -> bool:
    return script.language is Language.SQL and all(
        _is_transaction_control(script.sql, one) for one in split_statements(script.sql)
    )


def _is_transaction_control(sql: str, statement: Statement) -> bool:
    return classify(sql, statement).control in _BLOCK_ENDS


def _selects_literals(sql: str, statement: Statement) -> bool:
    """Tell whether a SELECT calls no function and reads nothing."""
    if statement.words[:1] != ("SELECT",):
        return False
    text = sql[statement.start : statement.end]
    previous = ""
    for token in tokenize(text):
        word = text[token.start : token.end].upper()
        is_name = token.kind in _NAMES and word not in _LITERAL_WORDS
        if token.kind is TokenKind.OPEN or (is_name and previous not in _BEFORE_NAMES):
            return False
        previous = word
    return True


def _has_empty_function(text: str, names: frozenset[str]) -> bool:
    functions = [
        node
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef) and node.name in names
    ]
    return bool(functions) and all(all(map(_does_nothing, function.body)) for function in functions)


def _does_nothing(node: ast.stmt) -> bool:
    match node:
        case ast.Pass() | ast.Expr(value=ast.Constant()) | ast.Return(value=None):
            return True
        case ast.Return(value=ast.Constant(value=None)):
            return True
        case _:
            return False
