"""Running a revision through the alembic library: its operations over a connection that is lent.

Knows revisions' functions. Knows no ``env.py``, no ``alembic_version`` and no order: one revision at
a time is run under the run's own lock and recorded in its own history. The only user of alembic.
"""

from __future__ import annotations

import ast
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lockgate.core.migration import Direction

if TYPE_CHECKING:
    from collections.abc import Iterator

    import sqlalchemy
    from alembic.config import Config

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
        body = ast.parse(text).body
    except (SyntaxError, ValueError):
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
    from alembic.operations import Operations  # noqa: PLC0415
    from alembic.runtime.migration import MigrationContext  # noqa: PLC0415

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
    with Operations.context(context), context.begin_transaction(_per_migration=True):
        yield


def _read_config(script: Script) -> Config:
    """Return ``alembic.ini`` of the project that a revision's file lies in; an empty one without."""
    from alembic.config import Config  # noqa: PLC0415

    folders = [] if script.origin is None else Path(script.origin).parents[:_DEEPEST]
    files = [folder / "alembic.ini" for folder in folders]
    return Config(next((str(file) for file in files if file.is_file()), None))
