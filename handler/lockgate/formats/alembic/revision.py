"""Reads one Alembic revision from its syntax, without running it and without the alembic library."""

from __future__ import annotations

import ast
import re
from dataclasses import field
from typing import TYPE_CHECKING

from lockgate.core.migration import Direction, Obstacle
from lockgate.core.python_source import PythonInvalid, find_deferred_work, only_raises, parse_python
from lockgate.fast_start.dataclass import dataclass
from lockgate.formats.shared.python_file import is_down_empty, make_idle_obstacle
from lockgate.formats.shared.scripts import unusable_file

if TYPE_CHECKING:
    from collections.abc import Iterator

_VARIABLES = ("revision", "down_revision", "branch_labels", "depends_on")
# The parts of alembic.context that work without env.py (`postgres.apply.alembic_step`).
KNOWN_CONTEXT = frozenset(
    {
        "config",
        "execute",
        "get_bind",
        "get_context",
        "get_impl",
        "is_offline_mode",
        "is_transactional_ddl",
    }
)
_FUNCTIONS = {"upgrade": Direction.UP, "downgrade": Direction.DOWN}
# In Alembic's oldest files the name is the id.
_LEGACY_NAME = re.compile(r"(?:.*/)?([a-f0-9]+)\.py")
_ILLEGAL = re.compile(r"[@\-+:]")
# After a semicolon, END may belong to a function body.
_ENDS_TRANSACTION = re.compile(
    r"\A\s*(?:end|abort|begin|start\s+transaction)\b"
    r"|(?:\A|;)\s*(?:commit|rollback(?!\s+to))\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Revision:
    """The content of a revision's file. ``ends_transaction``: the directions that commit themselves.

    ``idle`` are the directions whose function would not run when it is called.
    """

    revision: str
    path: str
    line: int
    title: str
    downs: tuple[str, ...]
    depends: tuple[str, ...]
    labels: tuple[str, ...]
    has_down: bool
    ends_transaction: frozenset[Direction]
    obstacle: Obstacle | None
    idle: dict[Direction, Obstacle] = field(default_factory=dict)
    is_down_empty: bool = False


def read_revision(text: str, path: str) -> Revision:
    """Return the content of a revision's file.

    Raises:
        MigrationFileInvalid: it is not Python, has no ``revision``, ``down_revision`` or ``upgrade``,
            or one of its variables is not a literal.
    """
    module = _parse(text, path)
    values: dict[str, tuple[str, ...]] = {}
    lines: dict[str, int] = {}
    for name, value in _assignments(module):
        if name in _VARIABLES:
            values[name], lines[name] = _read_names(value, path), value.lineno
    revision = _read_id(values, lines, path)
    if "down_revision" not in values:
        raise _missing(path, "down_revision", "down_revision = None, or the id of the one before")
    bodies = _read_functions(module)
    if Direction.UP not in bodies:
        raise _missing(path, "upgrade()", "def upgrade() -> None")
    return Revision(
        revision=revision,
        path=path,
        line=lines.get("down_revision", 1),
        title=_read_title(module),
        downs=values["down_revision"],
        depends=values.get("depends_on", ()),
        labels=values.get("branch_labels", ()),
        has_down=_has_downgrade(bodies),
        ends_transaction=_find_enders(module, bodies),
        obstacle=_find_obstacle(module, bodies),
        is_down_empty=is_down_empty(bodies.get(Direction.UP), bodies.get(Direction.DOWN)),
        idle={
            direction: obstacle
            for name, direction in _FUNCTIONS.items()
            if (obstacle := make_idle_obstacle(name, find_deferred_work(module, name))) is not None
        },
    )


def _parse(text: str, path: str) -> ast.Module:
    try:
        return parse_python(text, path)
    except PythonInvalid as error:
        why = f"has a Python syntax error: {error.reason}"
        raise unusable_file(path, why, "Correct the file.", line=error.line) from None


def _assignments(module: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    for node in module.body:
        match node:
            case ast.Assign(targets=targets, value=value):
                yield from ((t.id, value) for t in targets if isinstance(t, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                yield name, value
            case _:
                pass


def _read_names(node: ast.expr, path: str) -> tuple[str, ...]:
    """Return the names of a variable: one, several or none."""
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, RecursionError, MemoryError):
        value = node
    names = (value,) if isinstance(value, str) else value
    if names is None:
        return ()
    if not isinstance(names, (tuple, list, set)) or not all(isinstance(n, str) for n in names):
        raise unusable_file(
            path,
            "computes the names of revisions, which are then unknown without running it",
            'Write them as strings: down_revision = "1975ea83b712".',
            line=node.lineno,
        )
    return tuple(sorted(names)) if isinstance(names, set) else tuple(names)


def _read_id(values: dict[str, tuple[str, ...]], lines: dict[str, int], path: str) -> str:
    legacy = _LEGACY_NAME.fullmatch(path)
    given = values.get("revision", () if legacy is None else (legacy[1],))
    if len(given) != 1:
        raise _missing(path, "revision", 'revision = "1975ea83b712"')
    if _ILLEGAL.search(given[0]):
        raise unusable_file(
            path,
            f'has the revision "{given[0]}", and Alembic allows no @ - + : in a name',
            "Remove the character, here and wherever the revision is named.",
            line=lines.get("revision", 1),
        )
    return given[0]


def _missing(path: str, what: str, example: str) -> Exception:
    return unusable_file(
        path,
        f"has no {what}, so it is not an Alembic revision",
        f"Add {example}, or move the file out of the folder of revisions.",
    )


def _read_title(module: ast.Module) -> str:
    """Return the first paragraph of the docstring: the message of ``alembic revision -m``."""
    title = " ".join((ast.get_docstring(module) or "").split("\n\n")[0].split())
    # Without a message, the docstring begins with what Alembic adds to it.
    return "" if title.startswith("Revision ID:") else title


def _read_functions(module: ast.Module) -> dict[Direction, ast.FunctionDef | None]:
    """Return what is bound to ``upgrade`` and ``downgrade``; ``None`` if it is not a plain function."""
    found: dict[Direction, ast.FunctionDef | None] = {}
    for node in module.body:
        names: list[str] = []
        match node:
            case ast.FunctionDef(name=name) if name in _FUNCTIONS:
                found[_FUNCTIONS[name]] = node
            case ast.ImportFrom(names=aliases):
                names = [alias.asname or alias.name for alias in aliases]
            case ast.Assign(targets=targets):
                names = [target.id for target in targets if isinstance(target, ast.Name)]
        found |= {_FUNCTIONS[name]: None for name in names if name in _FUNCTIONS}
    return found


def _has_downgrade(bodies: dict[Direction, ast.FunctionDef | None]) -> bool:
    """Return whether there is a downgrade that does more than raise an error."""
    if Direction.DOWN not in bodies:
        return False
    function = bodies[Direction.DOWN]
    return function is None or not only_raises(function)


def _find_enders(
    module: ast.Module, bodies: dict[Direction, ast.FunctionDef | None]
) -> frozenset[Direction]:
    """Return the directions that end their transaction; code outside of both may belong to either."""
    inside = {
        direction: {id(node) for node in ast.walk(function) if _ends_transaction(node)}
        for direction, function in bodies.items()
        if function is not None
    }
    everywhere = {id(node) for node in ast.walk(module) if _ends_transaction(node)}
    if everywhere - set().union(*inside.values()):
        return frozenset(Direction)
    return frozenset(direction for direction, found in inside.items() if found)


def _ends_transaction(node: ast.AST) -> bool:
    match node:
        case ast.Attribute(attr="autocommit_block"):
            return True
        case ast.Call(func=ast.Attribute(attr="execute" | "exec_driver_sql"), args=[first, *_]):
            return any(_is_control(part) for part in ast.walk(first))
        case ast.keyword(arg="isolation_level", value=ast.Constant(value=str(level))):
            return level.upper() == "AUTOCOMMIT"
    return False


def _is_control(node: ast.AST) -> bool:
    match node:
        case ast.Constant(value=str(sql)):
            return _ENDS_TRANSACTION.search(sql) is not None
    return False


def _find_obstacle(
    module: ast.Module, bodies: dict[Direction, ast.FunctionDef | None]
) -> Obstacle | None:
    for function in bodies.values():
        if function is not None and _needs_arguments(function):
            return Obstacle(
                f"has {function.name} with arguments that env.py would pass, and Lockgate does not run"
                " env.py",
                "Give the arguments defaults, or give each database a folder of revisions of its own.",
                function.lineno,
            )
    line = _find_context(module)
    if line is None:
        return None
    return Obstacle(
        "uses values of alembic.context that env.py or the command line sets, and neither is run",
        "Use op.get_context() and op.get_bind(), or write the value itself.",
        line,
    )


def _needs_arguments(function: ast.FunctionDef) -> bool:
    arguments = function.args
    positional = len(arguments.posonlyargs) + len(arguments.args) - len(arguments.defaults)
    return positional > 0 or any(default is None for default in arguments.kw_defaults)


def _find_context(module: ast.Module) -> int | None:
    """Return the line where the module uses a part of ``alembic.context`` that needs env.py."""
    names = {
        alias.asname or alias.name
        for node in ast.walk(module)
        if isinstance(node, ast.ImportFrom) and node.module == "alembic"
        for alias in node.names
        if alias.name == "context"
    }
    for node in ast.walk(module):
        match node:
            case ast.Attribute(value=ast.Name(id=name), attr=asked) if name in names:
                if asked not in KNOWN_CONTEXT:
                    return node.lineno
            case _:
                pass
    return None
