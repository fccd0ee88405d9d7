"""A check agrees with a run on a real database: what it refuses, and what shares a transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.check.folders import MIXED, REVISION, UNREADABLE, UNRUNNABLE

from lockgate.check.check_folder import FolderToCheck, check_folder
from lockgate.core.policy import Atomicity
from lockgate.core.request import Action
from lockgate.core.state_after import NOT_BEGUN, describe_state

if TYPE_CHECKING:
    from tests.support.project import Project

    from lockgate.check.result import CheckResult

REFUSED = [
    *((tool, files) for tool, files, _ in UNREADABLE),
    *UNRUNNABLE,
    ("lockgate", {}),
    ("lockgate", {"V1__a.sql": "SELECT 1;", "V2__b.sql": "SELECT 1;"}),
    ("lockgate", {"1_a.sql": "SELECT 1;\n-- +goose Down\nSELECT 2;\n"}),
    ("lockgate", {"1_a.sql": "SET client_encoding = 'LATIN1';"}),
    ("lockgate", {"1_a.py": "async def up(connection):\n    pass\n"}),
    ("lockgate", {"1_a.sql": "\\connect other\n"}),
    ("auto", {"readme.txt": "x"}),
    ("alembic", {"a.py": REVISION.format(name="a", before=None, call="no_such_operation()")}),
]


def check(project: Project, tool: str, atomicity: Atomicity = Atomicity.AUTO) -> CheckResult:
    """Check a project's folder."""
    return check_folder(FolderToCheck(project.folder, tool, atomicity, {}))


@pytest.mark.one_major
@pytest.mark.parametrize(("tool", "files"), REFUSED)
def test_first_problem_is_the_error_of_a_run(
    project: Project, tool: str, files: dict[str, str]
) -> None:
    """The first problem has the code, message, hint and place of the error with which `up` refuses."""
    project.write(files)
    error = project.run(LOCKGATE_FORMAT=tool).error
    first = check(project, tool).problems[0]
    assert error is not None
    assert (error.code, error.hint) == (first.code, first.hint)
    assert error.message == f"{first.message} {describe_state(NOT_BEGUN)}"
    assert (error.file, error.line, error.column) == (first.file, first.line, first.column)


FOLDER = {
    "1_a.sql": "CREATE TABLE a (id int);",
    "2_b.sql": "CREATE INDEX CONCURRENTLY i ON a (id);",
    "3_c.sql": "ALTER TABLE a ADD COLUMN b int;",
    "4_d.sql": "-- migrate:up transaction:false\nUPDATE a SET id = 1;\nUPDATE a SET id = 2;\n",
    "5_e.sql": "BEGIN;\nALTER TABLE a ADD COLUMN d int;\nCOMMIT;\n",
    "6_f.sql": "CREATE TYPE mood AS ENUM ('sad');",
    "7_g.sql": "ALTER TYPE mood ADD VALUE 'happy';",
    "8_h.sql": "LOCK TABLE a;",
    "R__i.sql": "CREATE OR REPLACE VIEW v AS SELECT 1 AS x;",
    "R__j.sql": "CREATE OR REPLACE VIEW w AS SELECT 1 AS x;",
}


@pytest.mark.parametrize("atomicity", list(Atomicity))
@pytest.mark.parametrize("is_fresh", [True, False], ids=["fresh", "used"])
def test_segments_are_those_of_a_plan(
    project: Project, atomicity: Atomicity, *, is_fresh: bool
) -> None:
    """The segments are those that `plan` shows on a fresh database and on one with tables."""
    project.write(FOLDER)
    if not is_fresh:
        project.database.run("CREATE TABLE old ()")
    planned = project.run(Action.PLAN, LOCKGATE_ATOMICITY=atomicity)
    segments = check(project, "lockgate", atomicity).segments
    assert (None, planned.segments) == (
        planned.error,
        segments.fresh if is_fresh else segments.used,
    )


def test_what_passes_is_applied(project: Project) -> None:
    """A folder that passes can be applied, and the corrected folder of a refused one too."""
    project.write({"1_a.sql": MIXED})
    assert 1 == len(check(project, "lockgate").problems)
    project.write({"1_a.sql": f"-- migrate:up transaction:false\n{MIXED}"})
    assert () == check(project, "lockgate").problems
    assert "applied" == project.run().status
