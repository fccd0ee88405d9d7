"""The command `lockgate check` as users and scripts see it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # ships no types
import pytest
from tests.support.folders import write_folder

from lockgate.check.result import CheckResult, Problem, WarningCode
from lockgate.settings import SETTINGS
from lockgate.terminal.check_command import FILE_SETTINGS
from lockgate.terminal.check_output import describe_check

ROOT = Path(__file__).parents[2]
HANDLER = ROOT / "handler"
SCHEMA = json.loads((ROOT / "docs/check.schema.json").read_text("utf-8"))
GOOD = {
    "1_a.sql": "CREATE TABLE a (id int);",
    "R__v.sql": "CREATE OR REPLACE VIEW v AS SELECT 1 AS x;",
}
NOTE = (
    "  Fresh means: no history and no tables. On any other database, each migration that is still"
    " pending has a transaction of its own.\n"
)
WARNED = {"1_a.sql": "-- migrate:up\nSELECT 1;\n-- migrate:down\n", "2_b.sql": "-- later\n"}
BAD = {"1_a.sql": "-- migrate:up nonsense:1\n", "2_b.sql": "-- migrate:nonsense\n"}
# Libraries that a check must not need, and the part of Lockgate that is only for runs.
NEEDLESS = ("pg8000", "sqlalchemy", "boto3", "botocore", "alembic", "rich", "aws_lambda_powertools")


def run(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder, with no settings but the given ones."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LOCKGATE_")}
    return subprocess.run(
        [sys.executable, "-m", "lockgate", "check", *arguments],
        env={**kept, "PYTHONPATH": str(HANDLER), **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def read_json(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Return the printed result, which is valid against the schema and all that was printed."""
    assert 1 == done.stdout.count("\n")
    assert "" == done.stderr
    value: dict[str, Any] = json.loads(done.stdout)
    flaws = jsonschema.Draft202012Validator(SCHEMA).iter_errors(value)
    assert [] == [f"{flaw.json_path}: {flaw.message}" for flaw in flaws]
    return value


def test_files_that_pass_are_listed_with_their_transaction(tmp_path: Path) -> None:
    """The output has the latest version, and each migration with its transaction."""
    write_folder(tmp_path / "migrations", GOOD)
    done = run(folder=tmp_path)
    listed = """\
✓ passed: 2 migrations, the latest is 1 a
  migrations, format lockgate

  On a fresh database
    1           a  transaction 1
    repeatable  v  transaction 1

"""
    assert (0, listed + NOTE, "") == (done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("options", [(), ("--json",), ("--quiet",)])
@pytest.mark.parametrize(
    ("files", "status"), [(GOOD, 0), (WARNED, 0), (BAD, 2)], ids=["good", "warned", "bad"]
)
def test_exit_status_depends_on_refusals_only(
    tmp_path: Path, files: dict[str, str], status: int, options: tuple[str, ...]
) -> None:
    """The exit status is 0 with and without warnings, and 2 for what a run would refuse."""
    write_folder(tmp_path / "migrations", files)
    assert status == run(*options, folder=tmp_path).returncode


def test_quiet_is_one_line_if_the_files_pass_and_the_reasons_if_not(tmp_path: Path) -> None:
    """With --quiet, a success is one line; a refusal is still explained."""
    write_folder(tmp_path / "migrations", WARNED)
    passed = run("--quiet", folder=tmp_path).stdout
    assert "! passed with 2 warnings: 2 migrations, the latest is 2 b\n" == passed
    write_folder(tmp_path / "migrations", BAD)
    refused = run("--quiet", folder=tmp_path).stdout
    assert 2 == refused.count("  Hint  ")


@pytest.mark.parametrize("files", [GOOD, WARNED, BAD, {}], ids=["good", "warned", "bad", "none"])
def test_json_keeps_to_the_schema(tmp_path: Path, files: dict[str, str]) -> None:
    """The JSON form is one line that is valid against the schema, whatever is found."""
    write_folder(tmp_path / "migrations", files)
    value = read_json(run("--json", folder=tmp_path))
    assert bool(value["problems"]) == (value["status"] == "refused")
    assert bool(value["problems"]) == (value["segments"]["fresh"] == [])


@pytest.mark.parametrize(
    ("arguments", "environment", "code"),
    [
        (("--dir", "nowhere"), {}, "migration-file-invalid"),
        (("--format", "nonsense"), {}, "setting-invalid"),
        (("--atomicity", "nonsense"), {}, "setting-invalid"),
        (("--format", "auto"), {}, "migration-file-invalid"),
        ((), {"LOCKGATE_FORMAT": "nonsense"}, "setting-invalid"),
        ((), {"LOCKGATE_FORMT": "flyway"}, "setting-invalid"),
        ((), {"LOCKGATE_MIGRATIONS": "\udcff"}, "migration-file-invalid"),
    ],
)
def test_invalid_setting_of_the_files_is_refused_with_a_hint(
    tmp_path: Path, arguments: tuple[str, ...], environment: dict[str, str], code: str
) -> None:
    """A setting on which the check depends is refused as in every command."""
    (tmp_path / "migrations").mkdir()
    done = run("--json", *arguments, folder=tmp_path, **environment)
    (problem,) = read_json(done)["problems"]
    assert (2, code) == (done.returncode, problem["code"])
    assert problem["hint"]


def test_settings_of_a_database_do_not_matter(tmp_path: Path) -> None:
    """Not even an invalid value of another setting changes the output."""
    write_folder(tmp_path / "migrations", GOOD)
    broken = {setting.name: "nonsense \x1b" for setting in SETTINGS} | {"AWS_REGION": "\x1b"}
    for name in FILE_SETTINGS:
        del broken[name]
    assert run(folder=tmp_path).stdout == run(folder=tmp_path, **broken).stdout


def test_options_take_precedence_over_settings(tmp_path: Path) -> None:
    """The folder, the format and the atomicity can be settings, and options override them."""
    write_folder(tmp_path / "db", {"V1__a.sql": "SELECT 1;", "V2__b.sql": "SELECT 1;"})
    settings = {
        "LOCKGATE_MIGRATIONS": "db",
        "LOCKGATE_FORMAT": "flyway",
        "LOCKGATE_ATOMICITY": "migration",
    }
    value = read_json(run("--json", folder=tmp_path, **settings))
    assert ("db", "flyway", "migration") == (value["folder"], value["tool"], value["atomicity"])
    assert 2 == len(value["segments"]["fresh"])
    wrong = {"LOCKGATE_MIGRATIONS": "x", "LOCKGATE_FORMAT": "y", "LOCKGATE_ATOMICITY": "z"}
    options = ("--dir", "db", "--format", "auto", "--atomicity", "run")
    value = read_json(run("--json", *options, folder=tmp_path, **wrong))
    assert ("db", "flyway", "run") == (value["folder"], value["tool"], value["atomicity"])
    assert 1 == len(value["segments"]["fresh"])


def test_check_imports_neither_driver_nor_aws_libraries(tmp_path: Path) -> None:
    """A check needs no library but Python's own, so it starts fast and runs in a build."""
    write_folder(tmp_path / "migrations", GOOD)
    code = (
        "import sys; from lockgate.terminal.cli import main; main(['check', '--quiet']);"
        f" print(*sorted(set({NEEDLESS!r}) & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(HANDLER)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ["✓ passed: 2 migrations, the latest is 1 a", ""] == done.stdout.splitlines()


def test_check_runs_without_any_library(tmp_path: Path) -> None:
    """A check runs in a Python without site-packages, as the build starts it."""
    write_folder(tmp_path / "migrations", GOOD)
    code = "import sys; sys.path.insert(0, sys.argv.pop(1)); from lockgate.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", code, str(HANDLER), "check", "--quiet"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    expected = "✓ passed: 2 migrations, the latest is 1 a\n"
    assert (0, expected, "") == (done.returncode, done.stdout, done.stderr)


def test_thousand_files_take_half_a_second(tmp_path: Path) -> None:
    """A thousand files are checked within half a second of processor time, in the best of some runs."""
    write_folder(
        tmp_path / "migrations",
        {
            f"{number}_t.sql": f"-- migrate:up\nCREATE TABLE t{number} (id int, name text NOT NULL);\n"
            f"CREATE INDEX ON t{number} (name);\n\n-- migrate:down\nDROP TABLE t{number};\n"
            for number in range(1, 1_001)
        },
    )
    assert 0.5 >= min(measure(tmp_path) for _ in range(5))


def measure(folder: Path) -> float:
    """Return the processor time of a check in seconds."""
    before = os.times()
    assert 0 == run("--quiet", folder=folder).returncode
    after = os.times()
    return (
        after.children_user + after.children_system - before.children_user - before.children_system
    )


def test_check_writes_nothing(tmp_path: Path) -> None:
    """A check leaves the folder as it is, and needs no right to write."""
    folder = write_folder(tmp_path / "migrations", GOOD | {"2_b.py": "def up(c):\n    c.x()\n"})
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    time.sleep(0.01)
    folder.chmod(0o500)
    assert 0 == run(folder=tmp_path).returncode
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}


def test_defect_is_reported_and_does_not_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unexpected exception is reported in the same form, and the exit status is not 0."""
    from lockgate.terminal import check_command
    from lockgate.terminal.cli import main

    def fail(_: object) -> CheckResult:
        raise ZeroDivisionError

    monkeypatch.setattr(check_command, "check_folder", fail)
    monkeypatch.chdir(tmp_path)
    assert 1 == main(["check", "--json"])
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert "unexpected-failure" == problem["code"]
    assert "An unexpected ZeroDivisionError ended the check." == problem["message"]


def test_refusal_in_the_first_stage_says_that_there_is_a_second(tmp_path: Path) -> None:
    """If files cannot be read, the output says that the statements were not examined yet."""
    folder = write_folder(tmp_path / "migrations", BAD)
    note = "Correct these first. Whether the statements can run is examined once every file can be"
    assert note in run(folder=tmp_path).stdout
    for path in folder.iterdir():
        path.unlink()
    assert note not in run(folder=tmp_path).stdout
    write_folder(folder, {"1_a.sql": "SELECT '"})
    assert note not in run(folder=tmp_path).stdout


# Layout.


LONG = "add_a_check_constraint_to_the_table_of_orders_and_to_that_of_payments"
WIDE = {
    "20261122093000_create_account.sql": "CREATE TABLE account (id int, email text);",
    "20261122094500_index_accounts.sql": "CREATE INDEX CONCURRENTLY i ON account (email);",
    f"20261122101500_{LONG}.sql": "-- migrate:up\nSELECT 1;\n-- migrate:down\n",
    "R__orders.sql": "CREATE OR REPLACE VIEW v AS SELECT 1 AS x;",
}


@pytest.mark.parametrize("width", [60, 120])
@pytest.mark.parametrize("files", [WIDE, BAD], ids=["wide", "bad"])
def test_output_fits_the_terminal(tmp_path: Path, files: dict[str, str], width: int) -> None:
    """At 60 and 120 columns no line is wider, except one with a name that cannot be wrapped."""
    write_folder(tmp_path / "migrations", files)
    value = read_json(run("--json", folder=tmp_path))
    lines = ["".join(span.text for span in line) for line in describe_check(value, width)]
    # The first line is the headline, which is not wrapped.
    assert [] == [line for line in lines[1:] if len(line) > width]
    text = re.sub(r"\s+", " ", " ".join(lines))
    for entry in [*value["problems"], *value["warnings"]]:
        words = [*entry["message"].split(), *(entry["hint"] or "").split()]
        assert all(word in text for word in words if len(word) < 40)


@pytest.mark.parametrize("kind", ["problems", "warnings"])
def test_many_entries_are_counted(kind: str) -> None:
    """A terminal shows twenty problems or warnings and counts the rest; the JSON form has them all."""
    entries = tuple(Problem(WarningCode.EMPTY_DOWN, f"number {n}.", "hint") for n in range(1_020))
    result = CheckResult("migrations", "lockgate", **{kind: entries})  # type: ignore[arg-type]
    lines = ["".join(span.text for span in line) for line in describe_check(result.to_json(), 80)]
    text = "\n".join(lines)
    assert "1,020" in lines[0]
    assert (True, False) == ("number 19." in text, "number 20." in text)
    assert "  … and 1,000 more" in lines
    assert 1_020 == len(result.to_json()[kind])
