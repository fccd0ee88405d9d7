"""postgres-migrations and Lockgate refuse the same folders, and adopt the same programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.proofs.kit import PeerProject
from tests.proofs.tools.postgres_migrations import OUTSIDE, TOOL, run
from tests.support.folders import write_folder

from lockgate.core.request import Action
from lockgate.report.report import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.proofs.kit import Proof, Tool

    Prove = Callable[[Tool], Proof]

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


def write(proof: Proof, name: str, files: Mapping[str, str]) -> PeerProject:
    """Write a project with these migrations."""
    folder = write_folder(proof.place / name, {})
    write_folder(folder / TOOL.folder, files)
    return PeerProject(folder, proof.peers)


@pytest.mark.parametrize("files", FOLDERS.values(), ids=FOLDERS)
def test_what_the_tool_refuses_is_refused_and_the_rest_runs(
    prove: Prove, files: dict[str, str]
) -> None:
    """Lockgate refuses exactly the names and numbers that the tool refuses."""
    proof = prove(TOOL)
    project = write(proof, "whole", files)
    message = run(project, proof.theirs)
    report = proof.open(project).run(Action.UP)
    assert (message == "") == (report.error is None), (message, report.error)


@pytest.mark.parametrize("text", ["VACUUM;", "COPY t FROM stdin;\n\\.\n"])
def test_what_docs_name_runs_where_the_tool_fails(prove: Prove, text: str) -> None:
    """A statement outside a transaction, or COPY data, runs in Lockgate although the tool fails."""
    proof = prove(TOOL)
    project = write(proof, "whole", {"1-a.sql": text})
    for database in (proof.theirs, proof.ours):
        database.run("CREATE TABLE t ()")
    message = run(project, proof.theirs)
    report = proof.open(project).run(Action.UP)
    assert ("Migration failed", Status.APPLIED) == (message.partition(".")[0], report.status)


def test_program_that_the_tool_ran_is_adopted_as_itself_and_as_the_script_it_returned(
    prove: Prove,
) -> None:
    """A program's checksum covers its name and returned script, and any other text is refused."""
    text = "CREATE TABLE a ();"
    program = {"1-a.js": f"exports.generateSql = () => '{text}'"}
    proof = prove(TOOL)
    assert "" == run(write(proof, "whole", program), proof.ours)
    frozen = {"program": program, "script": {"1-a.sql": text}, "other": {"1-a.sql": f"{text} "}}
    statuses = {
        name: proof.adopt(proof.open(write(proof, name, files)), dry_run=True).status
        for name, files in frozen.items()
    }
    expected = {"program": Status.PLANNED, "script": Status.PLANNED, "other": Status.REFUSED}
    assert expected == statuses
