"""graphile-migrate, which has no down. Placeholders and a search_path are set."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from tests.proofs.folder import Change, Trait, make_changes
from tests.proofs.kit import Tool
from tests.proofs.peers import make_url

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.proofs.kit import PeerProject
    from tests.support.database import Database

# Most tables are created in the schema of the session's search_path.
GMRC = """{
  // what a project has
  placeholders: { ":APP_NOTE": "!ENV", ":APP": 'shop', },
  pgSettings: { "search_path": "app, public" },
  "afterAllMigrations": [{ "_": "command", "shadow": true, "command": "false" }],
}
"""
NOTE = "it is theirs"
FIRST = (
    Change("1", "schema", ("create schema app;",), ()),
    Change("2", "note", ("comment on database :DATABASE_NAME is ':APP_NOTE :APP';",), ()),
    Change("3", "names", ('create table "in :DATABASE_NAME" (":APP" text);',), ()),
)


def lay_out(changes: Sequence[Change]) -> dict[str, str]:
    """Write committed migrations, each with the digest of the previous one, and the settings."""
    files = {".gmrc": GMRC}
    previous = ""
    for number, change in enumerate(changes, start=1):
        mark = "" if change.in_transaction else "--! no-transaction\n"
        body = f"{mark}{change.up_sql}".strip() + "\n"
        digest = hashlib.sha1(f"{previous}\n{body}".lstrip().encode(), usedforsecurity=False)
        current = f"sha1:{digest.hexdigest()}"
        head = f"--! Previous: {previous or '-'}\n--! Hash: {current}\n--! Message: {change.name}"
        name = f"{number:06d}-{change.name.replace('_', '-')}.sql"
        files[f"migrations/committed/{name}"] = f"{head}\n\n{body}"
        previous = current
    return files


def migrate(project: PeerProject, database: Database) -> str:
    """Apply the committed migrations."""
    variables = {"DATABASE_URL": make_url(database), "APP_NOTE": NOTE}
    return project.run("graphile-migrate", "migrate", database=database, **variables)


def dump(database: Database) -> str:
    """Return the schema with the same database name for all, and check the database comment."""
    ((note,),) = database.run(
        "SELECT shobj_description(oid, 'pg_database') FROM pg_database"
        " WHERE datname = current_database()"
    )
    assert note == f"{NOTE} shop"
    return database.dump().replace(database.name, "DATABASE")


TOOL = Tool(
    name="graphile-migrate",
    # Its driver does not support COPY.
    changes=[*FIRST, *make_changes(without=frozenset({Trait.COPY}))],
    lay_out=lay_out,
    up=migrate,
    own="DROP SCHEMA IF EXISTS graphile_migrate CASCADE",
    history="graphile_migrate.migrations",
    make_settings=lambda database: {"APP_NOTE": NOTE, "DATABASE_NAME": database.name},
    dump=dump,
)
