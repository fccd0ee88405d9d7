"""sqlx and Lockgate on the same folder: up, half-and-half and down give equal schemas."""

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

OUTSIDE = "-- no-transaction\n"
# Its driver does not support COPY in a script.
CHANGES = make_changes(without=frozenset({Trait.COPY}))
HALF = len(CHANGES) // 2 + 3
UNDONE = 21


@pytest.fixture
def original(find_peer: FindPeer, run_peer: RunPeer, tmp_path: Path) -> Original:
    """Return sqlx with the whole folder."""
    folder = tmp_path / "whole"
    write_folder(folder, CHANGES)
    return Original(find_peer("sqlx"), run_peer, folder)


class Original:
    """sqlx's program and the folder that it reads."""

    def __init__(self, program: Path, run: RunPeer, folder: Path) -> None:
        self.program = program
        self._run = run
        self.folder = folder

    def run(self, database: Database, *command: str, folder: Path | None = None) -> None:
        """Run one command of ``sqlx migrate`` on a database."""
        place = f"{database.user}:{database.password}@localhost:{database.port}/{database.name}"
        self._run(
            self.program,
            "migrate",
            *command,
            f"--source={folder or self.folder}",
            f"--database-url=postgres://{place}?sslmode=verify-full&sslrootcert={database.ca_file}",
            database=database,
            cwd=self.folder.parent,
        )


def write_folder(folder: Path, changes: list[Change]) -> None:
    """Write the changes in sqlx's layout of pairs."""
    folder.mkdir()
    for change in changes:
        head = "" if change.in_transaction else OUTSIDE
        name = f"{change.version}_{change.name}"
        (folder / f"{name}.up.sql").write_text(head + change.up_sql)
        (folder / f"{name}.down.sql").write_text(head + change.down_sql)


def make_project(folder: Path, database: Database) -> Project:
    """Return a Lockgate project for that folder."""
    return Project(folder, database, {"LOCKGATE_FORMAT": "sqlx"})


def dump(database: Database) -> str:
    """Return the schema without sqlx's own table."""
    database.run("DROP TABLE IF EXISTS _sqlx_migrations")
    return database.dump()


def test_up_gives_the_schema_that_sqlx_gives(
    original: Original, make_database: MakeDatabase
) -> None:
    """Lockgate and sqlx apply the whole folder to the same schema."""
    theirs, ours = make_database(), make_database()
    original.run(theirs, "run")
    report = make_project(original.folder, ours).run(Action.UP)
    assert (len(CHANGES), dump(theirs)) == (len(report.applied), dump(ours))


def test_half_by_sqlx_adopted_and_finished_gives_the_same_schema(
    original: Original, make_database: MakeDatabase, tmp_path: Path
) -> None:
    """Checksums are compared, and sqlx's table is left unchanged, so that sqlx could continue."""
    theirs, ours = make_database(), make_database()
    half = tmp_path / "half"
    write_folder(half, CHANGES[:HALF])
    original.run(theirs, "run")
    original.run(ours, "run", folder=half)
    project = make_project(original.folder, ours)
    adopted = project.do(Action.ADOPT, source="sqlx", reason="we move")
    finished = project.run(Action.UP)
    left = ours.run("SELECT count(*) FROM _sqlx_migrations")
    expected = ("applied", (), [[HALF]], len(CHANGES) - HALF, dump(theirs))
    found = (adopted.status, adopted.warnings, left, len(finished.applied), dump(ours))
    assert expected == found


def test_down_gives_the_schema_that_sqlx_gives(
    original: Original, make_database: MakeDatabase
) -> None:
    """Lockgate and sqlx undo the same migrations to the same schema."""
    theirs, ours = make_database(), make_database()
    target = CHANGES[-UNDONE - 1].version
    original.run(theirs, "run")
    original.run(theirs, "revert", f"--target-version={target}")
    project = make_project(original.folder, ours)
    project.run(Action.UP)
    report = project.do(Action.DOWN, target=target, reason="proof", allow_data_loss=True)
    assert (UNDONE, dump(theirs)) == (len(report.reverted), dump(ours))
