"""node-pg-migrate with pairs of files, which only a program can configure."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.proofs.peers import make_url
from tests.proofs.tools.knex import lay_out as lay_out_pairs
from tests.proofs.tools.node_pg_migrate import TOOL, UNDONE, check_node

from lockgate.core.request import Action

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.proofs.kit import PeerProject, Proof, Tool
    from tests.support.database import Database

PAIRED = 40
RUN_PAIRS = """
import { pathToFileURL } from "node:url";

const settings = JSON.parse(process.env.PROOF);
const { runner } = await import(pathToFileURL(settings.module));
const options = {
  databaseUrl: process.env.DATABASE_URL,
  dir: "migrations",
  migrationsTable: "pgmigrations",
  singleTransaction: false,
  verbose: false,
  log: () => {},
  migrationLoaderStrategies: [{ extensions: [".sql"], loader: "sql" }],
};
await runner({ ...options, direction: "up" });
await runner({ ...options, direction: "down", count: settings.undone });
"""


def run_pairs(project: PeerProject, database: Database) -> None:
    """Apply a folder of pairs, then undo the last ones."""
    check_node(project)
    (project.folder / "run.mjs").write_text(RUN_PAIRS)
    program = project.peers.find_program("node-pg-migrate").resolve()
    module = program.parents[1] / "dist" / "bundle" / "index.js"
    settings = json.dumps({"module": str(module), "undone": UNDONE})
    url = make_url(database)
    project.run("node", "run.mjs", database=database, DATABASE_URL=url, PROOF=settings)


def test_pairs_of_files_are_what_node_pg_migrate_makes_of_them(
    prove: Callable[[Tool], Proof],
) -> None:
    """Up and a partial down give the same schema, and Lockgate adopts the tool's history."""
    proof = prove(replace(TOOL, changes=TOOL.changes[:PAIRED], lay_out=lay_out_pairs))
    project = proof.write()
    run_pairs(project, proof.theirs)
    ours = proof.open(project)
    ours.run(Action.UP)
    proof.undo(ours, steps=UNDONE)
    adopted = proof.adopt(proof.open(project, proof.theirs))
    expected = (PAIRED - UNDONE, proof.dump(proof.theirs))
    assert expected == (len(adopted.recorded), proof.dump(proof.ours))
