"""yoyo's Python files, read from their syntax where they only carry SQL. Runs nothing of them.

``step("up", "down")`` with its texts written out becomes a script; what must be run to know what it
does is an obstacle.
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
# Both put steps together, and change nothing for a database that can roll DDL back.
_GROUPS = ("group", "transaction")


class _NeedsPython(Exception):
    """Something in the file can be known only by running it, or not be done at all."""

    def __init__(
        self,
        node: ast.AST,
        why: str = "can be known only by running it, and yoyo's Python files are read without that",
        hint: str = 'Write the step as step("SQL", "SQL"), or as NAME.sql and NAME.rollback.sql.',
    ) -> None:
        super().__init__(why)
        self.node = node
        self.why = why
        self.hint = hint

    def make_obstacle(self) -> Obstacle:
        """Return what is said of the script."""
        return Obstacle(self.why, self.hint, getattr(self.node, "lineno", 1))


@dataclass(frozen=True, slots=True)
class PythonSteps:
    """What a Python file says. ``down`` is ``None`` where no step can be undone."""

    up: Script
    down: Script | None
    depends: tuple[str, ...]
    depends_line: int


@dataclass(frozen=True, slots=True)
class _Text:
    """An SQL text and the line at which it begins."""

    sql: str
    line: int


@dataclass(frozen=True, slots=True)
class _Step:
    up: _Text | None
    down: _Text | None


def read_python_file(text: str, path: str) -> PythonSteps:
    """Return the steps of a Python file.

    What can be known only by running it is an obstacle of its script.

    Raises:
        MigrationFileInvalid: it is no Python, or ``__depends__`` is not written out.
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
                    "does not write its __depends__ out",
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
    """Return the steps in their order, and what the file says of transactions."""
    assigned = {id(value): name for name, value in _assignments(module)}
    steps: list[_Step] = []
    names: dict[str, list[_Step]] = {}
    transaction = None
    for node in module.body:
        value = getattr(node, "value", None)
        name = assigned.get(id(value))
        if _says_nothing(node) or name == "__depends__":
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


def _says_nothing(node: ast.stmt) -> bool:
    """Tell whether a statement is a docstring or an import of what is known here."""
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
    """Return every step once: what goes into a group is no step beside it."""
    seen: set[int] = set()
    kept: list[_Step] = []
    for step in reversed(steps):
        if id(step) not in seen:
            seen.add(id(step))
            kept.append(step)
    return kept[::-1]


def _read_steps(node: ast.expr, names: dict[str, list[_Step]]) -> list[_Step]:
    """Return the steps of an expression in order.

    A step that was given a name and stands in a group is run where the group is.
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
    """Return the texts as one script, each on the lines where it stands in the file."""
    pieces: list[str] = []
    line = 1
    for text in texts:
        if text is None or not text.sql.strip():
            continue
        gap = "\n" * max(0, text.line - line)
        # A comment at the end would swallow the semicolon.
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
                f"hands {keyword.arg or 'keywords'} to a step, and here no error is passed over",
                "Take it out; write IF EXISTS or IF NOT EXISTS where its work may be done already.",
            )
