"""postgres-migrations and Lockgate on the same folder: equal schemas, and the same refusals."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.proofs.folder import Trait, make_changes
from tests.support.folders import write_folder
from tests.support.project import Project

from lockgate.core.request import Action
from lockgate.report.report import Status

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import MakeDatabase
    from tests.proofs.conftest import FindPeer, RunPeer
    from tests.proofs.folder import Change
    from tests.support.database import Database

# Its driver does not support COPY.
CHANGES = make_changes(without=frozenset({Trait.COPY}))
HALF = len(CHANGES) // 2 + 3
OUTSIDE = "-- postgres-migrations disable-transaction\n"

# The package has no command that migrates.
RUN = """
const fs = require("node:fs");
const { Client } = require("pg");
const { migrate } = require("postgres-migrations");
const settings = JSON.parse(process.env.PROOF);

(async () => {
  const client = new Client({ ...settings.connection, ssl: { ca: fs.readFileSync(settings.ca) } });
  await client.connect();
  try {
    await migrate({ client }, settings.folder);
  } catch (error) {
    console.log(error.message);
  } finally {
    await client.end();
  }
})();
"""


@pytest.fixture
def original(find_peer: FindPeer, run_peer: RunPeer, tmp_path: Path) -> Original:
    """Return postgres-migrations with the whole folder."""
    modules = find_peer("pg-validate-migrations").parents[1]
    folder = write_folder(tmp_path / "whole", name_files(CHANGES))
    return Original(find_peer("node"), modules, run_peer, folder)


class Original:
    """postgres-migrations, run by Node.js, and the folder that it reads."""

    def __init__(self, node: Path, modules: Path, run: RunPeer, folder: Path) -> None:
        self.node = node
        self.modules = modules
        self._run = run
        self.folder = folder

    def run(self, database: Database, folder: Path | None = None) -> str:
        """Apply a folder's pending migrations; return the error message, or "" on success."""
        connection = {
            "host": database.host,
            "port": database.port,
            "user": database.user,
            "password": database.password,
            "database": database.name,
        }
        settings = {
            "connection": connection,
            "ca": str(database.ca_file),
            "folder": str(folder or self.folder),
        }
        return self._run(
            self.node,
            "-e",
            RUN,
            database=database,
            cwd=self.folder.parent,
            PROOF=json.dumps(settings),
            NODE_PATH=str(self.modules),
        )


def name_files(changes: list[Change]) -> dict[str, str]:
    """Return the changes as the tool's files, using each of its separators."""
    return {
        f"{number:04d}{'-_'[number % 2]}{change.name}.sql": change.up_sql
        if change.trait is not Trait.CONCURRENT
        else OUTSIDE + change.up_sql
        for number, change in enumerate(changes, start=1)
    }


def make_project(folder: Path, database: Database) -> Project:
    """Return a Lockgate project for that folder."""
    return Project(folder, database, {"LOCKGATE_FORMAT": "postgres-migrations"})


def dump(database: Database) -> str:
    """Return the schema without the tool's own table."""
    database.run("DROP TABLE IF EXISTS migrations")
    return database.dump()


def test_up_gives_the_schema_that_postgres_migrations_gives(
    original: Original, make_database: MakeDatabase
) -> None:
    """postgres-migrations and Lockgate apply the whole folder to the same schema."""
    theirs, ours = make_database(), make_database()
    assert "" == original.run(theirs)
    report = make_project(original.folder, ours).run(Action.UP)
    assert len(CHANGES) == len(report.applied)
    assert dump(theirs) == dump(ours)


def test_half_by_postgres_migrations_adopted_and_finished_gives_the_same_schema(
    original: Original, make_database: MakeDatabase, tmp_path: Path
) -> None:
    """Lockgate adopts and finishes what the tool began, and leaves the tool's table unchanged."""
    theirs, ours = make_database(), make_database()
    half = write_folder(tmp_path / "half", name_files(CHANGES[:HALF]))
    assert ["", ""] == [original.run(theirs), original.run(ours, half)]
    project = make_project(original.folder, ours)
    adopted = project.do(Action.ADOPT, source="postgres-migrations", reason="we move")
    finished = project.run(Action.UP)
    left = ours.run("SELECT count(*) FROM migrations WHERE id > 0")
    expected = (Status.APPLIED, [[HALF]], len(CHANGES) - HALF, dump(theirs))
    assert expected == (adopted.status, left, len(finished.applied), dump(ours))


FOLDERS = {
    "every separator": {"1-a.sql": "", "02_b-c.SQL": "SELECT 1", "3d.sql": "-- only a comment"},
    "no name": {"1.sql": "", "2-.sql": "", "03_.sql": ""},
    "another file": {"1-a.sql": "", "note.txt": "", "2-b.ts": "", "sub/7-c.sql": "7"},
    "number missing": {"1-a.sql": "", "3-c.sql": ""},
    "not from 1": {"2-a.sql": ""},
    "number twice": {"1-a.sql": "", "01-b.sql": ""},
    "number 0": {"0-a.sql": "", "1-b.sql": ""},
    "the tool's own file": {"0_create-migrations-table.sql": "", "1-a.sql": ""},
    "negative number": {"-1-a.sql": "", "1-b.sql": ""},
    "negative zero": {"-0-a.sql": "", "1-b.sql": ""},
    "no number": {"1-a.sql": "", "a.sql": ""},
    "a space before the number": {"1-a.sql": "", " 2-a.sql": ""},
    "a digit of another script": {"1-a.sql": "", "٢-a.sql": ""},
    "name twice": {"1-a.sql": "", "2_a.sql": ""},
    "name twice in another case": {"1-a.sql": "", "2_A.sql": ""},
    "name of the tool's own": {"1-create-migrations-table.sql": ""},
    "longest name": {f"1-{'ä' * 100}.sql": ""},
    "name too long": {f"1-{'a' * 101}.sql": ""},
    "hidden file": {"1-a.sql": "", ".2-b.sql": ""},
    "hidden by underscores": {"1-a.sql": "", "__b.sql": ""},
    "folder with a file's name": {"1-a.sql": "", "2-b.sql/note.txt": ""},
    "its comment below": {"1-a.sql": f"VACUUM {OUTSIDE}"},
    "its comment in a text": {"1-a.sql": f"DO $$ BEGIN {OUTSIDE} COMMIT; END $$"},
    "a program of another kind": {"1-a.js": "exports.up = () => 'SELECT 1'"},
}


@pytest.mark.parametrize("files", FOLDERS.values(), ids=FOLDERS)
def test_what_the_tool_refuses_is_refused_and_the_rest_runs(
    original: Original, make_database: MakeDatabase, tmp_path: Path, files: dict[str, str]
) -> None:
    """Lockgate refuses exactly the names and numbers that the tool refuses."""
    folder = write_folder(tmp_path / "m", files)
    message = original.run(make_database(), folder)
    report = make_project(folder, make_database()).run(Action.UP)
    assert (message == "") == (report.error is None), (message, report.error)


@pytest.mark.parametrize("text", ["VACUUM;", "COPY t FROM stdin;\n\\.\n"])
def test_what_docs_name_runs_where_the_tool_fails(
    original: Original, make_database: MakeDatabase, tmp_path: Path, text: str
) -> None:
    """A statement outside a transaction, or COPY data, runs in Lockgate although the tool fails."""
    folder = write_folder(tmp_path / "m", {"1-a.sql": text})
    theirs, ours = make_database(), make_database()
    for database in (theirs, ours):
        database.run("CREATE TABLE t ()")
    message = original.run(theirs, folder)
    report = make_project(folder, ours).run(Action.UP)
    assert ("Migration failed", Status.APPLIED) == (message.partition(".")[0], report.status)


def test_program_that_the_tool_ran_is_adopted_as_itself_and_as_the_script_it_returned(
    original: Original, make_database: MakeDatabase, tmp_path: Path
) -> None:
    """A program's checksum covers its name and returned script, and any other text is refused."""
    text = "CREATE TABLE a ();"
    program = {"1-a.js": f"exports.generateSql = () => '{text}'"}
    ours = make_database()
    assert "" == original.run(ours, write_folder(tmp_path / "program", program))
    frozen = {"program": program, "script": {"1-a.sql": text}, "other": {"1-a.sql": f"{text} "}}
    statuses = {
        name: make_project(write_folder(tmp_path / name, files), ours)
        .do(Action.ADOPT, source="postgres-migrations", reason="we move", dry_run=True)
        .status
        for name, files in frozen.items()
    }
    expected = {"program": Status.PLANNED, "script": Status.PLANNED, "other": Status.REFUSED}
    assert expected == statuses
