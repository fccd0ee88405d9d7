"""dbmate. It undoes one migration per command."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tests.proofs.folder import Trait, make_changes
from tests.proofs.kit import Down, Tool
from tests.proofs.peers import make_url

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.proofs.folder import Change
    from tests.proofs.kit import PeerProject
    from tests.support.database import Database

# dbmate sends a file as one message, which cannot contain COPY data.
CHANGES = make_changes(without=frozenset({Trait.COPY}))
UNDONE = 21


def lay_out(changes: Sequence[Change]) -> dict[str, str]:
    """Write one file with both directions."""
    return {
        f"migrations/{change.version}_{change.name}.sql": make_text(change) for change in changes
    }


def make_text(change: Change) -> str:
    """Return a change with the markers of both directions."""
    option = "" if change.in_transaction else " transaction:false"
    return f"-- migrate:up{option}\n{change.up_sql}\n-- migrate:down{option}\n{change.down_sql}"


def run(project: PeerProject, database: Database, command: str) -> str:
    """Run one command on a database."""
    options = (f"--url={make_url(database)}", "--migrations-dir=migrations", "--no-dump-schema")
    return project.run("dbmate", *options, command, database=database)


def undo(project: PeerProject, database: Database) -> None:
    """Undo the last migrations."""
    for _ in range(UNDONE):
        run(project, database, "rollback")


TOOL = Tool(
    name="dbmate",
    changes=CHANGES,
    lay_out=lay_out,
    up=partial(run, command="up"),
    own="DROP TABLE IF EXISTS schema_migrations",
    history="schema_migrations",
    down=Down(UNDONE, undo, CHANGES[-UNDONE - 1].version),
)
