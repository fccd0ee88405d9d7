"""yoyo, with a dependency on the previous migration, and some migrations in Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.proofs.folder import Trait, make_changes
from tests.proofs.kit import Down, Half, Tool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.proofs.folder import Change
    from tests.proofs.kit import PeerProject, Proof
    from tests.support.database import Database

    from lockgate.report.report import Report

# yoyo passes each statement to the driver, which cannot send COPY data with it.
CHANGES = make_changes(5, without=frozenset({Trait.COPY}))
HALF = len(CHANGES) // 2 + 3
# Not the first change of a module, where the order of names would matter.
UNDONE = 21
PYTHON_EVERY = 4


def find_id(place: int) -> str:
    """Return the id of a change; ids sort in a different order than changes."""
    return f"{place * 7919 % 997:03d}.{CHANGES[place].name}"


def lay_out(changes: Sequence[Change]) -> dict[str, str]:
    """Write the changes, each depending on the previous one."""
    files: dict[str, str] = {}
    for place, change in enumerate(changes):
        if place % PYTHON_EVERY == 0 and "\\" not in change.up_sql:
            files |= {f"migrations/{find_id(place)}.py": make_python(place, change)}
        else:
            files |= make_sql(place, change)
    return files


def make_sql(place: int, change: Change) -> dict[str, str]:
    """Return a change as two SQL files."""
    header = "" if place == 0 else f"-- depends: {find_id(place - 1)}\n"
    header += "" if change.in_transaction else "-- transactional: false\n"
    name = f"migrations/{find_id(place)}"
    return {f"{name}.sql": header + change.up_sql, f"{name}.rollback.sql": change.down_sql}


def make_python(place: int, change: Change) -> str:
    """Return a change as a Python file of steps; yoyo undoes the first step last."""
    depends = set() if place == 0 else {find_id(place - 1)}
    up = [f'step("""{statement} """)' for statement in change.up]
    down = [f'step("", """{statement} """)' for statement in reversed(change.down)]
    steps = ",\n    ".join(up + down)
    return (
        f'"""One change."""\nfrom yoyo import step\n\n__depends__ = {depends or "set()"}\n'
        f"__transactional__ = {change.in_transaction}\nsteps = [\n    {steps}\n]\n"
    )


def run(project: PeerProject, database: Database, command: str, *options: str) -> str:
    """Run one command on a database."""
    return project.run(
        "yoyo",
        command,
        "--batch",
        "--no-config-file",
        *options,
        "--database",
        f"postgresql:///{database.name}",
        str(project.folder / "migrations"),
        database=database,
    )


def apply(project: PeerProject, database: Database) -> str:
    """Apply everything."""
    return run(project, database, "apply")


def apply_half(project: PeerProject, database: Database) -> str:
    """Apply the first migrations."""
    return run(project, database, "apply", "--revision", find_id(HALF - 1))


def roll_back(project: PeerProject, database: Database) -> None:
    """Undo the last migrations."""
    run(project, database, "rollback", "--revision", find_id(len(CHANGES) - UNDONE))


def compare_order(proof: Proof, _printed: str, report: Report) -> None:
    """Yoyo ran the migrations in Lockgate's order."""
    rows = proof.theirs.run("SELECT migration_id FROM _yoyo_migration ORDER BY applied_at_utc")
    assert [row[0] for row in rows] == [entry.version for entry in report.applied]


TOOL = Tool(
    name="yoyo",
    changes=CHANGES,
    lay_out=lay_out,
    up=apply,
    check_up=compare_order,
    own="DROP TABLE IF EXISTS _yoyo_migration, _yoyo_log, _yoyo_version, yoyo_lock",
    history="_yoyo_migration",
    half=Half(HALF, HALF, apply_half),
    down=Down(UNDONE, roll_back, find_id(len(CHANGES) - UNDONE - 1)),
)
