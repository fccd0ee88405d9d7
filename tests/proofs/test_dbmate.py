"""dbmate and Lockgate on the same folder: up, half-and-half and down give equal schemas."""

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

OUTSIDE = " transaction:false"
# dbmate sends a file as one message, which cannot contain COPY data.
CHANGES = make_changes(without=frozenset({Trait.COPY}))
HALF = len(CHANGES) // 2 + 3
# dbmate undoes one migration per command.
UNDONE = 21


@pytest.fixture
def original(find_peer: FindPeer, run_peer: RunPeer, tmp_path: Path) -> Original:
    """Return dbmate with the whole folder."""
    folder = tmp_path / "whole"
    write_folder(folder, CHANGES)
    return Original(find_peer("dbmate"), run_peer, folder)


class Original:
    """dbmate's program and the folder that it reads."""

    def __init__(self, program: Path, run: RunPeer, folder: Path) -> None:
        self.program = program
        self._run = run
        self.folder = folder

    def run(self, command: str, database: Database, *, folder: Path | None = None) -> None:
        """Run one command on a database."""
        self._run(
            self.program,
            f"--url={make_url(database)}",
            f"--migrations-dir={folder or self.folder}",
            "--no-dump-schema",
            command,
            database=database,
            cwd=self.folder.parent,
        )


def make_url(database: Database) -> str:
    """Return the database URL for Go's driver."""
    place = f"{database.user}:{database.password}@localhost:{database.port}/{database.name}"
    return f"postgres://{place}?sslmode=verify-full&sslrootcert={database.ca_file}"


def write_folder(folder: Path, changes: list[Change]) -> None:
    """Write the changes in dbmate's layout."""
    folder.mkdir()
    for change in changes:
        option = "" if change.in_transaction else OUTSIDE
        text = f"-- migrate:up{option}\n{change.up_sql}\n-- migrate:down{option}\n{change.down_sql}"
        (folder / f"{change.version}_{change.name}.sql").write_text(text)


def make_project(folder: Path, database: Database) -> Project:
    """Return a Lockgate project for that folder."""
    return Project(folder, database, {"LOCKGATE_FORMAT": "dbmate"})


def dump(database: Database) -> str:
    """Return the schema without dbmate's own table."""
    database.run("DROP TABLE IF EXISTS schema_migrations")
    return database.dump()


def test_up_gives_the_schema_that_dbmate_gives(
    original: Original, make_database: MakeDatabase
) -> None:
    """Lockgate and dbmate apply the whole folder to the same schema."""
    theirs, ours = make_database(), make_database()
    original.run("up", theirs)
    report = make_project(original.folder, ours).run(Action.UP)
    assert len(CHANGES) == len(report.applied)
    assert dump(theirs) == dump(ours)


def test_half_by_dbmate_adopted_and_finished_gives_the_same_schema(
    original: Original, make_database: MakeDatabase, tmp_path: Path
) -> None:
    """Lockgate adopts and finishes what dbmate began, and leaves dbmate's table unchanged."""
    theirs, ours = make_database(), make_database()
    half = tmp_path / "half"
    write_folder(half, CHANGES[:HALF])
    original.run("up", theirs)
    original.run("up", ours, folder=half)
    project = make_project(original.folder, ours)
    adopted = project.do(Action.ADOPT, source="dbmate", reason="we move")
    finished = project.run(Action.UP)
    left = ours.run("SELECT count(*) FROM schema_migrations")
    expected = ("applied", [[HALF]], len(CHANGES) - HALF, dump(theirs))
    assert expected == (adopted.status, left, len(finished.applied), dump(ours))


def test_down_gives_the_schema_that_dbmate_gives(
    original: Original, make_database: MakeDatabase
) -> None:
    """Lockgate and dbmate undo the same migrations to the same schema."""
    theirs, ours = make_database(), make_database()
    original.run("up", theirs)
    for _ in range(UNDONE):
        original.run("rollback", theirs)
    project = make_project(original.folder, ours)
    project.run(Action.UP)
    target = CHANGES[-UNDONE - 1].version
    report = project.do(Action.DOWN, target=target, reason="proof", allow_data_loss=True)
    assert (UNDONE, dump(theirs)) == (len(report.reverted), dump(ours))


def test_down_of_adopted_migrations_leaves_nothing(
    original: Original, make_database: MakeDatabase
) -> None:
    """After adopting everything dbmate applied, Lockgate undoes it to an empty schema."""
    empty, ours = make_database(), make_database()
    original.run("up", ours)
    project = make_project(original.folder, ours)
    project.do(Action.ADOPT, source="dbmate", reason="we move")
    project.do(Action.DOWN, target="0", reason="proof", allow_data_loss=True)
    assert dump(empty) == dump(ours)
