"""Prisma's schema engine, in its WebAssembly build from npm. It has no down.

The engine's PostgreSQL adapter would cut scripts at every semicolon; here a script is sent whole, as in
the engine's native build.
"""

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

LOCK_FILE = 'provider = "postgresql"\n'

# The steps of `prisma migrate deploy` around the engine.
DEPLOY = """
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const settings = JSON.parse(process.env.PROOF);
const read = (...path) => readFileSync(join("migrations", ...path), "utf8");
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

const names = readdirSync("migrations", { withFileTypes: true })
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
      baseDir: "migrations",
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


def lay_out(changes: Sequence[Change]) -> dict[str, str]:
    """Write a folder for each change, and the steps of a deploy."""
    files = {"deploy.mjs": DEPLOY, "migrations/migration_lock.toml": LOCK_FILE}
    for change in changes:
        files[f"migrations/{change.version}_{change.name}/migration.sql"] = change.up_sql
    return files


def deploy(project: PeerProject, database: Database, *, may_fail: bool = False) -> str:
    """Apply the pending migrations."""
    modules = project.peers.find_modules("@prisma/schema-engine-wasm")
    settings = {
        **make_node_connection(database),
        "modules": str(modules),
        "mayFail": may_fail,
    }
    return project.run("node", "deploy.mjs", database=database, PROOF=json.dumps(settings))


TOOL = Tool(
    name="prisma",
    # Its driver does not support COPY.
    changes=make_changes(without=frozenset({Trait.COPY})),
    lay_out=lay_out,
    up=deploy,
    own="DROP TABLE IF EXISTS _prisma_migrations",
    history="_prisma_migrations",
)
