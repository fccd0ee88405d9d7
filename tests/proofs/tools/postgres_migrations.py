"""postgres-migrations, which has no down and no command that migrates."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.proofs.folder import Trait, make_changes
from tests.proofs.kit import Tool
from tests.proofs.peers import make_node_connection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.proofs.folder import Change
    from tests.proofs.kit import PeerProject
    from tests.support.database import Database

OUTSIDE = "-- postgres-migrations disable-transaction\n"
RUN = """
const fs = require("node:fs");
const { Client } = require("pg");
const { migrate } = require("postgres-migrations");
const settings = JSON.parse(process.env.PROOF);

(async () => {
  const client = new Client({ ...settings.connection, ssl: { ca: fs.readFileSync(settings.ca) } });
  await client.connect();
  try {
    await migrate({ client }, "migrations");
  } catch (error) {
    console.log(error.message);
  } finally {
    await client.end();
  }
})();
"""


def lay_out(changes: Sequence[Change]) -> dict[str, str]:
    """Number the files, using each of the tool's separators."""
    return {
        f"migrations/{number:04d}{'-_'[number % 2]}{change.name}.sql": change.up_sql
        if change.trait is not Trait.CONCURRENT
        else OUTSIDE + change.up_sql
        for number, change in enumerate(changes, start=1)
    }


def run(project: PeerProject, database: Database) -> str:
    """Apply a folder's pending migrations; return the error message, or "" on success."""
    modules = project.peers.find_program("pg-validate-migrations").parents[1]
    settings = json.dumps(make_node_connection(database))
    return project.run("node", "-e", RUN, database=database, PROOF=settings, NODE_PATH=str(modules))


def migrate(project: PeerProject, database: Database) -> str:
    """Apply everything without an error."""
    assert "" == run(project, database)
    return ""


TOOL = Tool(
    name="postgres-migrations",
    # Its driver does not support COPY.
    changes=make_changes(without=frozenset({Trait.COPY})),
    lay_out=lay_out,
    up=migrate,
    own="DROP TABLE IF EXISTS migrations",
    # Row 0 is the migration that created the table.
    history="migrations WHERE id > 0",
)
