"""Sqitch, with a custom layout, dependencies, tags, notes and a reworked change."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from tests.proofs.folder import make_changes
from tests.proofs.kit import Down, Half, Tool

from lockgate.formats.sqitch.plan import read_plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.proofs.folder import Change
    from tests.proofs.kit import PeerProject, Proof
    from tests.support.database import Database

    from lockgate.report.report import Report

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
\tclient = psql
\trevert_dir = "db/undo"
"""
PRAGMAS = "%syntax-version=1.0.0\n%project=shop\n%uri=HTTPS://Example.com:443/shop/%7eus\n\n"


def lay_out(changes: Sequence[Change]) -> dict[str, str]:
    """Write a project whose first change is reworked by the last one."""
    files = {"sqitch.conf": CONFIG}
    # The directory of reworked changes is another one than revert_dir.
    files |= make_scripts("api@t0", FUNCTION.format(1), "DROP FUNCTION api();\n", undo="revert")
    lines = [make_line(0, "api"), f"@t0 {sign(0)}"]
    for place, change in enumerate(changes, start=1):
        up, down = change.up_sql, change.down_sql
        if change.in_transaction and place % 2:
            up, down = f"BEGIN;\n{up}COMMIT;\n", f"BEGIN;\n{down}COMMIT;\n"
        files |= make_scripts(find_name(change), up, down)
        lines.append(make_line(place, find_name(change), find_dependencies(place)))
        if place % TAG_EVERY == 0:
            lines += [f"@t{place // TAG_EVERY} {sign(place)} # a tag", "# between", ""]
    files |= make_scripts("api", FUNCTION.format(2), FUNCTION.format(1))
    lines.append(make_line(LENGTH, "api", "api@t0"))
    return {**files, "db/sqitch.plan": PRAGMAS + "\n".join(lines) + "\n"}


def make_scripts(name: str, up: str, down: str, undo: str = "undo") -> dict[str, str]:
    """Return a change's two scripts. The registry requires that all deploy scripts differ."""
    return {
        f"db/{kind}/{name}.ddl": f"-- {kind} {name}\n{text}"
        for kind, text in (("deploy", up), (undo, down))
    }


def find_name(change: Change) -> str:
    """Return a change's name, which contains a folder."""
    return change.name.replace("_", "/", 1)


def find_dependencies(place: int) -> str:
    """Return the dependencies and conflicts of a hard change."""
    if place % 3:
        return ""
    later = f" !{find_name(HARD[-1])}" if place < len(HARD) else ""
    return f"{find_name(HARD[place - 2])} shop:api @t0{later}"


def make_line(place: int, name: str, dependencies: str = "") -> str:
    """Return a change's line in the plan."""
    words = f"[{dependencies}] " if dependencies else ""
    return f"{name} {words}{sign(place)} # {place}: a note\\nof two lines \\\\ and more"


def sign(place: int) -> str:
    """Return the time and the planner of a line."""
    return f"2026-01-01T12:{place // 60:02d}:{place % 60:02d}Z Änne Planner <planner@example.com>"


def find_version(place: int) -> str:
    """Return the name of a change in the plan, counting from 1."""
    return "api" if place == 1 else find_name(HARD[place - 2])


def run(project: PeerProject, database: Database, command: str, *options: str) -> str:
    """Run one command on a database, with the server's own psql."""
    project.peers.find_program("sqitch")
    server = database.server
    if server.psql is None:
        pytest.skip(f"there is no psql in {server.binaries.folder}")
    variables = USER | {"PATH": f"{server.psql.parent}{os.pathsep}{os.environ['PATH']}"}
    place = f"db:pg:{database.name}"
    return project.run("sqitch", command, *options, place, database=database, **variables)


def deploy(project: PeerProject, database: Database) -> str:
    """Apply the whole plan."""
    return run(project, database, "deploy")


def deploy_half(project: PeerProject, database: Database) -> str:
    """Apply the first changes of the plan."""
    return run(project, database, "deploy", "--to-change", find_version(HALF))


def revert(project: PeerProject, database: Database) -> None:
    """Undo the last changes of the plan."""
    run(project, database, "revert", "-y", "--to-change", TARGET)


def compare_ids(proof: Proof, _printed: str, _report: Report) -> None:
    """Sqitch's ids of the changes are those that Lockgate computes."""
    rows = proof.theirs.run("SELECT change_id FROM sqitch.changes ORDER BY committed_at")
    plan = read_plan(proof.tool.lay_out(HARD)["db/sqitch.plan"], "sqitch.plan")
    assert [row[0] for row in rows] == [change.change_id for change in plan.changes]


TARGET = find_version(LENGTH - UNDONE)
TOOL = Tool(
    name="sqitch",
    changes=HARD,
    lay_out=lay_out,
    folder=".",
    extra=2,
    up=deploy,
    check_up=compare_ids,
    own="DROP SCHEMA IF EXISTS sqitch CASCADE",
    history="sqitch.changes",
    half=Half(HALF, HALF, deploy_half),
    down=Down(UNDONE, revert, TARGET),
)
