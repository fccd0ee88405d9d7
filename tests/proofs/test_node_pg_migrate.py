"""node-pg-migrate and Lockgate on the same folder: up, half and half, and down give equal schemas."""

from __future__ import annotations

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

# It runs SQL in a transaction only, and its driver has no COPY.
CHANGES = make_changes(without=frozenset({Trait.COPY, Trait.CONCURRENT}))
HALF = len(CHANGES) // 2 + 3
UNDONE = 25


@pytest.fixture
def original(find_peer: FindPeer, run_peer: RunPeer, tmp_path: Path) -> Original:
    """Give node-pg-migrate, with the whole folder."""
    folder = tmp_path / "whole"
    write_folder(folder, CHANGES)
    return Original(find_peer("node-pg-migrate"), run_peer, folder)


class Original:
    """node-pg-migrate's program and the folder that it reads."""

    def __init__(self, program: Path, run: RunPeer, folder: Path) -> None:
        self.program = program
        self._run = run
        self.folder = folder

    def run(self, database: Database, *command: str, folder: Path | None = None) -> None:
        """Run one command on a database, each migration in a transaction of its own."""
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


def make_url(database: Database) -> str:
    """Return the address as the driver of Node.js takes it."""
    place = f"{database.user}:{database.password}@localhost:{database.port}/{database.name}"
    return f"postgres://{place}?sslmode=verify-full&sslrootcert={database.ca_file}"


def write_folder(folder: Path, changes: list[Change]) -> None:
    """Write the changes as node-pg-migrate has them."""
    folder.mkdir()
    for change in changes:
        text = f"-- Up Migration\n{change.up_sql}\n-- Down Migration\n{change.down_sql}"
        (folder / f"{change.version}_{change.name}.sql").write_text(text)


def make_project(folder: Path, database: Database) -> Project:
    """Return Lockgate with that folder."""
    return Project(folder, database, {"LOCKGATE_FORMAT": "node-pg-migrate"})


def dump(database: Database) -> str:
    """Return the schema without the tool's own table."""
    database.run("DROP TABLE IF EXISTS pgmigrations")
    return database.dump()


def test_up_gives_the_schema_that_node_pg_migrate_gives(
    original: Original, make_database: MakeDatabase
) -> None:
    """The whole folder, by the tool and by Lockgate, ends in one schema."""
    theirs, ours = make_database(), make_database()
    original.run(theirs, "up")
    report = make_project(original.folder, ours).run(Action.UP)
    assert len(CHANGES) == len(report.applied)
    assert dump(theirs) == dump(ours)


def test_half_by_node_pg_migrate_adopted_and_finished_gives_the_same_schema(
    original: Original, make_database: MakeDatabase, tmp_path: Path
) -> None:
    """What the tool began, Lockgate takes over and finishes; the table that it read is left alone."""
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
    """The same migrations, undone by the tool and by Lockgate, end in one schema."""
    theirs, ours = make_database(), make_database()
    original.run(theirs, "up")
    original.run(theirs, "down", str(UNDONE))
    project = make_project(original.folder, ours)
    project.run(Action.UP)
    report = project.do(Action.DOWN, steps=UNDONE, reason="proof", allow_data_loss=True)
    assert (UNDONE, dump(theirs)) == (len(report.reverted), dump(ours))
