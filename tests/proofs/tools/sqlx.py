"""sqlx."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.proofs.folder import Trait, make_changes
from tests.proofs.kit import Down, Tool
from tests.proofs.peers import make_url

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.proofs.folder import Change
    from tests.proofs.kit import PeerProject
    from tests.support.database import Database

# Its driver does not support COPY in a script.
CHANGES = make_changes(without=frozenset({Trait.COPY}))
UNDONE = 21
TARGET = CHANGES[-UNDONE - 1].version


def lay_out(changes: Sequence[Change]) -> dict[str, str]:
    """Write pairs of files."""
    files = {}
    for change in changes:
        head = "" if change.in_transaction else "-- no-transaction\n"
        name = f"migrations/{change.version}_{change.name}"
        files[f"{name}.up.sql"] = head + change.up_sql
        files[f"{name}.down.sql"] = head + change.down_sql
    return files


def run(project: PeerProject, database: Database, *command: str) -> str:
    """Run one command of ``sqlx migrate`` on a database."""
    options = ("--source=migrations", f"--database-url={make_url(database)}")
    return project.run("sqlx", "migrate", *command, *options, database=database)


def migrate(project: PeerProject, database: Database) -> str:
    """Apply everything."""
    return run(project, database, "run")


def undo(project: PeerProject, database: Database) -> None:
    """Undo the last migrations."""
    run(project, database, "revert", f"--target-version={TARGET}")


TOOL = Tool(
    name="sqlx",
    changes=CHANGES,
    lay_out=lay_out,
    up=migrate,
    own="DROP TABLE IF EXISTS _sqlx_migrations",
    history="_sqlx_migrations",
    down=Down(UNDONE, undo, TARGET),
)
