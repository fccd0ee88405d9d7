"""Knex and Lockgate on the same SQL: up, half-and-half and down give equal schemas.

Knex reads JavaScript. Projects use SQL in two ways, and both are tested: a custom migration source,
and the one-line scripts of knex-migrate-sql-file.
"""

from __future__ import annotations

import json
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

# Its driver does not support COPY.
CHANGES = make_changes(without=frozenset({Trait.COPY}))
HALF = len(CHANGES) // 2 + 3
STUB = 'module.exports = require("knex-migrate-sql-file")();\n'
OUTSIDE = "module.exports.config = { transaction: false };\n"

# The settings of a project whose migrations are pairs of SQL files.
KNEXFILE = """
const fs = require("node:fs");
const path = require("node:path");
const settings = JSON.parse(process.env.PROOF);
const read = (name) => fs.readFileSync(path.join(settings.folder, name), "utf8");

class SqlSource {
  async getMigrations() {
    const names = fs.readdirSync(settings.folder).filter((name) => name.endsWith(".up.sql"));
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
    ? { directory: settings.folder }
    : { migrationSource: new SqlSource() },
};
"""


@pytest.fixture
def original(find_peer: FindPeer, run_peer: RunPeer, tmp_path: Path) -> Original:
    """Return Knex with the whole folder."""
    (tmp_path / "knexfile.js").write_text(KNEXFILE)
    folder = tmp_path / "whole"
    write_folder(folder, CHANGES)
    return Original(find_peer("knex"), run_peer, folder)


class Original:
    """Knex's program and the folder that it reads."""

    def __init__(self, program: Path, run: RunPeer, folder: Path) -> None:
        self.program = program
        self._run = run
        self.folder = folder

    def run(
        self, database: Database, command: str, *, folder: Path | None = None, stubs: bool = False
    ) -> None:
        """Run one command on a database."""
        connection = {
            "host": database.host,
            "port": database.port,
            "user": database.user,
            "password": database.password,
            "database": database.name,
        }
        settings = {
            "connection": connection,
            "ca": str(database.ca_file),
            "folder": str(folder or self.folder),
            "stubs": stubs,
        }
        self._run(
            self.program,
            command,
            database=database,
            cwd=self.folder.parent,
            PROOF=json.dumps(settings),
            NODE_PATH=str(self.program.parents[1]),
        )


def write_folder(folder: Path, changes: list[Change], *, stubs: bool = False) -> None:
    """Write the changes as pairs of files, optionally with knex-migrate-sql-file's scripts."""
    folder.mkdir()
    for change in changes:
        name = f"{change.version}_{change.name}"
        (folder / f"{name}.up.sql").write_text(change.up_sql)
        (folder / f"{name}.down.sql").write_text(change.down_sql)
        if stubs:
            (folder / f"{name}.js").write_text(STUB + ("" if change.in_transaction else OUTSIDE))


def make_project(folder: Path, database: Database) -> Project:
    """Return a Lockgate project for that folder."""
    return Project(folder, database, {"LOCKGATE_FORMAT": "knex"})


def dump(database: Database) -> str:
    """Return the schema without Knex's own tables."""
    database.run("DROP TABLE IF EXISTS knex_migrations, knex_migrations_lock")
    return database.dump()


def test_up_gives_the_schema_that_knex_gives(
    original: Original, make_database: MakeDatabase
) -> None:
    """Knex and Lockgate apply the whole folder to the same schema."""
    theirs, ours = make_database(), make_database()
    original.run(theirs, "migrate:latest")
    report = make_project(original.folder, ours).run(Action.UP)
    assert len(CHANGES) == len(report.applied)
    assert dump(theirs) == dump(ours)


def test_half_by_knex_adopted_and_finished_gives_the_same_schema(
    original: Original, make_database: MakeDatabase, tmp_path: Path
) -> None:
    """Lockgate adopts and finishes what Knex began, and leaves Knex's table unchanged."""
    theirs, ours = make_database(), make_database()
    half = tmp_path / "half"
    write_folder(half, CHANGES[:HALF])
    original.run(theirs, "migrate:latest")
    original.run(ours, "migrate:latest", folder=half)
    project = make_project(original.folder, ours)
    adopted = project.do(Action.ADOPT, source="knex", reason="we move")
    finished = project.run(Action.UP)
    left = ours.run("SELECT count(*) FROM knex_migrations")
    expected = ("applied", [[HALF]], len(CHANGES) - HALF, dump(theirs))
    assert expected == (adopted.status, left, len(finished.applied), dump(ours))


def test_scripts_of_knex_migrate_sql_file_are_what_knex_makes_of_them(
    original: Original, make_database: MakeDatabase, tmp_path: Path
) -> None:
    """Knex and Lockgate undo the last of two batches to the same schema."""
    theirs, ours = make_database(), make_database()
    whole, half = tmp_path / "stubs", tmp_path / "half"
    changes = CHANGES[: len(CHANGES) // 4]
    write_folder(whole, changes, stubs=True)
    write_folder(half, changes[:20], stubs=True)
    original.run(theirs, "migrate:latest", folder=half, stubs=True)
    original.run(theirs, "migrate:latest", folder=whole, stubs=True)
    original.run(ours, "migrate:latest", folder=whole, stubs=True)
    original.run(theirs, "migrate:rollback", folder=whole, stubs=True)
    project = make_project(whole, ours)
    adopted = project.do(Action.ADOPT, source="knex", reason="we move")
    undone = len(changes) - 20
    report = project.do(Action.DOWN, steps=undone, reason="proof", allow_data_loss=True)
    expected = ("applied", undone, dump(theirs))
    assert expected == (adopted.status, len(report.reverted), dump(ours))
