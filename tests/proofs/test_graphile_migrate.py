"""graphile-migrate and Lockgate on the same folder: up and half-and-half give equal schemas."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from tests.proofs.folder import Change, Trait, make_changes
from tests.support.project import Project

from lockgate.core.request import Action

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import MakeDatabase
    from tests.proofs.conftest import FindPeer, RunPeer
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
# Its driver does not support COPY.
CHANGES = [*FIRST, *make_changes(without=frozenset({Trait.COPY}))]
HALF = len(CHANGES) // 2 + 3


@pytest.fixture
def original(find_peer: FindPeer, run_peer: RunPeer, tmp_path: Path) -> Original:
    """Return graphile-migrate with the whole project."""
    project = tmp_path / "whole"
    write_project(project, CHANGES)
    return Original(find_peer("graphile-migrate"), run_peer, project)


class Original:
    """graphile-migrate's program and the project that it reads."""

    def __init__(self, program: Path, run: RunPeer, folder: Path) -> None:
        self.program = program
        self._run = run
        self.folder = folder

    def migrate(self, database: Database, *, folder: Path | None = None) -> None:
        """Apply the committed migrations to a database."""
        place = (
            f"{database.user}:{database.password}@{database.host}:{database.port}/{database.name}"
        )
        url = f"postgres://{place}?sslmode=verify-full&sslrootcert={database.ca_file}"
        self._run(
            self.program,
            "migrate",
            database=database,
            cwd=folder or self.folder,
            DATABASE_URL=url,
            APP_NOTE=NOTE,
        )


def write_project(folder: Path, changes: list[Change]) -> None:
    """Write the changes as committed migrations of graphile-migrate, with its settings."""
    committed = folder / "migrations" / "committed"
    committed.mkdir(parents=True)
    (folder / ".gmrc").write_text(GMRC)
    previous = ""
    for number, change in enumerate(changes, start=1):
        mark = "" if change.in_transaction else "--! no-transaction\n"
        body = f"{mark}{change.up_sql}".strip() + "\n"
        digest = hashlib.sha1(f"{previous}\n{body}".lstrip().encode(), usedforsecurity=False)
        current = f"sha1:{digest.hexdigest()}"
        head = f"--! Previous: {previous or '-'}\n--! Hash: {current}\n--! Message: {change.name}"
        name = change.name.replace("_", "-")
        (committed / f"{number:06d}-{name}.sql").write_text(f"{head}\n\n{body}")
        previous = current


def make_project(folder: Path, database: Database) -> Project:
    """Return a Lockgate project for that folder."""
    variables = {"APP_NOTE": NOTE, "DATABASE_NAME": database.name}
    settings = {"LOCKGATE_FORMAT": "graphile-migrate", **variables}
    return Project(folder / "migrations", database, settings)


def dump(database: Database) -> str:
    """Return the schema without the tool's own tables, and check the database comment."""
    database.run("DROP SCHEMA IF EXISTS graphile_migrate CASCADE")
    ((note,),) = database.run(
        "SELECT shobj_description(oid, 'pg_database') FROM pg_database"
        " WHERE datname = current_database()"
    )
    assert note == f"{NOTE} shop"
    return database.dump().replace(database.name, "DATABASE")


def test_up_gives_the_schema_that_graphile_migrate_gives(
    original: Original, make_database: MakeDatabase
) -> None:
    """graphile-migrate and Lockgate apply the whole folder to the same schema."""
    theirs, ours = make_database(), make_database()
    original.migrate(theirs)
    report = make_project(original.folder, ours).run(Action.UP)
    assert len(CHANGES) == len(report.applied)
    assert dump(theirs) == dump(ours)


def test_half_by_graphile_migrate_adopted_and_finished_gives_the_same_schema(
    original: Original, make_database: MakeDatabase, tmp_path: Path
) -> None:
    """Lockgate adopts and finishes what the tool began, and leaves the tool's table unchanged."""
    theirs, ours = make_database(), make_database()
    half = tmp_path / "half"
    write_project(half, CHANGES[:HALF])
    original.migrate(theirs)
    original.migrate(ours, folder=half)
    project = make_project(original.folder, ours)
    adopted = project.do(Action.ADOPT, source="graphile-migrate", reason="we move")
    finished = project.run(Action.UP)
    left = ours.run("SELECT count(*) FROM graphile_migrate.migrations")
    expected = ("applied", [[HALF]], len(CHANGES) - HALF, dump(theirs))
    assert expected == (adopted.status, left, len(finished.applied), dump(ours))
