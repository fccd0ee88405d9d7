"""Knex with a custom migration source, which is how projects make it read SQL."""

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

STUB = 'module.exports = require("knex-migrate-sql-file")();\n'
OUTSIDE = "module.exports.config = { transaction: false };\n"

# The settings of a project whose migrations are pairs of SQL files.
KNEXFILE = """
const fs = require("node:fs");
const path = require("node:path");
const settings = JSON.parse(process.env.PROOF);
const read = (name) => fs.readFileSync(path.join("migrations", name), "utf8");

class SqlSource {
  async getMigrations() {
    const names = fs.readdirSync("migrations").filter((name) => name.endsWith(".up.sql"));
    return names.map((name) => name.slice(0, -".up.sql".length)).sort();
  }
  getMigrationName(name) {
    return name;
  }
  async getMigration(name) {
    const up = read(`${name}.up.sql`);
    const down = read(`${name}.down.sql`);
    return {
      up: (knex) => knex.raw(up),
      down: (knex) => knex.raw(down),
      config: { transaction: !/CONCURRENTLY|^BEGIN;/m.test(up) },
    };
  }
}

module.exports = {
  client: "pg",
  connection: { ...settings.connection, ssl: { ca: fs.readFileSync(settings.ca) } },
  migrations: settings.stubs
    ? { directory: "migrations" }
    : { migrationSource: new SqlSource() },
};
"""


def lay_out(changes: Sequence[Change]) -> dict[str, str]:
    """Write pairs of files and the settings."""
    files = {"knexfile.js": KNEXFILE}
    for change in changes:
        name = f"migrations/{change.version}_{change.name}"
        files |= {f"{name}.up.sql": change.up_sql, f"{name}.down.sql": change.down_sql}
    return files


def lay_out_stubs(changes: Sequence[Change]) -> dict[str, str]:
    """Write pairs of files with the one-line scripts of knex-migrate-sql-file."""
    stubs = {
        f"migrations/{change.version}_{change.name}.js": STUB
        + ("" if change.in_transaction else OUTSIDE)
        for change in changes
    }
    return lay_out(changes) | stubs


def run(project: PeerProject, database: Database, command: str, *, stubs: bool = False) -> str:
    """Run one command on a database."""
    settings = {**make_node_connection(database), "stubs": stubs}
    modules = project.peers.find_program("knex").parents[1]
    return project.run(
        "knex", command, database=database, PROOF=json.dumps(settings), NODE_PATH=str(modules)
    )


def migrate(project: PeerProject, database: Database) -> str:
    """Apply everything."""
    return run(project, database, "migrate:latest")


TOOL = Tool(
    name="knex",
    # Its driver does not support COPY.
    changes=make_changes(without=frozenset({Trait.COPY})),
    lay_out=lay_out,
    up=migrate,
    own="DROP TABLE IF EXISTS knex_migrations, knex_migrations_lock",
    history="knex_migrations",
)
