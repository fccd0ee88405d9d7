"""Running a revision through the alembic library: its operations over a connection that is lent.

Knows revisions' functions. Knows no ``env.py``, no ``alembic_version`` and no order: one revision at
a time is run under the run's own lock and recorded in its own history. The only user of alembic.
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
    from alembic.script import ScriptDirectory

    from lockgate.core.migration import Script

FUNCTIONS = {Direction.UP: "upgrade", Direction.DOWN: "downgrade"}
_OURS = frozenset({"up", "down"})
# A project's versions may be in its script folder, by release and branch.
_DEEPEST = 5


def is_revision(text: str) -> bool:
    """Return whether a Python migration is Alembic's, by the functions that it defines.

    What the history keeps of a migration is its text, so that the text has to tell.
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
    """Import the modules that a revision names by their packages alone.

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
    """Import module by module as far as that goes; the rest are names in the last one."""
    place: object = _import(names[0])
    for name in names[1:]:
        if not isinstance(place, ModuleType):
            return
        place = getattr(place, name, None) or _import(f"{place.__name__}.{name}")


def _import(name: str) -> ModuleType | None:
    """Import a module; what is none, or cannot be imported, the revision itself will stumble over."""
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

    ``memo`` is what Alembic remembers from revision to revision of one run: a named type that one of
    them made is not made again with a later one's table. With ``refusal`` the connection is in a
    transaction that must not end: a revision that leaves it by ``autocommit_block()`` raises that.
    Without, Alembic begins and commits as it does itself.
    """
    # Only revisions pay for them, and only they need the library.
    from alembic.operations import Operations  # for the migrations that need it
    from alembic.runtime.environment import EnvironmentContext  # for the migrations that need it
    from alembic.runtime.migration import MigrationContext  # for the migrations that need it

    class Context(MigrationContext):
        """Alembic's context, without a way out of the run's transaction."""

        @property
        def config(self) -> Config:
            """The project's configuration, as ``alembic`` in a terminal reads it."""
            return _read_config(script)

        @contextmanager
        def autocommit_block(self) -> Iterator[None]:
            """Leave the transaction, where that is the revision's own."""
            if refusal is not None:
                raise refusal(
                    "the revision called autocommit_block(), which commits; the transaction belongs"
                    " to the run. Call it in upgrade() or downgrade() itself, where it is seen"
                )
            with super().autocommit_block():
                yield

    context = Context(lent.dialect, lent, {"transaction_per_migration": True})
    context.impl.memo = memo
    # No script directory: what a revision could ask it, the format has refused (`KNOWN_CONTEXT`).
    environment = EnvironmentContext(_read_config(script), cast("ScriptDirectory", None))
    environment._migration_context = context  # noqa: SLF001 - env.py would configure it
    with (
        environment,
        Operations.context(context),
        context.begin_transaction(_per_migration=True),
    ):
        yield


def _read_config(script: Script) -> Config:
    """Return ``alembic.ini`` of the project that a revision's file lies in; an empty one without."""
    from alembic.config import Config  # for the migrations that need it

    folders = [] if script.origin is None else Path(script.origin).parents[:_DEEPEST]
    files = [folder / "alembic.ini" for folder in folders]
    return Config(next((str(file) for file in files if file.is_file()), None))
