"""node-pg-migrate and Lockgate on the same folder: up, half-and-half and down give equal schemas."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest
from tests.proofs.folder import Trait, make_changes
from tests.support.project import Project

from lockgate.core.request import Action

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import MakeDatabase
    from tests.proofs.conftest import FindPeer, RunPeer
    from tests.proofs.folder import Change
    from tests.support.database import Database

# It runs SQL only in a transaction, and its driver does not support COPY.
CHANGES = make_changes(without=frozenset({Trait.COPY, Trait.CONCURRENT}))
HALF = len(CHANGES) // 2 + 3
UNDONE = 25
PAIRED = 40
NODE_MAJOR = 20

# Pairs of files can only be configured by a program.
RUN_PAIRS = """
import { pathToFileURL } from "node:url";

const settings = JSON.parse(process.env.PROOF);
const { runner } = await import(pathToFileURL(settings.module));
const options = {
  databaseUrl: process.env.DATABASE_URL,
  dir: settings.folder,
  migrationsTable: "pgmigrations",
  singleTransaction: false,
  verbose: false,
  log: () => {},
  migrationLoaderStrategies: [{ extensions: [".sql"], loader: "sql" }],
};
await runner({ ...options, direction: "up" });
await runner({ ...options, direction: "down", count: settings.undone });
"""


@pytest.fixture
def original(find_peer: FindPeer, run_peer: RunPeer, tmp_path: Path) -> Original:
    """Return node-pg-migrate with the whole folder."""
    node = find_peer("node")
    major = subprocess.check_output([node, "-p", "process.versions.node.split('.')[0]"])
    if int(major) < NODE_MAJOR:
        pytest.skip(f"node-pg-migrate needs Node.js {NODE_MAJOR}, and this is {int(major)}")
    folder = tmp_path / "whole"
    write_folder(folder, CHANGES)
    return Original(find_peer("node-pg-migrate"), node, run_peer, folder)


class Original:
    """node-pg-migrate's program and the folder that it reads."""

    def __init__(self, program: Path, node: Path, run: RunPeer, folder: Path) -> None:
        self.program = program
        self.node = node
        self._run = run
        self.folder = folder

    def run(self, database: Database, *command: str, folder: Path | None = None) -> None:
        """Run one command on a database, with a transaction per migration."""
        self._run(
            self.program,
            *command,
            "--no-single-transaction",
            "--no-verbose",
            f"--migrations-dir={folder or self.folder}",
            database=database,
            cwd=self.folder.parent,
            DATABASE_URL=make_url(database),
        )

    def run_pairs(self, database: Database, folder: Path, *, undone: int) -> None:
        """Apply a folder of pairs, then undo the last ones."""
        (self.folder.parent / "run.mjs").write_text(RUN_PAIRS)
        module = self.program.resolve().parents[1] / "dist" / "bundle" / "index.js"
        settings = {"module": str(module), "folder": str(folder), "undone": undone}
        self._run(
            self.node,
            "run.mjs",
            database=database,
            cwd=self.folder.parent,
            DATABASE_URL=make_url(database),
            PROOF=json.dumps(settings),
        )


def make_url(database: Database) -> str:
    """Return the database URL for the Node.js driver."""
    place = f"{database.user}:{database.password}@{database.host}:{database.port}/{database.name}"
    return f"postgres://{place}?sslmode=verify-full&sslrootcert={database.ca_file}"


def write_folder(folder: Path, changes: list[Change]) -> None:
    """Write the changes in node-pg-migrate's layout."""
    folder.mkdir()
    for change in changes:
        text = f"-- Up Migration\n{change.up_sql}\n-- Down Migration\n{change.down_sql}"
        (folder / f"{change.version}_{change.name}.sql").write_text(text)


def make_project(folder: Path, database: Database) -> Project:
    """Return a Lockgate project for that folder."""
    return Project(folder, database, {"LOCKGATE_FORMAT": "node-pg-migrate"})


def dump(database: Database) -> str:
    """Return the schema without the tool's own table."""
    database.run("DROP TABLE IF EXISTS pgmigrations")
    return database.dump()


def test_up_gives_the_schema_that_node_pg_migrate_gives(
    original: Original, make_database: MakeDatabase
) -> None:
    """node-pg-migrate and Lockgate apply the whole folder to the same schema."""
    theirs, ours = make_database(), make_database()
    original.run(theirs, "up")
    report = make_project(original.folder, ours).run(Action.UP)
    assert len(CHANGES) == len(report.applied)
    assert dump(theirs) == dump(ours)


def test_half_by_node_pg_migrate_adopted_and_finished_gives_the_same_schema(
    original: Original, make_database: MakeDatabase, tmp_path: Path
) -> None:
    """Lockgate adopts and finishes what the tool began, and leaves the tool's table unchanged."""
    theirs, ours = make_database(), make_database()
    half = tmp_path / "half"
    write_folder(half, CHANGES[:HALF])
    original.run(theirs, "up")
    original.run(ours, "up", folder=half)
    project = make_project(original.folder, ours)
    adopted = project.do(Action.ADOPT, source="node-pg-migrate", reason="we move")
    finished = project.run(Action.UP)
    left = ours.run("SELECT count(*) FROM pgmigrations")
    expected = ("applied", [[HALF]], len(CHANGES) - HALF, dump(theirs))
    assert expected == (adopted.status, left, len(finished.applied), dump(ours))


def test_down_gives_the_schema_that_node_pg_migrate_gives(
    original: Original, make_database: MakeDatabase
) -> None:
    """node-pg-migrate and Lockgate undo the same migrations to the same schema."""
    theirs, ours = make_database(), make_database()
    original.run(theirs, "up")
    original.run(theirs, "down", str(UNDONE))
    project = make_project(original.folder, ours)
    project.run(Action.UP)
    report = project.do(Action.DOWN, steps=UNDONE, reason="proof", allow_data_loss=True)
    assert (UNDONE, dump(theirs)) == (len(report.reverted), dump(ours))


def test_pairs_of_files_are_what_node_pg_migrate_makes_of_them(
    original: Original, make_database: MakeDatabase, tmp_path: Path
) -> None:
    """Up and a partial down give the same schema, and Lockgate adopts the tool's history."""
    theirs, ours = make_database(), make_database()
    folder = tmp_path / "pairs"
    folder.mkdir()
    for change in CHANGES[:PAIRED]:
        name = f"{change.version}_{change.name}"
        (folder / f"{name}.up.sql").write_text(change.up_sql)
        (folder / f"{name}.down.sql").write_text(change.down_sql)
    original.run_pairs(theirs, folder, undone=UNDONE)
    project = make_project(folder, ours)
    project.run(Action.UP)
    project.do(Action.DOWN, steps=UNDONE, reason="proof", allow_data_loss=True)
    again = make_project(folder, theirs)
    adopted = again.do(Action.ADOPT, source="node-pg-migrate", reason="we move")
    assert (PAIRED - UNDONE, dump(theirs)) == (len(adopted.recorded), dump(ours))
