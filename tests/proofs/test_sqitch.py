"""Sqitch and Lockgate on the same project have equal ids, up, half-and-half and down."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.proofs.folder import make_changes
from tests.support.project import Project

from lockgate.core.request import Action
from lockgate.formats.sqitch.plan import read_plan

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import MakeDatabase
    from tests.proofs.conftest import FindPeer, RunPeer
    from tests.proofs.folder import Change
    from tests.support.database import Database

    from lockgate.local.server import EmbeddedServer

# psql runs everything in the folder.
HARD = make_changes(4)
FUNCTION = "CREATE OR REPLACE FUNCTION api() RETURNS text LANGUAGE sql AS $$ SELECT 'v{}' $$;\n"
# The tagged function, the hard changes, and the function's rework.
LENGTH = len(HARD) + 2
TAG_EVERY = 10
HALF = len(HARD) // 2 + 3
UNDONE = 21
USER = {"SQITCH_FULLNAME": "Änne Planner", "SQITCH_EMAIL": "planner@example.com"}
CONFIG = """[core]
\tengine = pg
\ttop_dir = db ; of the database
\textension = ddl
[engine "pg"]
\tclient = {psql}
\trevert_dir = "db/undo"
"""
PRAGMAS = "%syntax-version=1.0.0\n%project=shop\n%uri=HTTPS://Example.com:443/shop/%7eus\n\n"


class Original:
    """Sqitch's program and its project."""

    def __init__(self, program: Path, run: RunPeer, folder: Path) -> None:
        self.program = program
        self._run = run
        self.folder = folder

    def run(self, command: str, database: Database, *options: str) -> None:
        """Run one command on a database."""
        self._run(
            self.program,
            command,
            *options,
            f"db:pg:{database.name}",
            database=database,
            cwd=self.folder,
            **USER,
        )


@pytest.fixture
def original(
    find_peer: FindPeer, run_peer: RunPeer, tmp_path: Path, server: EmbeddedServer
) -> Original:
    """Return Sqitch with the whole project."""
    program = find_peer("sqitch")
    if server.psql is None:
        pytest.skip(f"there is no psql in {server.binaries.folder}")
    folder = tmp_path / "project"
    write_project(folder, str(server.psql))
    return Original(program, run_peer, folder)


def write_project(folder: Path, psql: str) -> None:
    """Write a project with a custom layout, dependencies, tags, notes and a reworked change."""
    folder.mkdir()
    (folder / "sqitch.conf").write_text(CONFIG.format(psql=psql))
    write_scripts(folder, "api@t0", FUNCTION.format(1), "DROP FUNCTION api();\n")
    lines = [make_line(0, "api"), f"@t0 {sign(0)}"]
    for place, change in enumerate(HARD, start=1):
        up, down = change.up_sql, change.down_sql
        if change.in_transaction and place % 2:
            up, down = f"BEGIN;\n{up}COMMIT;\n", f"BEGIN;\n{down}COMMIT;\n"
        write_scripts(folder, find_name(change), up, down)
        lines.append(make_line(place, find_name(change), find_dependencies(place)))
        if place % TAG_EVERY == 0:
            lines += [f"@t{place // TAG_EVERY} {sign(place)} # a tag", "# between", ""]
    write_scripts(folder, "api", FUNCTION.format(2), FUNCTION.format(1))
    lines.append(make_line(LENGTH, "api", "api@t0"))
    (folder / "db/sqitch.plan").write_text(PRAGMAS + "\n".join(lines) + "\n")


def find_name(change: Change) -> str:
    """Return a change's name, which contains a folder."""
    return change.name.replace("_", "/", 1)


def find_dependencies(place: int) -> str:
    """Return the dependencies and conflicts of a hard change."""
    if place % 3:
        return ""
    later = f" !{find_name(HARD[-1])}" if place < len(HARD) else ""
    return f"{find_name(HARD[place - 2])} shop:api @t0{later}"


def write_scripts(folder: Path, name: str, up: str, down: str) -> None:
    """Write a change's two scripts."""
    for kind, text in (("deploy", up), ("undo", down)):
        file = folder / "db" / kind / f"{name}.ddl"
        file.parent.mkdir(parents=True, exist_ok=True)
        # The registry requires that all deploy scripts differ.
        file.write_text(f"-- {kind} {name}\n{text}")


def make_line(place: int, name: str, dependencies: str = "") -> str:
    """Return a change's line in the plan."""
    words = f"[{dependencies}] " if dependencies else ""
    return f"{name} {words}{sign(place)} # {place}: a note\\nof two lines \\\\ and more"


def sign(place: int) -> str:
    """Return the time and the planner of a line."""
    return f"2026-01-01T12:{place // 60:02d}:{place % 60:02d}Z Änne Planner <planner@example.com>"


def make_project(folder: Path, database: Database) -> Project:
    """Return a Lockgate project for that folder."""
    return Project(folder, database, {"LOCKGATE_FORMAT": "sqitch"})


def dump(database: Database) -> str:
    """Return the schema without Sqitch's registry."""
    database.run("DROP SCHEMA IF EXISTS sqitch CASCADE")
    return database.dump()


def find_version(place: int) -> str:
    """Return the name of a change in the plan, counting from 1."""
    return "api" if place == 1 else find_name(HARD[place - 2])


def test_up_gives_the_schema_that_sqitch_gives(
    original: Original, make_database: MakeDatabase
) -> None:
    """Sqitch and Lockgate apply the whole plan with the same ids to the same schema."""
    theirs, ours = make_database(), make_database()
    original.run("deploy", theirs)
    rows = theirs.run("SELECT change_id FROM sqitch.changes ORDER BY committed_at")
    plan = read_plan((original.folder / "db/sqitch.plan").read_text(), "sqitch.plan")
    report = make_project(original.folder, ours).run(Action.UP)
    assert [row[0] for row in rows] == [change.change_id for change in plan.changes]
    assert (LENGTH, dump(theirs)) == (len(report.applied), dump(ours))


def test_half_by_sqitch_adopted_and_finished_gives_the_same_schema(
    original: Original, make_database: MakeDatabase
) -> None:
    """Lockgate adopts and finishes what Sqitch began, and leaves its registry unchanged."""
    theirs, ours = make_database(), make_database()
    original.run("deploy", theirs)
    original.run("deploy", ours, "--to-change", find_version(HALF))
    project = make_project(original.folder, ours)
    adopted = project.do(Action.ADOPT, source="sqitch", reason="we move")
    finished = project.run(Action.UP)
    left = ours.run("SELECT count(*) FROM sqitch.changes")
    expected = ("applied", [[HALF]], LENGTH - HALF, dump(theirs))
    assert expected == (adopted.status, left, len(finished.applied), dump(ours))


def test_down_gives_the_schema_that_sqitch_gives(
    original: Original, make_database: MakeDatabase
) -> None:
    """Sqitch and Lockgate undo the same changes to the same schema."""
    theirs, ours = make_database(), make_database()
    original.run("deploy", theirs)
    target = find_version(LENGTH - UNDONE)
    original.run("revert", theirs, "-y", "--to-change", target)
    project = make_project(original.folder, ours)
    project.run(Action.UP)
    report = project.do(Action.DOWN, target=target, reason="proof", allow_data_loss=True)
    assert (UNDONE, dump(theirs)) == (len(report.reverted), dump(ours))
