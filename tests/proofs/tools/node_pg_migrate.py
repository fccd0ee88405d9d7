"""node-pg-migrate with SQL files, and a transaction for each migration."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from tests.proofs.folder import Trait, make_changes
from tests.proofs.kit import Down, Tool
from tests.proofs.peers import make_url

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.proofs.folder import Change
    from tests.proofs.kit import PeerProject
    from tests.support.database import Database

UNDONE = 25
NODE_MAJOR = 20


def lay_out(changes: Sequence[Change]) -> dict[str, str]:
    """Write one file with both directions."""
    return {
        f"migrations/{change.version}_{change.name}.sql": f"-- Up Migration\n{change.up_sql}\n"
        f"-- Down Migration\n{change.down_sql}"
        for change in changes
    }


def check_node(project: PeerProject) -> None:
    """Skip the test if Node.js is too old for it."""
    node = project.peers.find_program("node")
    major = subprocess.check_output([node, "-p", "process.versions.node.split('.')[0]"])
    if int(major) < NODE_MAJOR:
        pytest.skip(f"node-pg-migrate needs Node.js {NODE_MAJOR}, and this is {int(major)}")


def run(project: PeerProject, database: Database, *command: str) -> str:
    """Run one command on a database."""
    check_node(project)
    options = ("--no-single-transaction", "--no-verbose", "--migrations-dir=migrations")
    url = make_url(database)
    return project.run("node-pg-migrate", *command, *options, database=database, DATABASE_URL=url)


def migrate(project: PeerProject, database: Database) -> str:
    """Apply everything."""
    return run(project, database, "up")


def undo(project: PeerProject, database: Database) -> None:
    """Undo the last migrations."""
    run(project, database, "down", str(UNDONE))


TOOL = Tool(
    name="node-pg-migrate",
    # It runs SQL only in a transaction, and its driver does not support COPY.
    changes=make_changes(without=frozenset({Trait.COPY, Trait.CONCURRENT})),
    lay_out=lay_out,
    up=migrate,
    own="DROP TABLE IF EXISTS pgmigrations",
    history="pgmigrations",
    down=Down(UNDONE, undo),
)
