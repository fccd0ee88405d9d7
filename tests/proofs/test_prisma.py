"""Prisma's schema engine and Lockgate on the same folder: up and half-and-half give equal schemas.

The engine is Prisma's own, in its WebAssembly build from npm. Its PostgreSQL adapter would cut
scripts at every semicolon; here a script is sent whole, as in the engine's native build.
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
LOCK_FILE = 'provider = "postgresql"\n'

# The steps of `prisma migrate deploy` around the engine.
DEPLOY = """
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const settings = JSON.parse(process.env.PROOF);
const read = (...path) => readFileSync(join(settings.folder, ...path), "utf8");
const load = (path) => import(pathToFileURL(join(settings.modules, path)));

const engineFolder = "@prisma/schema-engine-wasm";
const glue = await load(`${engineFolder}/schema_engine_bg.js`);
const code = readFileSync(join(settings.modules, engineFolder, "schema_engine_bg.wasm"));
const { instance } = await WebAssembly.instantiate(code, { "./schema_engine_bg.js": glue });
glue.__wbg_set_wasm(instance.exports);
instance.exports.__wbindgen_start();

const { PrismaPg } = await load("@prisma/adapter-pg/dist/index.mjs");
const utils = await load("@prisma/driver-adapter-utils/dist/index.mjs");
class WholeScripts extends PrismaPg {
  async connect() {
    const adapter = await super.connect();
    adapter.executeScript = async (script) => {
      try {
        await adapter.client.query(script);
      } catch (error) {
        adapter.onError(error);
      }
    };
    return adapter;
  }
}
const connection = { ...settings.connection, max: 1, ssl: { ca: readFileSync(settings.ca) } };
const engine = await glue.SchemaEngine.new(
  { datamodels: [["schema.prisma", 'datasource db {\\n  provider = "postgresql"\\n}\\n']] },
  () => {},
  utils.bindMigrationAwareSqlAdapterFactory(new WholeScripts(connection)),
);

const names = readdirSync(settings.folder, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map((entry) => entry.name)
  .sort((a, b) => a.localeCompare(b));
const toMigration = (name) => ({
  path: name,
  migrationFile: {
    path: "migration.sql",
    content: { tag: "ok", value: read(name, "migration.sql") },
  },
});
try {
  await engine.applyMigrations({
    migrationsList: {
      baseDir: settings.folder,
      lockfile: { path: "migration_lock.toml", content: read("migration_lock.toml") },
      shadowDbInitScript: "",
      migrationDirectories: names.map(toMigration),
    },
    filters: { externalTables: [], externalEnums: [] },
  });
} catch (error) {
  if (!settings.mayFail) throw error;
}
process.exit(0);
"""


@pytest.fixture
def original(
    find_peer: FindPeer, run_peer: RunPeer, peers_folder: Path | None, tmp_path: Path
) -> Original:
    """Return Prisma's engine with the whole folder."""
    modules = None if peers_folder is None else peers_folder / "node_modules"
    if modules is None or not (modules / "@prisma/schema-engine-wasm").is_dir():
        pytest.skip("@prisma/schema-engine-wasm is not installed (looked in $LOCKGATE_TEST_PEERS)")
    (tmp_path / "deploy.mjs").write_text(DEPLOY)
    folder = tmp_path / "whole"
    write_folder(folder, CHANGES)
    return Original(find_peer("node"), run_peer, folder, modules)


class Original:
    """The engine and the folder that it reads."""

    def __init__(self, node: Path, run: RunPeer, folder: Path, modules: Path) -> None:
        self.node = node
        self._run = run
        self.folder = folder
        self.modules = modules

    def deploy(
        self, database: Database, *, folder: Path | None = None, may_fail: bool = False
    ) -> None:
        """Apply the pending migrations to a database."""
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
            "modules": str(self.modules),
            "mayFail": may_fail,
        }
        self._run(
            self.node,
            "deploy.mjs",
            database=database,
            cwd=self.folder.parent,
            PROOF=json.dumps(settings),
        )


def write_folder(folder: Path, changes: list[Change]) -> None:
    """Write the changes in Prisma's layout."""
    folder.mkdir()
    (folder / "migration_lock.toml").write_text(LOCK_FILE)
    for change in changes:
        place = folder / f"{change.version}_{change.name}"
        place.mkdir()
        (place / "migration.sql").write_text(change.up_sql)


def make_project(folder: Path, database: Database) -> Project:
    """Return a Lockgate project for that folder."""
    return Project(folder, database, {"LOCKGATE_FORMAT": "prisma"})


def dump(database: Database) -> str:
    """Return the schema without Prisma's own table."""
    database.run("DROP TABLE IF EXISTS _prisma_migrations")
    return database.dump()


def test_up_gives_the_schema_that_prisma_gives(
    original: Original, make_database: MakeDatabase
) -> None:
    """Prisma and Lockgate apply the whole folder to the same schema."""
    theirs, ours = make_database(), make_database()
    original.deploy(theirs)
    report = make_project(original.folder, ours).run(Action.UP)
    assert len(CHANGES) == len(report.applied)
    assert dump(theirs) == dump(ours)


def test_half_by_prisma_adopted_and_finished_gives_the_same_schema(
    original: Original, make_database: MakeDatabase, tmp_path: Path
) -> None:
    """Lockgate adopts and finishes what Prisma began, and leaves Prisma's table unchanged."""
    theirs, ours = make_database(), make_database()
    half = tmp_path / "half"
    write_folder(half, CHANGES[:HALF])
    original.deploy(theirs)
    original.deploy(ours, folder=half)
    project = make_project(original.folder, ours)
    adopted = project.do(Action.ADOPT, source="prisma", reason="we move")
    finished = project.run(Action.UP)
    left = ours.run("SELECT count(*) FROM _prisma_migrations")
    expected = ("applied", [[HALF]], len(CHANGES) - HALF, dump(theirs))
    assert expected == (adopted.status, left, len(finished.applied), dump(ours))


def test_failure_of_prisma_is_not_adopted(
    original: Original, make_database: MakeDatabase, tmp_path: Path
) -> None:
    """Prisma's row of a failed migration stops the adoption, and the message names the fix."""
    database = make_database()
    folder = tmp_path / "failing"
    write_folder(folder, CHANGES[:2])
    (folder / "9_broken").mkdir()
    (folder / "9_broken" / "migration.sql").write_text("SELECT no_such_column;\n")
    original.deploy(database, folder=folder, may_fail=True)
    project = make_project(folder, database)
    report = project.do(Action.ADOPT, source="prisma", reason="we move")
    assert report.error is not None
    assert "prisma migrate resolve --applied 9_broken" in report.error.message
