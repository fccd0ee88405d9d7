"""One set of changes in the layout of every tool here; each format gives psql's schema.

For tools that do not run on this machine, psql runs the same statements in order.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from tests.proofs.folder import make_changes
from tests.support.folders import write_folder
from tests.support.project import Project

from lockgate.core.request import Action

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import MakeDatabase
    from tests.proofs.folder import Change
    from tests.support.database import Database

    Layout = Callable[[Change], dict[str, str]]

CHANGES = make_changes(2)


def lay_out_goose(change: Change) -> dict[str, str]:
    """Enclose every statement, as required for statements with inner semicolons."""
    head = "" if change.in_transaction else "-- +goose NO TRANSACTION\n"
    up, down = _bracket(change.up), _bracket(change.down)
    name = f"{change.version}_{change.name}.sql"
    return {name: f"{head}-- +goose Up\n{up}\n-- +goose Down\n{down}"}


def _bracket(statements: tuple[str, ...]) -> str:
    begin, end = "-- +goose StatementBegin\n", "\n-- +goose StatementEnd\n"
    return "".join(f"{begin}{statement}{end}" for statement in statements)


def lay_out_pair(change: Change) -> dict[str, str]:
    """Write golang-migrate's two files."""
    name = f"{change.version}_{change.name}"
    return {f"{name}.up.sql": change.up_sql, f"{name}.down.sql": change.down_sql}


def lay_out_sqlx(change: Change) -> dict[str, str]:
    """Write sqlx's two files."""
    head = "" if change.in_transaction else "-- no-transaction\n"
    return {name: head + text for name, text in lay_out_pair(change).items()}


def lay_out_diesel(change: Change) -> dict[str, str]:
    """Write Diesel's folder, with dashes in the version."""
    day, rest = change.version[:8], change.version[8:]
    folder = f"{day[:4]}-{day[4:6]}-{day[6:]}-{rest}_{change.name}"
    files = {f"{folder}/up.sql": change.up_sql, f"{folder}/down.sql": change.down_sql}
    if not change.in_transaction:
        files[f"{folder}/metadata.toml"] = "run_in_transaction = false\n"
    return files


def lay_out_dbmate(change: Change) -> dict[str, str]:
    """Write dbmate's file."""
    option = "" if change.in_transaction else " transaction:false"
    text = f"-- migrate:up{option}\n{change.up_sql}-- migrate:down{option}\n{change.down_sql}"
    return {f"{change.version}_{change.name}.sql": text}


def lay_out_flyway(change: Change) -> dict[str, str]:
    """Write Flyway's two files and their .conf files."""
    name = f"{change.version}__{change.name}.sql"
    files = {f"V{name}": change.up_sql, f"U{name}": change.down_sql}
    if not change.in_transaction:
        files |= {f"{file}.conf": "executeInTransaction=false\n" for file in files}
    return files


LAYOUTS: dict[str, Layout] = {
    "dbmate": lay_out_dbmate,
    "goose": lay_out_goose,
    "golang-migrate": lay_out_pair,
    "sqlx": lay_out_sqlx,
    "diesel": lay_out_diesel,
    "flyway": lay_out_flyway,
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_format_gives_the_schema_of_psql_and_takes_it_back(
    make_database: MakeDatabase, tmp_path: Path, name: str
) -> None:
    """Up gives psql's schema, and down gives the empty one."""
    theirs, ours = make_database(), make_database()
    empty = ours.dump()
    run_psql(theirs, "".join(change.up_sql for change in CHANGES))
    files: dict[str, str] = {}
    for change in CHANGES:
        files |= LAYOUTS[name](change)
    project = Project(write_folder(tmp_path / "m", files), ours, {"LOCKGATE_FORMAT": name})
    up = project.run(Action.UP)
    schema = ours.dump()
    project.do(Action.DOWN, target="0", reason="proof", allow_data_loss=True)
    expected = (len(CHANGES), theirs.dump(), empty)
    assert expected == (len(up.applied), schema, ours.dump())


def run_psql(database: Database, sql: str) -> None:
    """Run a script with psql; skip if the installation has none."""
    psql = database.server.psql
    if psql is None:
        pytest.skip("this PostgreSQL comes without psql")
    done = subprocess.run(
        [psql, "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--file=-"],
        env=database.server.client_environment(database.name),
        input=sql,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (0, "") == (done.returncode, done.stderr)
