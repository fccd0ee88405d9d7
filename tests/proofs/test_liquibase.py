"""Liquibase and Lockgate on the same changelog: up, half-and-half and down give equal schemas.

Liquibase comes with the npm package of the same name and needs Java on the PATH.
"""

from __future__ import annotations

import shutil
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

IN_PACKAGE = "node_modules/liquibase/dist/liquibase/liquibase"
ROOT = "db/root.xml"
ROOT_TEXT = """<?xml version="1.0" encoding="UTF-8"?>
<databaseChangeLog
    xmlns="http://www.liquibase.org/xml/ns/dbchangelog"
    xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
    xsi:schemaLocation="http://www.liquibase.org/xml/ns/dbchangelog
        http://www.liquibase.org/xml/ns/dbchangelog/dbchangelog-latest.xsd">
    <includeAll path="sql/" relativeToChangelogFile="true"/>
</databaseChangeLog>
"""
# JDBC does not support COPY from the client.
CHANGES = make_changes(without=frozenset({Trait.COPY}))
HALF = len(CHANGES) // 2 + 3
UNDONE = 21
# Liquibase's own splitter would cut statements with these.
UNSPLITTABLE = ("$", "ATOMIC", "RULE")


@pytest.fixture
def original(
    peers_folder: Path | None, find_peer: FindPeer, run_peer: RunPeer, tmp_path: Path
) -> Original:
    """Return Liquibase with the whole changelog."""
    if shutil.which("java") is None:
        pytest.skip("java, which Liquibase needs, is not on the PATH")
    in_package = None if peers_folder is None else peers_folder / IN_PACKAGE
    program = in_package if in_package and in_package.exists() else find_peer("liquibase")
    folder = tmp_path / "whole"
    write_folder(folder, CHANGES)
    return Original(program, run_peer, folder)


class Original:
    """Liquibase's program and its working directory."""

    def __init__(self, program: Path, run: RunPeer, folder: Path) -> None:
        self.program = program
        self._run = run
        self.folder = folder

    def run(self, *command: str, database: Database, folder: Path | None = None) -> None:
        """Run one command on a database."""
        name, *options = command
        self._run(
            self.program,
            f"--url=jdbc:postgresql://localhost:{database.port}/{database.name}",
            f"--username={database.user}",
            f"--password={database.password}",
            name,
            f"--changelog-file={ROOT}",
            *options,
            database=database,
            cwd=folder or self.folder,
        )


def write_folder(folder: Path, changes: list[Change]) -> None:
    """Write a root changelog that includes a file of formatted SQL for each change."""
    (folder / "db/sql").mkdir(parents=True)
    (folder / ROOT).write_text(ROOT_TEXT)
    for change in changes:
        (folder / f"db/sql/{change.version}_{change.name}.sql").write_text(make_text(change))


def make_text(change: Change) -> str:
    """Return a change as formatted SQL, with the attributes that Liquibase needs for it."""
    attributes = "" if change.in_transaction else " runInTransaction:false"
    if not change.in_transaction or any(sign in change.up_sql for sign in UNSPLITTABLE):
        attributes += " splitStatements:false rollbackSplitStatements:false"
    if "/*" in change.up_sql:
        # Liquibase ends a comment at the first */ and would leave the rest.
        attributes += " splitStatements:false stripComments:false"
    rollback = "".join(f"--rollback {line}\n" for line in change.down_sql.splitlines())
    header = f"--changeset ann:{change.name}{attributes}\n"
    return f"--liquibase formatted sql\n\n{header}{change.up_sql}{rollback}"


def make_project(folder: Path, database: Database) -> Project:
    """Return a Lockgate project for the changelog's folder, not Liquibase's working directory."""
    return Project(folder / "db", database, {"LOCKGATE_FORMAT": "liquibase"})


def dump(database: Database) -> str:
    """Return the schema without Liquibase's own tables."""
    database.run("DROP TABLE IF EXISTS databasechangelog, databasechangeloglock")
    return database.dump()


def test_up_gives_the_schema_that_liquibase_gives(
    original: Original, make_database: MakeDatabase
) -> None:
    """Liquibase and Lockgate apply the whole changelog to the same schema."""
    theirs, ours = make_database(), make_database()
    original.run("update", database=theirs)
    report = make_project(original.folder, ours).run(Action.UP)
    assert len(CHANGES) == len(report.applied)
    assert dump(theirs) == dump(ours)


def test_half_by_liquibase_adopted_and_finished_gives_the_same_schema(
    original: Original, make_database: MakeDatabase, tmp_path: Path
) -> None:
    """Checksums and paths are matched, and Liquibase's table is left unchanged."""
    theirs, ours = make_database(), make_database()
    half = tmp_path / "half"
    write_folder(half, CHANGES[:HALF])
    original.run("update", database=theirs)
    original.run("update", database=ours, folder=half)
    project = make_project(original.folder, ours)
    adopted = project.do(Action.ADOPT, source="liquibase", reason="we move")
    finished = project.run(Action.UP)
    left = ours.run("SELECT count(*) FROM databasechangelog")
    expected = ("applied", (), [[HALF]], len(CHANGES) - HALF, dump(theirs))
    found = (adopted.status, adopted.warnings, left, len(finished.applied), dump(ours))
    assert expected == found


def test_down_gives_the_schema_that_liquibase_gives(
    original: Original, make_database: MakeDatabase
) -> None:
    """Liquibase and Lockgate undo the same changesets to the same schema."""
    theirs, ours = make_database(), make_database()
    original.run("update", database=theirs)
    original.run("rollback-count", f"--count={UNDONE}", database=theirs)
    project = make_project(original.folder, ours)
    project.run(Action.UP)
    report = project.do(Action.DOWN, steps=UNDONE, reason="proof", allow_data_loss=True)
    assert (UNDONE, dump(theirs)) == (len(report.reverted), dump(ours))
