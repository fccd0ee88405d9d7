"""yoyo's Python files, read from their syntax where they only carry SQL. Runs nothing of them.

``step("up", "down")`` with its texts written out becomes a script; whatever must be run to know what
it does is refused with its line.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lockgate.formats.scripts import make_script, unusable_file

if TYPE_CHECKING:
    from lockgate.core.migration import Script
    from lockgate.errors import MigrationFileInvalid

_STEP = "step"
# Both put steps together, and change nothing for a database that can roll DDL back.
_GROUPS = ("group", "transaction")


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

    Raises:
        MigrationFileInvalid: it is no Python, or anything in it is no step with its SQL written out.
    """
    module = _parse(text, path)
    steps: list[_Step] = []
    names: dict[str, list[_Step]] = {}
    depends: tuple[str, ...] = ()
    depends_line, transaction = 1, None
    for node in module.body:
        match node:
            case ast.Expr(value=ast.Constant(value=str())) | ast.Import() | ast.ImportFrom():
                _refuse_other_import(node, path)
            case ast.Expr(value=call):
                steps += _read_steps(call, path, names)
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ):
                if name == "__depends__":
                    depends, depends_line = _read_names(value, path), node.lineno
                elif name == "__transactional__":
                    transaction = _read_bool(value, path)
                else:
                    names[name] = _read_steps(value, path, names)
                    steps += names[name]
            case _:
                raise _needs_python(path, node)
    return PythonSteps(
        _make_script([s.up for s in _once(steps)], path, transaction=transaction),
        _make_down(_once(steps), path, transaction=transaction),
        depends,
        depends_line,
    )


def _parse(text: str, path: str) -> ast.Module:
    try:
        return ast.parse(text.removeprefix("\ufeff"), path)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        why = f"is no Python: {getattr(error, 'msg', error)}"
        raise unusable_file(path, why, "Correct the file.", line=line) from None


def _once(steps: list[_Step]) -> list[_Step]:
    """Return every step once: what goes into a group is no step beside it."""
    seen: set[int] = set()
    kept: list[_Step] = []
    for step in reversed(steps):
        if id(step) not in seen:
            seen.add(id(step))
            kept.append(step)
    return kept[::-1]


def _read_steps(node: ast.expr, path: str, names: dict[str, list[_Step]]) -> list[_Step]:
    """Return the steps of an expression in order.

    A step that was given a name and stands in a group is run where the group is.
    """
    match node:
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            return [step for part in parts for step in _read_steps(part, path, names)]
        case ast.Name(id=name) if name in names:
            return names[name]
        case ast.Call(func=func, args=args, keywords=keywords):
            called = _name_of(func)
            if called == _STEP:
                return [_read_step(node, args, keywords, path)]
            if called in _GROUPS:
                given = [*args, *(k.value for k in keywords if k.arg == "steps")]
                _refuse_keywords(keywords, ("steps",), path)
                return [step for part in given for step in _read_steps(part, path, names)]
    raise _needs_python(path, node)


def _read_step(
    node: ast.expr, args: list[ast.expr], keywords: list[ast.keyword], path: str
) -> _Step:
    _refuse_keywords(keywords, ("apply", "rollback"), path)
    given = dict(zip(("apply", "rollback"), args, strict=False))
    given |= {k.arg: k.value for k in keywords if k.arg is not None}
    if len(args) > len(given) or "apply" not in given:
        raise _needs_python(path, node)
    return _Step(_read_sql(given["apply"], path), _read_sql(given.get("rollback"), path))


def _read_sql(node: ast.expr | None, path: str) -> _Text | None:
    match node:
        case None | ast.Constant(value=None):
            return None
        case ast.Constant(value=str(sql)):
            return _Text(sql, node.lineno)
    raise _needs_python(path, node)


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


def _read_names(node: ast.expr, path: str) -> tuple[str, ...]:
    value = _literal(node, path)
    names = (value,) if isinstance(value, str) else tuple(value)
    if not all(isinstance(name, str) for name in names):
        raise _needs_python(path, node)
    return names if not isinstance(value, (set, dict)) else tuple(sorted(names))


def _read_bool(node: ast.expr, path: str) -> bool:
    value = _literal(node, path)
    if not isinstance(value, bool):
        raise _needs_python(path, node)
    return value


def _literal(node: ast.expr, path: str) -> Any:
    match node:
        case ast.Call(func=ast.Name(id="set"), args=[]):
            return ()
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError):
        raise _needs_python(path, node) from None


def _name_of(func: ast.expr) -> str | None:
    match func:
        case ast.Name(id=name) | ast.Attribute(value=ast.Name(id="yoyo"), attr=name):
            return name
    return None


def _refuse_keywords(keywords: list[ast.keyword], known: tuple[str, ...], path: str) -> None:
    for keyword in keywords:
        if keyword.arg not in known:
            raise unusable_file(
                path,
                f"hands {keyword.arg or 'keywords'} to a step, and Lockgate lets no error pass",
                "Take it out; write IF EXISTS or IF NOT EXISTS where the step may find its work done.",
                line=keyword.value.lineno,
            )


def _refuse_other_import(node: ast.stmt, path: str) -> None:
    match node:
        case (
            ast.Import(names=[ast.alias(name="yoyo")])
            | ast.ImportFrom(module="yoyo" | "__future__")
        ):
            return
        case ast.Expr():
            return
    raise _needs_python(path, node)


def _needs_python(path: str, node: ast.AST) -> MigrationFileInvalid:
    return unusable_file(
        path,
        "can be known only by running it, and Lockgate reads yoyo's Python files without that",
        'Write the step as step("SQL", "SQL"), or as NAME.sql and NAME.rollback.sql.',
        line=getattr(node, "lineno", 1),
    )
