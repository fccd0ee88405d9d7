"""Analyse the functions of a Python migration by their syntax, without running them."""

from __future__ import annotations

import ast
import warnings

from lockgate.fast_start.dataclass import dataclass

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
# Syntax that makes a function do more than return: it runs other code or does not finish.
_ACTIVE = (
    ast.Call,
    ast.Await,
    ast.Raise,
    ast.Yield,
    ast.YieldFrom,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.With,
    ast.AsyncWith,
    ast.AugAssign,
    ast.comprehension,
)


class PythonInvalid(ValueError):
    """The text is not Python."""

    def __init__(self, reason: str, line: int, column: int | None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line
        self.column = column


@dataclass(frozen=True, slots=True)
class DeferredWork:
    """A function that returns before doing its work; ``what`` completes "it is"."""

    what: str
    line: int


def parse_python(text: str, path: str = "<unknown>") -> ast.Module:
    """Return the syntax tree of a text.

    Raises:
        PythonInvalid: the text has a syntax error, or is nested more deeply than Python can parse.
    """
    try:
        with warnings.catch_warnings():
            # Running the file warns of an escape such as "\\d".
            warnings.simplefilter("ignore")
            return ast.parse(text, path)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        reason = str(getattr(error, "msg", error))
        raise PythonInvalid(reason, line, getattr(error, "offset", None)) from None
    except (RecursionError, MemoryError):
        raise PythonInvalid("it is nested too deeply", 1, None) from None


def find_function(text: str, *names: str) -> ast.FunctionDef | None:
    """Return the last function of one of these names at the top level of a text."""
    try:
        body = parse_python(text).body
    except PythonInvalid:
        return None
    found = [one for one in body if isinstance(one, ast.FunctionDef) and one.name in names]
    return found[-1] if found else None


def find_deferred_work(module: ast.Module, name: str) -> DeferredWork | None:
    """Return why calling a top-level function would not run its body, or ``None``.

    A generator runs when it is iterated over, a coroutine when it is awaited. Lockgate does neither.
    """
    found: DeferredWork | None = None
    for node in module.body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() if node.name == name:
                found = _find_deferred_work(node, module)
            case ast.Assign(targets=targets, value=value):
                if any(isinstance(one, ast.Name) and one.id == name for one in targets):
                    found = _find_deferred_work(value, module)
            case ast.AnnAssign(target=ast.Name(id=bound), value=ast.expr() as value):
                if bound == name:
                    found = _find_deferred_work(value, module)
    return found


def _find_deferred_work(node: ast.AST, module: ast.Module) -> DeferredWork | None:
    line = getattr(node, "lineno", 1)
    match node:
        case ast.AsyncFunctionDef():
            return DeferredWork("an async function", line)
        case ast.FunctionDef():
            if any(isinstance(one, (ast.Yield, ast.YieldFrom)) for one in _walk_own(node)):
                return DeferredWork("a generator (it contains yield)", line)
            returned = [one.value for one in _walk_own(node) if isinstance(one, ast.Return)]
            if returned and all(isinstance(one, ast.GeneratorExp | ast.Lambda) for one in returned):
                return DeferredWork("a function that returns its work instead of doing it", line)
        case ast.Lambda(body=ast.GeneratorExp() | ast.Yield() | ast.YieldFrom() | ast.Lambda()):
            return DeferredWork("a lambda that returns its work instead of doing it", line)
        case ast.Name(id=name):
            return next(
                (
                    _find_deferred_work(one, module)
                    for one in module.body
                    if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef) and one.name == name
                ),
                None,
            )
    return None


def _walk_own(function: ast.FunctionDef) -> list[ast.AST]:
    """Return the nodes of a function's body, without those of functions inside it."""
    waiting: list[ast.AST] = list(function.body)
    found: list[ast.AST] = []
    while waiting:
        node = waiting.pop()
        found.append(node)
        if not isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            waiting.extend(ast.iter_child_nodes(node))
    return found


def is_empty(function: ast.FunctionDef) -> bool:
    """Return whether a function does nothing: a docstring, ``pass``, ``...``, or a bare ``return``.

    A function that calls nothing does nothing either. A decorated one may do anything.
    """
    return not function.decorator_list and not any(
        isinstance(node, _ACTIVE) for node in _walk_own(function)
    )


def only_raises(function: ast.FunctionDef) -> bool:
    """Return whether a function only raises an error, as one for an irreversible migration does."""
    body = [node for node in function.body if not _is_docstring(node)]
    return len(body) == 1 and isinstance(body[0], ast.Raise)


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
