"""Reads yoyo's Python files from their syntax, without running them.

``step("up", "down")`` with literal SQL becomes a script. Anything that would have to be run is an
obstacle.
"""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lockgate.core.migration import Language, Obstacle
from lockgate.core.python_source import PythonInvalid, parse_python
from lockgate.fast_start.dataclass import dataclass
from lockgate.formats.shared.scripts import make_script, unusable_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lockgate.core.migration import Script

_STEP = "step"
# Both group steps, which makes no difference on a database with transactional DDL.
_GROUPS = ("group", "transaction")


class _NeedsPython(Exception):
    """A part of the file that only running it could explain, or that Lockgate does not support."""

    def __init__(
        self,
        node: ast.AST,
        why: str = "has more than steps with literal SQL, and Lockgate does not run yoyo's Python",
        hint: str = 'Write the step as step("SQL", "SQL"), or as NAME.sql and NAME.rollback.sql.',
    ) -> None:
        super().__init__(why)
        self.node = node
        self.why = why
        self.hint = hint

    def make_obstacle(self) -> Obstacle:
        """Return the obstacle for the script."""
        return Obstacle(self.why, self.hint, getattr(self.node, "lineno", 1))


@dataclass(frozen=True, slots=True)
class PythonSteps:
    """The content of a Python file. ``down`` is ``None`` if no step has a rollback."""

    up: Script
    down: Script | None
    depends: tuple[str, ...]
    depends_line: int


@dataclass(frozen=True, slots=True)
class _Text:
    """An SQL text and the line where it begins."""

    sql: str
    line: int


@dataclass(frozen=True, slots=True)
class _Step:
    up: _Text | None
    down: _Text | None


def read_python_file(text: str, path: str) -> PythonSteps:
    """Return the steps of a Python file.

    Anything that would have to be run is an obstacle of its script.

    Raises:
        MigrationFileInvalid: it is not Python, or ``__depends__`` is not a literal.
    """
    module = _parse(text, path)
    depends, line = _read_depends(module, path)
    try:
        steps, transaction = _read_module(module)
    except _NeedsPython as found:
        script = replace(
            make_script(text, path), language=Language.PYTHON, obstacle=found.make_obstacle()
        )
        return PythonSteps(script, None, depends, line)
    return PythonSteps(
        _make_script([step.up for step in steps], path, transaction=transaction),
        _make_down(steps, path, transaction=transaction),
        depends,
        line,
    )


def _read_depends(module: ast.Module, path: str) -> tuple[tuple[str, ...], int]:
    for name, node in _assignments(module):
        if name == "__depends__":
            try:
                return _read_names(node), node.lineno
            except _NeedsPython:
                raise unusable_file(
                    path,
                    "has a __depends__ that is not a literal",
                    'Write it as __depends__ = {"NAME", "NAME"}.',
                    line=node.lineno,
                ) from None
    return (), 1


def _assignments(module: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    for node in module.body:
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ):
                yield name, value
            case _:
                pass


def _read_module(module: ast.Module) -> tuple[list[_Step], bool | None]:
    """Return the steps in order, and the value of ``__transactional__``."""
    assigned = {id(value): name for name, value in _assignments(module)}
    steps: list[_Step] = []
    names: dict[str, list[_Step]] = {}
    transaction = None
    for node in module.body:
        value = getattr(node, "value", None)
        name = assigned.get(id(value))
        if _is_irrelevant(node) or name == "__depends__":
            continue
        if value is None:
            raise _NeedsPython(node)
        if name == "__transactional__":
            transaction = _read_bool(value)
        else:
            found = _read_steps(value, names)
            steps += found
            if name is not None:
                names[name] = found
    return _once(steps), transaction


def _is_irrelevant(node: ast.stmt) -> bool:
    """Return whether a statement is a docstring or an import without effect on the steps."""
    match node:
        case ast.Expr(value=ast.Constant(value=str())):
            return True
        case ast.Import(names=[ast.alias(name="yoyo")]):
            return True
        case ast.ImportFrom(module="yoyo" | "__future__" | "typing"):
            return True
    return False


def _parse(text: str, path: str) -> ast.Module:
    try:
        return parse_python(text.removeprefix("\ufeff"), path)
    except PythonInvalid as error:
        why = f"has a Python syntax error: {error.reason}"
        raise unusable_file(path, why, "Correct the file.", line=error.line) from None


def _once(steps: list[_Step]) -> list[_Step]:
    """Return every step once: a step in a group does not run again on its own."""
    seen: set[int] = set()
    kept: list[_Step] = []
    for step in reversed(steps):
        if id(step) not in seen:
            seen.add(id(step))
            kept.append(step)
    return kept[::-1]


def _read_steps(node: ast.expr, names: dict[str, list[_Step]]) -> list[_Step]:
    """Return the steps of an expression in order.

    A step that was assigned to a name and used in a group runs where the group is.
    """
    match node:
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            return [step for part in parts for step in _read_steps(part, names)]
        case ast.Name(id=name) if name in names:
            return names[name]
        case ast.Call(func=func, args=args, keywords=keywords):
            called = _name_of(func)
            if called == _STEP:
                return [_read_step(node, args, keywords)]
            if called in _GROUPS:
                _refuse_keywords(keywords, ("steps",))
                given = [*args, *(k.value for k in keywords)]
                return [step for part in given for step in _read_steps(part, names)]
    raise _NeedsPython(node)


def _read_step(node: ast.expr, args: list[ast.expr], keywords: list[ast.keyword]) -> _Step:
    _refuse_keywords(keywords, ("apply", "rollback"))
    given = dict(zip(("apply", "rollback"), args, strict=False))
    given |= {k.arg: k.value for k in keywords if k.arg is not None}
    if len(args) > len(given) or "apply" not in given:
        raise _NeedsPython(node)
    return _Step(_read_sql(given["apply"]), _read_sql(given.get("rollback")))


def _read_sql(node: ast.expr | None) -> _Text | None:
    match node:
        case None | ast.Constant(value=None):
            return None
        case ast.Constant(value=str(sql)):
            return _Text(sql, node.lineno)
    raise _NeedsPython(node)


def _make_script(texts: list[_Text | None], path: str, *, transaction: bool | None) -> Script:
    """Return the texts as one script, each on its lines in the file."""
    pieces: list[str] = []
    line = 1
    for text in texts:
        if text is None or not text.sql.strip():
            continue
        gap = "\n" * max(0, text.line - line)
        # After a comment, the semicolon needs a line of its own.
        end = "\n;" if "--" in text.sql.rpartition("\n")[2] else ";"
        pieces.append(f"{gap}{text.sql}{end}")
        line += pieces[-1].count("\n")
    return make_script("".join(pieces), path, transaction=transaction)


def _make_down(steps: list[_Step], path: str, *, transaction: bool | None) -> Script | None:
    texts = [step.down for step in reversed(steps)]
    return _make_script(texts, path, transaction=transaction) if any(texts) else None


def _read_names(node: ast.expr) -> tuple[str, ...]:
    value = _literal(node)
    names = (value,) if isinstance(value, str) else tuple(value)
    if not all(isinstance(name, str) for name in names):
        raise _NeedsPython(node)
    return names if isinstance(value, (list, tuple, str)) else tuple(sorted(names))


def _read_bool(node: ast.expr) -> bool:
    value = _literal(node)
    if not isinstance(value, bool):
        raise _NeedsPython(node)
    return value


def _literal(node: ast.expr) -> Any:
    match node:
        case ast.Call(func=ast.Name(id="set"), args=[]):
            return ()
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, RecursionError, MemoryError):
        raise _NeedsPython(node) from None


def _name_of(func: ast.expr) -> str | None:
    match func:
        case ast.Name(id=name) | ast.Attribute(value=ast.Name(id="yoyo"), attr=name):
            return name
    return None


def _refuse_keywords(keywords: list[ast.keyword], known: tuple[str, ...]) -> None:
    for keyword in keywords:
        if keyword.arg not in known:
            raise _NeedsPython(
                keyword.value,
                f"passes {keyword.arg or 'keywords'} to a step, and Lockgate ignores no errors",
                "Remove it; use IF EXISTS or IF NOT EXISTS where the work may already be done.",
            )
