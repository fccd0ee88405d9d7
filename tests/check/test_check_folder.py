"""What a check of a folder refuses, warns of, and shows, in the native and in other formats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.check.folders import DROP, MAKE, MIXED, REVISION, SCAFFOLD, UNREADABLE, UNRUNNABLE
from tests.support.folders import write_folder

from lockgate.check.check_folder import FolderToCheck, check_folder
from lockgate.check.result import CheckResult, WarningCode
from lockgate.core.policy import Atomicity
from lockgate.formats.alembic import reader as alembic_reader

if TYPE_CHECKING:
    from pathlib import Path


def check(
    folder: Path,
    files: dict[str, str],
    tool: str = "lockgate",
    *,
    atomicity: Atomicity = Atomicity.AUTO,
    variables: dict[str, str] | None = None,
    plugins: tuple[str, ...] = (),
) -> CheckResult:
    """Write files into a folder and check it."""
    folder.mkdir(exist_ok=True)
    write_folder(folder / "m", files)
    return check_folder(
        FolderToCheck(folder / "m", tool, atomicity, variables or {}, plugins),
    )


def list_places(result: CheckResult) -> list[tuple[str | None, int | None]]:
    """Return file and line of each problem."""
    return [(problem.file, problem.line) for problem in result.problems]


def list_warnings(result: CheckResult) -> list[tuple[str, str | None, int | None]]:
    """Return code, file and line of each warning."""
    return [(one.code, one.file, one.line) for one in result.warnings]


# Problems.


@pytest.mark.parametrize(("tool", "files", "names"), UNREADABLE, ids=[one[0] for one in UNREADABLE])
def test_every_file_that_cannot_be_read_is_a_problem(
    tmp_path: Path, tool: str, files: dict[str, str], names: str
) -> None:
    """All files that cannot be read are listed, not only the first."""
    result = check(tmp_path, files, tool)
    assert names == " ".join(str(problem.file) for problem in result.problems)
    assert (0, 0) == (len(result.migrations), len(result.segments.fresh))
    assert all(problem.hint for problem in result.problems)


@pytest.mark.parametrize(("tool", "files"), UNRUNNABLE, ids=[one[0] for one in UNRUNNABLE])
def test_every_file_that_cannot_run_is_a_problem(
    tmp_path: Path, tool: str, files: dict[str, str]
) -> None:
    """All files whose statements cannot run are listed, with the migrations but without segments."""
    result = check(tmp_path, files, tool)
    assert 2 == len(result.problems)
    assert {"migration-file-invalid"} == {problem.code for problem in result.problems}
    assert len(files) == len(result.migrations)
    assert () == result.segments.fresh == result.segments.used


def test_problem_has_the_place_of_the_statement(tmp_path: Path) -> None:
    """A problem has line and column of the statement, as in a run's report."""
    (problem,) = check(tmp_path, {"1_a.sql": MIXED}).problems
    assert ("1_a.sql", 2, 1) == (problem.file, problem.line, problem.column)
    assert problem.message.startswith("1_a.sql:2:1: CREATE INDEX CONCURRENTLY cannot run inside")


def test_two_files_of_one_version_are_a_problem(tmp_path: Path) -> None:
    """A version that two files have is a problem."""
    result = check(tmp_path, {"1_a.sql": MAKE, "01_b.sql": MAKE})
    assert ["Two files have version 1: 01_b.sql and 1_a.sql."] == [
        problem.message for problem in result.problems
    ]


def test_folder_of_another_tool_is_one_problem_that_names_the_tool(tmp_path: Path) -> None:
    """A folder of another tool is one problem with one hint, however many files it has."""
    result = check(tmp_path, {"V1__a.sql": MAKE, "V2__b.sql": MAKE})
    (problem,) = result.problems
    assert problem.hint is not None
    assert "set LOCKGATE_FORMAT=flyway (or --format flyway)" in problem.hint


@pytest.mark.parametrize("tool", ["lockgate", "auto", "flyway", "sqitch"])
def test_folder_that_does_not_exist_is_a_problem(tmp_path: Path, tool: str) -> None:
    """A missing folder is refused in every format."""
    asked = FolderToCheck(tmp_path / "nowhere", tool, Atomicity.AUTO, {})
    (problem,) = check_folder(asked).problems
    assert f"The migrations folder {tmp_path}/nowhere does not exist." == problem.message


# Warnings.


@pytest.mark.parametrize(
    ("tool", "files", "expected"),
    [
        ("lockgate", {"1_a.sql": SCAFFOLD}, ["empty-migration", "1_a.sql", 1]),
        ("lockgate", {"1_a.sql": ""}, ["empty-migration", "1_a.sql", 1]),
        ("lockgate", {"1_a.sql": "BEGIN; COMMIT;"}, ["empty-migration", "1_a.sql", 1]),
        ("lockgate", {"R__a.sql": "-- later\n"}, ["empty-migration", "R__a.sql", 1]),
        ("lockgate", {"1_a.py": "def up(c):\n    pass\n"}, ["empty-migration", "1_a.py", 1]),
        (
            "lockgate",
            {"1_a.sql": "-- migrate:up\n;\n-- migrate:down\n"},
            ["empty-migration", "1_a.sql", 1],
        ),
        ("goose", {"1_a.sql": "-- +goose Up\n-- +goose Down\n"}, ["empty-migration", "1_a.sql", 1]),
        (
            "lockgate",
            {"1_a.sql": f"-- migrate:up\n{MAKE}-- migrate:down\n"},
            ["empty-down", "1_a.sql", 3],
        ),
        (
            "golang-migrate",
            {"1_a.up.sql": MAKE, "1_a.down.sql": ""},
            ["empty-down", "1_a.down.sql", 1],
        ),
        (
            "lockgate",
            {"1_a.py": "def up(c):\n    c.x()\n\ndef down(c):\n    pass\n"},
            ["empty-down", "1_a.py", 1],
        ),
        (
            "lockgate",
            {"1_a.sql": f"-- migrate:up\n{MAKE}-- migrate:down\n\nSELECT '"},
            ["unusable-down", "1_a.sql", 5],
        ),
    ],
)
def test_warning_names_the_file_and_the_line(
    tmp_path: Path, tool: str, files: dict[str, str], expected: list[Any]
) -> None:
    """Scripts without statements and downs that cannot be used are warnings, not problems."""
    result = check(tmp_path, files, tool)
    assert ((), [tuple(expected)]) == (result.problems, list_warnings(result))
    assert result.warnings[0].hint
    assert 1 == len(result.migrations)


@pytest.mark.parametrize(
    "files",
    [
        {"1_a.sql": f"-- migrate:up\n{MAKE}-- migrate:down\n{DROP}"},
        {"1_a.sql": f"-- migrate:up\n{MAKE}-- migrate:down\nSELECT 1;\n"},
        {"1_a.sql": "(SELECT 1);"},
        {"1_a.sql": "/* a */ (SELECT 1);"},
        {"1_a.py": "def up(c):\n    c.execute()\n"},
    ],
)
def test_complete_files_have_no_warning(tmp_path: Path, files: dict[str, str]) -> None:
    """Files with statements, also unusual ones, pass without a warning."""
    result = check(tmp_path, files)
    assert ((), ()) == (result.problems, result.warnings)


# What the environment lacks.


@pytest.mark.parametrize(
    ("tool", "files", "names", "lines"),
    [
        (
            "lockgate",
            {"1_a.sql": "-- migrate:env on\nCREATE ROLE ${A};\nCREATE ROLE ${B};\n"},
            "A B",
            [2, 3],
        ),
        ("goose", {"1_a.sql": "-- +goose Up\n-- +goose ENVSUB ON\nCREATE ROLE ${A};\n"}, "A", [3]),
        ("flyway", {"V1__a.sql": "CREATE ROLE ${a};"}, "FLYWAY_PLACEHOLDERS_A", [1]),
        ("flyway", {"R__a.sql": "SELECT '${a}';"}, "FLYWAY_PLACEHOLDERS_A", [1]),
    ],
    ids=["lockgate", "goose", "flyway", "flyway, repeatable"],
)
def test_variable_that_is_not_set_is_a_warning(
    tmp_path: Path, tool: str, files: dict[str, str], names: str, lines: list[int]
) -> None:
    """A variable that is not set here is a warning; once it is set, there is none."""
    result = check(tmp_path, files, tool)
    assert () == result.problems
    assert [WarningCode.VARIABLE_NOT_SET] * len(lines) == [one.code for one in result.warnings]
    assert lines == [one.line for one in result.warnings]
    assert all(one.message.endswith(" A run needs it.") for one in result.warnings)
    given = dict.fromkeys(names.split(), "x")
    assert () == check(tmp_path, files, tool, variables=given).warnings


def test_file_with_a_variable_that_is_not_set_is_checked_too(tmp_path: Path) -> None:
    """What is wrong with the rest of such a file is found."""
    files = {"1_a.sql": f"-- migrate:env on\nCREATE ROLE ${{A}};\n{MIXED}"}
    result = check(tmp_path, files)
    assert [("1_a.sql", 4)] == list_places(result)
    assert [WarningCode.VARIABLE_NOT_SET] == [one.code for one in result.warnings]


def test_variable_that_is_withheld_is_a_problem(tmp_path: Path) -> None:
    """A variable that no environment gives to migrations is refused, as in a run."""
    result = check(tmp_path, {"1_a.sql": "-- migrate:env on\nCREATE ROLE ${AWS_REGION};\n"})
    assert [("1_a.sql", 2)] == list_places(result)


def test_value_of_a_variable_is_not_shown(tmp_path: Path) -> None:
    """No value of the environment is in the result."""
    files = {"1_a.sql": "-- migrate:env on\nCREATE ROLE a PASSWORD '${PW}';\nSELECT '"}
    result = check(tmp_path, files, variables={"PW": "hunter2"})
    assert 1 == len(result.problems)
    assert "hunter2" not in str(result.to_json())


def test_library_that_is_not_installed_is_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without Alembic its revisions are checked all the same, with one warning for all of them."""
    monkeypatch.setattr(alembic_reader, "find_spec", lambda _: None)
    files = {
        "a.py": REVISION.format(name="a", before=None, call="no_such_operation()"),
        "b.py": REVISION.format(name="b", before='"a"', call="execute('SELECT 1')"),
    }
    result = check(tmp_path, files, "alembic")
    assert () == result.problems
    assert [("library-not-installed", "a.py", 1)] == list_warnings(result)
    assert [("a", "b")] == [segment.migrations for segment in result.segments.fresh]


def test_every_operation_that_does_not_exist_is_a_problem(tmp_path: Path) -> None:
    """Revisions that call what Alembic does not have are refused, as in a run, all of them."""
    files = {
        "a.py": REVISION.format(name="a", before=None, call="no_such_operation()"),
        "b.py": REVISION.format(name="b", before='"a"', call="nor_this()"),
    }
    result = check(tmp_path, files, "alembic")
    assert [("a.py", 8), ("b.py", 8)] == list_places(result)


def test_plugin_that_cannot_be_imported_is_a_problem(tmp_path: Path) -> None:
    """A module in LOCKGATE_ALEMBIC_PLUGINS that cannot be imported is refused, as in a run."""
    files = {"a.py": REVISION.format(name="a", before=None, call="execute('SELECT 1')")}
    (problem,) = check(tmp_path, files, "alembic", plugins=("no_such_module",)).problems
    assert "Module no_such_module in LOCKGATE_ALEMBIC_PLUGINS cannot be imported" in problem.message


# Transactions.


FOUR = {
    "1_a.sql": "CREATE TABLE a (id int);",
    "2_b.sql": "CREATE INDEX CONCURRENTLY i ON a (id);",
    "3_c.sql": "ALTER TABLE a ADD COLUMN b int;",
    "4_d.sql": "-- migrate:up transaction:false\nUPDATE a SET id = 1;\nUPDATE a SET id = 2;\n",
    "5_e.sql": "ALTER TABLE a ADD COLUMN c int;",
    "6_f.sql": "BEGIN;\nALTER TABLE a ADD COLUMN d int;\nCOMMIT;\n",
    "R__g.sql": "CREATE OR REPLACE VIEW v AS SELECT 1 AS x;",
    "R__h.sql": "CREATE OR REPLACE VIEW w AS SELECT 1 AS x;",
}
FRESH = [
    ("shared", ("1",)),
    ("statements", ("2",)),
    ("shared", ("3",)),
    ("statements", ("4",)),
    ("shared", ("5",)),
    ("own_transaction", ("6",)),
    ("shared", ("R__g", "R__h")),
]
USED = [*FRESH[:-1], ("shared", ("R__g",)), ("shared", ("R__h",))]


@pytest.mark.parametrize(
    ("atomicity", "fresh", "used"),
    [
        (Atomicity.AUTO, FRESH, USED),
        (Atomicity.RUN, FRESH, FRESH),
        (Atomicity.MIGRATION, USED, USED),
    ],
)
def test_segments_are_those_of_a_fresh_and_of_a_used_database(
    tmp_path: Path, atomicity: Atomicity, fresh: list[Any], used: list[Any]
) -> None:
    """The result has what would share a transaction on a fresh database and on one in use."""
    segments = check(tmp_path, FOUR, atomicity=atomicity).segments
    assert fresh == [(one.mode, one.migrations) for one in segments.fresh]
    assert used == [(one.mode, one.migrations) for one in segments.used]


def test_latest_is_the_highest_version(tmp_path: Path) -> None:
    """The latest version is the highest one, not the last name; repeatables have none."""
    assert "10" == check(tmp_path, {"9_a.sql": MAKE, "10_b.sql": MAKE, "R__z.sql": MAKE}).latest
    assert check(tmp_path / "r", {"R__z.sql": MAKE}).latest is None


def test_recognised_format_is_named(tmp_path: Path) -> None:
    """With auto, the result names the format that the folder was recognised as."""
    result = check(tmp_path, {"V1__a.sql": MAKE}, "auto")
    assert ("flyway", "1", ()) == (result.tool, result.latest, result.problems)
