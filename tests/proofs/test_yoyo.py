"""yoyo and Lockgate on the same folder: up, half-and-half and down give equal schemas."""

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

# yoyo passes each statement to the driver, which cannot send COPY data with it.
CHANGES = make_changes(5, without=frozenset({Trait.COPY}))
HALF = len(CHANGES) // 2 + 3
# Not the first change of a module, where the order of names would matter.
UNDONE = 21
PYTHON_EVERY = 4


class Original:
    """yoyo's program and the folder that it reads."""

    def __init__(self, program: Path, run: RunPeer, folder: Path) -> None:
        self.program = program
        self._run = run
        self.folder = folder

    def run(self, command: str, database: Database, *options: str) -> None:
        """Run one command on a database."""
        self._run(
            self.program,
            command,
            "--batch",
            "--no-config-file",
            *options,
            "--database",
            f"postgresql:///{database.name}",
            str(self.folder),
            database=database,
            cwd=self.folder.parent,
        )


@pytest.fixture
def original(find_peer: FindPeer, run_peer: RunPeer, tmp_path: Path) -> Original:
    """Return yoyo with the whole folder."""
    folder = tmp_path / "whole"
    write_folder(folder, CHANGES)
    return Original(find_peer("yoyo"), run_peer, folder)


def find_id(place: int) -> str:
    """Return the id of a change; ids sort in a different order than changes."""
    return f"{place * 7919 % 997:03d}.{CHANGES[place].name}"


def write_folder(folder: Path, changes: list[Change]) -> None:
    """Write the changes in yoyo's layout, each depending on the previous one, and some in Python."""
    folder.mkdir()
    for place, change in enumerate(changes):
        if place % PYTHON_EVERY == 0 and "\\" not in change.up_sql:
            write_python(folder, place, change)
        else:
            write_sql(folder, place, change)


def write_sql(folder: Path, place: int, change: Change) -> None:
    """Write a change as two SQL files."""
    header = "" if place == 0 else f"-- depends: {find_id(place - 1)}\n"
    header += "" if change.in_transaction else "-- transactional: false\n"
    (folder / f"{find_id(place)}.sql").write_text(header + change.up_sql)
    (folder / f"{find_id(place)}.rollback.sql").write_text(change.down_sql)


def write_python(folder: Path, place: int, change: Change) -> None:
    """Write a change as a Python file of steps; yoyo undoes the first step last."""
    depends = set() if place == 0 else {find_id(place - 1)}
    up = [f'step("""{statement} """)' for statement in change.up]
    down = [f'step("", """{statement} """)' for statement in reversed(change.down)]
    steps = ",\n    ".join(up + down)
    (folder / f"{find_id(place)}.py").write_text(
        f'"""One change."""\nfrom yoyo import step\n\n__depends__ = {depends or "set()"}\n'
        f"__transactional__ = {change.in_transaction}\nsteps = [\n    {steps}\n]\n"
    )


def make_project(folder: Path, database: Database) -> Project:
    """Return a Lockgate project for that folder."""
    return Project(folder, database, {"LOCKGATE_FORMAT": "yoyo"})


def dump(database: Database) -> str:
    """Return the schema without yoyo's own tables."""
    for table in ("_yoyo_migration", "_yoyo_log", "_yoyo_version", "yoyo_lock"):
        database.run(f"DROP TABLE IF EXISTS {table}")
    return database.dump()


def test_up_gives_the_schema_that_yoyo_gives_in_its_order(
    original: Original, make_database: MakeDatabase
) -> None:
    """Lockgate and yoyo run the whole folder in the same order to the same schema."""
    theirs, ours = make_database(), make_database()
    original.run("apply", theirs)
    rows = theirs.run("SELECT migration_id FROM _yoyo_migration ORDER BY applied_at_utc")
    report = make_project(original.folder, ours).run(Action.UP)
    assert [row[0] for row in rows] == [entry.version for entry in report.applied]
    assert dump(theirs) == dump(ours)


def test_half_by_yoyo_adopted_and_finished_gives_the_same_schema(
    original: Original, make_database: MakeDatabase
) -> None:
    """Lockgate adopts and finishes what yoyo began, and leaves yoyo's table unchanged."""
    theirs, ours = make_database(), make_database()
    original.run("apply", theirs)
    original.run("apply", ours, "--revision", find_id(HALF - 1))
    project = make_project(original.folder, ours)
    adopted = project.do(Action.ADOPT, source="yoyo", reason="we move")
    finished = project.run(Action.UP)
    left = ours.run("SELECT count(*) FROM _yoyo_migration")
    expected = ("applied", [[HALF]], len(CHANGES) - HALF, dump(theirs))
    assert expected == (adopted.status, left, len(finished.applied), dump(ours))


def test_down_gives_the_schema_that_yoyo_gives(
    original: Original, make_database: MakeDatabase
) -> None:
    """Lockgate and yoyo undo the same migrations to the same schema."""
    theirs, ours = make_database(), make_database()
    original.run("apply", theirs)
    original.run("rollback", theirs, "--revision", find_id(len(CHANGES) - UNDONE))
    project = make_project(original.folder, ours)
    project.run(Action.UP)
    target = find_id(len(CHANGES) - UNDONE - 1)
    report = project.do(Action.DOWN, target=target, reason="proof", allow_data_loss=True)
    assert (UNDONE, dump(theirs)) == (len(report.reverted), dump(ours))
