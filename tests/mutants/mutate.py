"""Finds the small changes that a good test suite must notice in a Python file."""

from __future__ import annotations

import ast
import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.Lt: "<=",
    ast.LtE: "<",
    ast.Gt: ">=",
    ast.GtE: ">",
    ast.In: "not in",
    ast.NotIn: "in",
    ast.Is: "is not",
    ast.IsNot: "is",
}
_OPERATORS: dict[type[ast.operator], str] = {ast.Add: "-", ast.Sub: "+", ast.Mult: "//"}
_TEXTS = (ast.JoinedStr, ast.List, ast.Tuple, ast.ListComp)


@dataclass(frozen=True, slots=True)
class Change:
    """A piece of a file and what takes its place; offsets count characters."""

    start: int
    end: int
    text: str

    def apply(self, source: str) -> str:
        """Return the changed file."""
        return source[: self.start] + self.text + source[self.end :]

    def diff(self, source: str, path: str) -> str:
        """Return the change as a unified diff with one line around it."""
        before, after = source.splitlines(), self.apply(source).splitlines()
        return "\n".join(difflib.unified_diff(before, after, path, path, lineterm="", n=1))


def find_changes(source: str) -> list[Change]:
    """Return every change of a file, in the order of the text.

    Left alone are annotations, docstrings, decorators, and what only type checkers read.
    """
    found = {
        change
        for node in _walk(ast.parse(source))
        for change in _changes(node, _Places(source))
        if change.apply(source) != source
    }
    return sorted(found, key=lambda change: (change.start, change.end, change.text))


class _Places:
    """Offsets in a text by line and column; `ast` counts columns in bytes of UTF-8."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._lines = source.splitlines(keepends=True)
        self._starts = [0]
        for line in self._lines:
            self._starts.append(self._starts[-1] + len(line))

    def start(self, node: ast.expr | ast.stmt) -> int:
        return self._offset(node.lineno, node.col_offset)

    def end(self, node: ast.expr | ast.stmt) -> int:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._offset(node.end_lineno, node.end_col_offset)

    def text(self, node: ast.expr | ast.stmt) -> str:
        return self.source[self.start(node) : self.end(node)]

    def _offset(self, line: int, column: int) -> int:
        return self._starts[line - 1] + len(self._lines[line - 1].encode()[:column].decode())


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    for name, value in ast.iter_fields(node):
        if name in {"annotation", "returns", "decorator_list"}:
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not _is_for_type_checkers(child):
                yield from _walk(child)


def _is_for_type_checkers(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.If)
        and isinstance(node.test, ast.Name)
        and node.test.id == "TYPE_CHECKING"
    )


def _changes(node: ast.AST, places: _Places) -> Iterator[Change]:
    if isinstance(node, ast.Compare):
        yield from _change_comparison(node, places)
    elif isinstance(node, ast.BoolOp):
        yield from _change_connection(node, places)
    elif isinstance(node, ast.BinOp):
        yield from _change_operator(node, places)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield _replace(node, places, f"({places.text(node.operand)})")
    elif isinstance(node, ast.Constant):
        yield from _change_constant(node, places)
    elif isinstance(node, ast.If | ast.IfExp | ast.While):
        yield _replace(node.test, places, f"not ({places.text(node.test)})")
    else:
        yield from _change_statement(node, places)


def _replace(node: ast.expr | ast.stmt, places: _Places, text: str) -> Change:
    return Change(places.start(node), places.end(node), text)


def _between(before: ast.expr, after: ast.expr, places: _Places, new: str) -> Change:
    """Return the change of what stands between two operands; brackets and space stay."""
    start, end = places.end(before), places.start(after)
    gap = places.source[start:end]
    left = gap[: len(gap) - len(gap.lstrip(") \n\t\\"))]
    right = gap[len(gap.rstrip("( \n\t\\")) :]
    return Change(start, end, f"{left}{new}{right}")


def _change_comparison(node: ast.Compare, places: _Places) -> Iterator[Change]:
    operands = [node.left, *node.comparators]
    for before, operator, after in zip(operands, node.ops, operands[1:], strict=False):
        yield _between(before, after, places, _COMPARISONS[type(operator)])


def _change_connection(node: ast.BoolOp, places: _Places) -> Iterator[Change]:
    word = "or" if isinstance(node.op, ast.And) else "and"
    for before, after in zip(node.values, node.values[1:], strict=False):
        yield _between(before, after, places, word)


def _change_operator(node: ast.BinOp, places: _Places) -> Iterator[Change]:
    new = _OPERATORS.get(type(node.op))
    if new and not any(_is_text(one) for one in (node.left, node.right)):
        yield _between(node.left, node.right, places, new)


def _is_text(node: ast.expr) -> bool:
    """Return whether an operand is one for which only + and * exist: any change of those is found."""
    is_string = isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)
    return is_string or isinstance(node, _TEXTS)


def _change_constant(node: ast.Constant, places: _Places) -> Iterator[Change]:
    if isinstance(node.value, bool):
        yield _replace(node, places, str(not node.value))
    elif isinstance(node.value, int):
        yield _replace(node, places, str(node.value + 1))


def _change_statement(node: ast.AST, places: _Places) -> Iterator[Change]:
    match node:
        case ast.Return(value=ast.expr() as value) if places.text(value) != "None":
            yield _replace(value, places, "None")
        case ast.Expr(value=ast.Call()) | ast.Raise() | ast.AugAssign():
            yield _replace(node, places, "pass")
        case ast.Continue():
            yield _replace(node, places, "break")
        case ast.Break():
            yield _replace(node, places, "continue")
        case _:
            return
