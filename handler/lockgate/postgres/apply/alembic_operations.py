"""Operations that plugins add to Alembic: imported and checked before any revision runs.

Otherwise a revision that calls a missing operation would fail only after the revisions before it.
"""

from __future__ import annotations

import ast
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING

from lockgate.core.migration import Direction
from lockgate.core.python_source import parse_python
from lockgate.errors import MigrationFileInvalid
from lockgate.postgres.apply.alembic_step import FUNCTIONS, is_revision

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lockgate.core.migration import Script

_SETTING = "LOCKGATE_ALEMBIC_PLUGINS"
_DOWNGRADE = FUNCTIONS[Direction.DOWN]


def import_plugins(names: Iterable[str]) -> None:
    """Import the modules that add operations to Alembic.

    Raises:
        MigrationFileInvalid: a module cannot be imported.
    """
    for name in names:
        try:
            import_module(name)
        # A module may raise anything while it is imported.
        except Exception as error:
            raise MigrationFileInvalid(
                f"Module {name} in {_SETTING} cannot be imported: {type(error).__name__}: {error}.",
                hint=f"Install it: pip install {name.partition('.')[0].replace('_', '-')}. For a"
                " function, add it to the package or to a layer.",
            ) from error


def check_operations(scripts: Iterable[Script]) -> None:
    """Refuse a revision that calls an operation which neither Alembic nor a plugin has.

    Raises:
        MigrationFileInvalid: a revision does; the error names file and line.
    """
    for script in scripts:
        if is_revision(script.text):
            _check_revision(script)


def _check_revision(script: Script) -> None:
    from alembic import op  # for the migrations that need it

    module = parse_python(script.text)
    called = list(_find_operations(module))
    if any(not hasattr(op, name) for name, _ in called):
        # A revision may import the plugin itself.
        _import_modules(module)
    for name, line in called:
        if not hasattr(op, name):
            raise MigrationFileInvalid(
                f"{script.path}:{line}: the revision calls op.{name}, which Alembic does not have.",
                hint=f"If a plugin adds it, set {_SETTING}=MODULE to the module that env.py imports,"
                " such as alembic_postgresql_enum. It must be installed, or in the function's package.",
                file=script.path,
                line=line,
            )


def _find_operations(module: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield name and line of each operation that is called outside ``downgrade``."""
    names = {
        alias.asname or alias.name
        for node in ast.walk(module)
        if isinstance(node, ast.ImportFrom) and node.module == "alembic"
        for alias in node.names
        if alias.name == "op"
    }
    for statement in module.body:
        if isinstance(statement, ast.FunctionDef) and statement.name == _DOWNGRADE:
            continue
        for node in ast.walk(statement):
            match node:
                case ast.Attribute(value=ast.Name(id=used), attr=name) if used in names:
                    yield name, node.lineno
                case _:
                    pass


def _import_modules(module: ast.Module) -> None:
    for node in module.body:
        found: list[str] = []
        match node:
            case ast.Import(names=aliases):
                found = [alias.name for alias in aliases]
            case ast.ImportFrom(module=str(name), level=0):
                found = [name]
        for name in found:
            # If a module cannot be imported, the revision itself raises the error, with its line.
            with suppress(Exception):
                import_module(name)
