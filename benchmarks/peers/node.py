"""Tools of Node.js: Knex, node-pg-migrate, graphile-migrate, Postgrator."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from benchmarks.peer import Command, Kind, Peer, Target, Tools, write_new

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from benchmarks.workload import Change


def find(name: str) -> Callable[[Tools], Path | None]:
    """Return a function that finds a program, which also needs Node.js."""
    return lambda tools: None if tools.find("node") is None else tools.find(name)


_KNEXFILE = """const { env } = process;
module.exports = {
  client: "pg",
  connection: {
    host: env.PGHOST, port: env.PGPORT, user: env.PGUSER, password: env.PGPASSWORD,
    database: env.PGDATABASE,
  },
  migrations: { directory: "./migrations" },
};
"""


def write_knex(folder: Path, changes: Sequence[Change], _applied: int) -> None:
    """Write modules whose functions run the SQL."""
    write_new(folder / "knexfile.js", _KNEXFILE)
    for change in changes:
        text = (
            f"exports.up = (knex) => knex.raw({json.dumps(change.up)});\n"
            f"exports.down = (knex) => knex.raw({json.dumps(change.down)});\n"
        )
        write_new(folder / "migrations" / f"{change.version}_{change.name}.js", text)


def start_knex(program: Path, _folder: Path, _target: Target) -> Command:
    """Apply pending migrations."""
    return Command((str(program), "migrate:latest"))


def write_node_pg_migrate(folder: Path, changes: Sequence[Change], _applied: int) -> None:
    """Write SQL files with both directions."""
    for change in changes:
        text = f"-- Up Migration\n{change.up}\n-- Down Migration\n{change.down}"
        write_new(folder / "migrations" / f"{change.version}_{change.name}.sql", text)


def start_node_pg_migrate(program: Path, _folder: Path, target: Target) -> Command:
    """Apply each migration in its own transaction, so that all of them fit the server's locks."""
    argv = ("up", "--no-single-transaction", "--no-verbose", "--migrations-dir=migrations")
    return Command((str(program), *argv), {"DATABASE_URL": target.bare_url})


def write_graphile_migrate(folder: Path, changes: Sequence[Change], _applied: int) -> None:
    """Write committed migrations, each with the digest of all before it."""
    write_new(folder / ".gmrc", "{}\n")
    previous = ""
    for change in changes:
        body = change.up.strip() + "\n"
        digest = hashlib.sha1(f"{previous}\n{body}".lstrip().encode(), usedforsecurity=False)
        current = f"sha1:{digest.hexdigest()}"
        text = f"--! Previous: {previous or '-'}\n--! Hash: {current}\n\n{body}"
        name = f"{change.number:06d}-{change.name.replace('_', '-')}.sql"
        write_new(folder / "migrations/committed" / name, text)
        previous = current


def start_graphile_migrate(program: Path, _folder: Path, target: Target) -> Command:
    """Apply pending migrations."""
    return Command((str(program), "migrate"), {"DATABASE_URL": target.bare_url})


def write_postgrator(folder: Path, changes: Sequence[Change], _applied: int) -> None:
    """Write a file for each direction."""
    for change in changes:
        for action, text in (("do", change.up), ("undo", change.down)):
            name = f"{change.number:05d}.{action}.{change.name}.sql"
            write_new(folder / "migrations" / name, text)


def start_postgrator(program: Path, _folder: Path, target: Target) -> Command:
    """Apply pending migrations."""
    options = {
        "driver": "pg",
        "host": target.host,
        "port": str(target.port),
        "database": target.dbname,
        "username": target.user,
        "password": target.password,
        "migration-pattern": "migrations/*",
    }
    words = (word for name, value in options.items() for word in (f"--{name}", value))
    return Command((str(program), "migrate", "--no-config", *words))


NODE = (
    Peer("Knex", Kind.NODE, find("knex"), write_knex, start_knex),
    Peer(
        "node-pg-migrate",
        Kind.NODE,
        find("node-pg-migrate"),
        write_node_pg_migrate,
        start_node_pg_migrate,
    ),
    Peer(
        "graphile-migrate",
        Kind.NODE,
        find("graphile-migrate"),
        write_graphile_migrate,
        start_graphile_migrate,
    ),
    Peer("Postgrator", Kind.NODE, find("postgrator"), write_postgrator, start_postgrator),
)
