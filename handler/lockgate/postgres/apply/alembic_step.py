"""Running an Alembic revision: Alembic's operations over the connection of the run.

Uses no ``env.py`` and no ``alembic_version``: each revision runs under Lockgate's lock and is recorded
in Lockgate's history.
"""

from __future__ import annotations

import ast
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from lockgate.core.migration import Direction
from lockgate.core.python_source import PythonInvalid, parse_python

if TYPE_CHECKING:
    from collections.abc import Iterator

    import sqlalchemy
    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    from lockgate.core.migration import Script

FUNCTIONS = {Direction.UP: "upgrade", Direction.DOWN: "downgrade"}
_OURS = frozenset({"up", "down"})
# Alembic's versions may be in subfolders, for example by release or branch.
_DEEPEST = 5


def is_revision(text: str) -> bool:
    """Return whether a Python migration is an Alembic revision, by the names that it defines.

    The history stores only the text of a migration, so the text must be enough.
    """
    try:
        body = parse_python(text).body
    except PythonInvalid:
        return False
    names = {node.name for node in body if isinstance(node, ast.FunctionDef)}
    variables = {
        target.id
        for node in body
        if isinstance(node, (ast.Assign, ast.AnnAssign))
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    return names.isdisjoint(_OURS) and "down_revision" in variables


def import_named(text: str) -> None:
    """Import modules that a revision uses through their package without importing them.

    ``import app`` and then ``app.types.Money()`` work under Alembic because env.py, or another
    revision, has imported ``app.types`` before.
    """
    tree = parse_python(text)
    imports = (node for node in ast.walk(tree) if isinstance(node, ast.Import))
    roots = {one.name.partition(".")[0] for node in imports for one in node.names}
    for node in ast.walk(tree):
        names = _names_of(node)
        if names and names[0] in roots:
            _import_along(names)


def _names_of(node: ast.AST) -> list[str]:
    match node:
        case ast.Name(id=name):
            return [name]
        case ast.Attribute(value=value, attr=name):
            before = _names_of(value)
            return [*before, name] if before else []
        case _:
            return []


def _import_along(names: list[str]) -> None:
    """Import module after module; the remaining names are attributes of the last one."""
    place: object = _import(names[0])
    for name in names[1:]:
        if not isinstance(place, ModuleType):
            return
        place = getattr(place, name, None) or _import(f"{place.__name__}.{name}")


def _import(name: str) -> ModuleType | None:
    """Import a module if possible; otherwise the revision itself raises the error, with its line."""
    with suppress(ImportError):
        return import_module(name)
    return None


@contextmanager
def operate(
    lent: sqlalchemy.Connection,
    script: Script,
    memo: dict[str, Any],
    refusal: type[Exception] | None,
) -> Iterator[None]:
    """Make ``alembic.op`` work on a connection.

    ``memo`` is what Alembic remembers between the revisions of one run: a named type that one revision
    created is not created again with the table of a later one. With ``refusal``, the connection is in a
    transaction that must not end, and ``autocommit_block()`` raises that exception. Without it, Alembic
    begins and commits transactions itself.
    """
    from alembic.operations import Operations  # slow, and only revisions need it
    from alembic.runtime.environment import EnvironmentContext  # slow, and only revisions need it

    context = _make_context(lent, script, refusal)
    context.impl.memo = memo
    # No script directory: the format refuses revisions that would use one (`KNOWN_CONTEXT`).
    environment = EnvironmentContext(_read_config(script), cast("ScriptDirectory", None))
    environment._migration_context = context  # noqa: SLF001 - env.py would configure it
    with (
        environment,
        Operations.context(context),
        context.begin_transaction(_per_migration=True),
    ):
        yield


def _make_context(
    lent: sqlalchemy.Connection, script: Script, refusal: type[Exception] | None
) -> MigrationContext:
    """Return Alembic's context for a connection; with ``refusal``, one that refuses to commit."""
    from alembic.runtime.migration import MigrationContext  # slow, and only revisions need it

    class Context(MigrationContext):
        """Alembic's context, which cannot leave the transaction of the run."""

        @property
        def config(self) -> Config:
            """The project's configuration, as ``alembic`` in a terminal reads it."""
            return _read_config(script)

        @contextmanager
        def autocommit_block(self) -> Iterator[None]:
            """Leave the transaction, if it is the revision's own."""
            if refusal is not None:
                raise refusal(
                    "the revision called autocommit_block(), which commits; the transaction belongs"
                    " to the run. Call it directly in upgrade() or downgrade(), where Lockgate finds it"
                )
            with super().autocommit_block():
                yield

    return Context(lent.dialect, lent, {"transaction_per_migration": True})


def _read_config(script: Script) -> Config:
    """Return the ``alembic.ini`` above a revision's file, or an empty configuration."""
    from alembic.config import Config  # slow, and only revisions need it

    folders = [] if script.origin is None else Path(script.origin).parents[:_DEEPEST]
    files = [folder / "alembic.ini" for folder in folders]
    return Config(next((str(file) for file in files if file.is_file()), None))
