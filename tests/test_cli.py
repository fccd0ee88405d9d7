"""The terminal's commands as users and scripts see them: output, exit status, signals."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from tests.support.command import Outcome
from tests.support.engine import act_before_segment
from tests.support.waiting import LONGEST_SECONDS, wait_until

from lockgate import __version__
from lockgate.terminal import run_command
from lockgate.terminal.arguments import make_parser
from lockgate.terminal.cli import main
from lockgate.terminal.environment import OPTION_SETTINGS, merge_environment, repeat_options
from lockgate.wiring import SystemClock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.database import Database

    from lockgate.core.segment import Segment

HANDLER = Path(__file__).parents[1] / "handler"
PYTHON_THAT_SLEEPS = """
import pathlib, time

def up(connection):
    pathlib.Path("begun").touch()
    time.sleep(600)
"""


class Run(Protocol):
    """A function that runs a command in this process."""

    def __call__(self, *arguments: str) -> Outcome:
        """Return the outcome."""
        ...


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, without the settings of the user who runs the tests."""
    for name in os.environ:
        if name.startswith(("LOCKGATE_", "AWS_")) and not name.startswith("LOCKGATE_TEST_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Give a function that runs a command."""

    def run(*arguments: str) -> Outcome:
        capsys.readouterr()
        try:
            status = main(arguments)
        except SystemExit as exit_:
            status = int(str(exit_.code))
        return Outcome(status, *capsys.readouterr())

    return run


@pytest.fixture
def here(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """Give a database, and set the environment to it."""
    for name, value in database.environment.items():
        monkeypatch.setenv(name, value)
    return database


def write(name: str, sql: str) -> Path:
    """Write a migration."""
    path = Path("migrations") / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(sql, encoding="utf-8")
    return path


# The output of a run.


def test_up_applies_what_is_pending_and_then_finds_nothing(run: Run, here: Database) -> None:
    """Up applies pending migrations; the report goes to standard output, progress to standard error."""
    write("1_create_account.sql", "CREATE TABLE account (id int)")

    first, second = run("up"), run("up")

    assert (0, 0) == (first.status, second.status)
    assert first.out.startswith("✓ applied 1 migration in ")
    assert "  ✓ 1 create_account  " in first.err
    assert second.out.startswith(f"✓ up to date, at 1\n  127.0.0.1:{here.port}/{here.name}, Post")
    assert second.err == ""


def test_json_is_one_value_and_nothing_else(run: Run, here: Database) -> None:
    """With --json, standard output is exactly one JSON value."""
    write("1_a.sql", "CREATE TABLE a (id int)")

    outcome = run("up", "--json", "--quiet")

    assert outcome.err == ""
    assert outcome.out.count("\n") == 1
    expected = ("lockgate/report/v1", "applied", "terminal", here.name)
    report = outcome.report
    found = (report["format"], report["status"], report["caller"], report["database"]["name"])
    assert expected == found


@pytest.mark.usefixtures("here")
def test_quiet_success_is_one_line(run: Run) -> None:
    """With --quiet, a success prints only its headline."""
    write("1_a.sql", "CREATE TABLE a (id int)")

    outcome = run("up", "--quiet")

    assert (1, "") == (outcome.out.count("\n"), outcome.err)


@pytest.mark.usefixtures("here")
def test_quiet_failure_says_why(run: Run) -> None:
    """With --quiet, a failure still prints its reason."""
    write("1_a.sql", "SELECT nothing")

    outcome = run("up", "--quiet")

    assert outcome.status == 1
    assert "Statement 1 of migration 1 a failed" in outcome.out


@pytest.mark.usefixtures("here")
def test_plan_changes_nothing_and_stops_at_its_target(run: Run) -> None:
    """Plan shows migrations up to the target with their transaction, and changes nothing."""
    for version in "123":
        write(f"{version}_t.sql", f"CREATE TABLE t{version} (id int)")

    outcome = run("plan", "--target", "2")

    assert outcome.status == 0
    lines = [line.split() for line in outcome.out.splitlines()]
    assert ["1", "t", "transaction", "1"] in lines
    assert ["2", "t", "transaction", "1"] in lines
    assert not [line for line in lines if line[:1] == ["3"]]
    assert "• 3 migrations pending" in run("status").out


def test_run_records_who_asked_for_it_and_why(run: Run, here: Database) -> None:
    """A run stores its reason and who requested it."""
    write("1_a.sql", "CREATE TABLE a (id int)")

    run("up", "--reason", "ticket 7", "--requested-by", "ada")

    rows = here.run("SELECT caller, reason, requested_by FROM lockgate.migration_run")
    assert [["terminal", "ticket 7", "ada"]] == rows


def test_failed_statement_is_shown_with_a_caret(run: Run, here: Database) -> None:
    """A failed statement is shown with its position and a caret, and is rolled back."""
    write("1_a.sql", "CREATE TABLE a (id int);\n\nSELECT id, emial FROM a;\n")
    before = here.dump()

    outcome = run("up")

    assert outcome.status == 1
    expected = """
  migrations/1_a.sql:3:12
  3 │ SELECT id, emial FROM a;
    │            ^
"""
    assert expected in outcome.out
    assert before == here.dump()


# Exit statuses.


@pytest.mark.usefixtures("here")
def test_drift_is_refused(run: Run) -> None:
    """An edited file exits with 2; status still succeeds."""
    path = write("1_a.sql", "CREATE TABLE a (id int)")
    run("up")
    path.write_text("CREATE TABLE a (id bigint)")

    outcome = run("up")

    assert outcome.status == 2
    assert "1  migrations/1_a.sql  edited" in outcome.out
    assert run("status").status == 0


def test_run_that_cannot_have_the_lock_is_busy(run: Run, here: Database) -> None:
    """A lock held by another session exits with 3 and names the holder."""
    write("1_a.sql", "CREATE TABLE a (id int)")
    run("up")
    write("2_b.sql", "CREATE TABLE b (id int)")
    here.connect().run(
        """
        UPDATE lockgate.migration_lock
        SET owner = 'other', caller = 'test', backend_pid = pg_backend_pid(), taken_at = now(),
            expires_at = now() + interval '1 hour',
            backend_start = (SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid())
        """
    )

    outcome = run("up", "--lock-wait", "0")

    assert outcome.status == 3
    assert "Run other (test) took it at" in outcome.out


def test_unlock_releases_a_lock_and_reports_if_there_was_none(run: Run, here: Database) -> None:
    """Unlock requires a reason, needs no migrations, and reports whether the lock was held."""
    write("1_a.sql", "CREATE TABLE a (id int)")
    run("up")
    here.run(
        "UPDATE lockgate.migration_lock SET owner = 'other', caller = 'test', taken_at = now(),"
        " expires_at = now() + interval '1 hour'"
    )
    Path("migrations/1_a.sql").unlink()

    first, second = (run("unlock", "--reason", "it died") for _ in range(2))

    assert (0, 0, 2) == (first.status, second.status, run("unlock").status)
    assert first.out.startswith("✓ the lock was released\n")
    assert second.out.startswith("✓ the lock was free\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["up", "--dir", "nowhere"], "The migrations folder nowhere does not exist."),
        (["up", "--dir", "/dev/null"], "The migrations folder /dev/null is not a folder."),
        (["up", "--dir", "nowhere"], "Set --dir to the folder, and check"),
        (
            ["up", "--database-url", "mysql://x"],
            "The database URL in --database-url does not begin with postgresql://",
        ),
        (["up", "--database-url", ""], "No database is given"),
        (["up"], "No database is given"),
        (["up", "--atomicity", "all"], '--atomicity cannot be "all": it takes one of auto, run'),
        (["up", "--set-role", "a b"], "Correct --set-role."),
        (["plan", "--out-of-order", "no"], "it takes one of refuse, apply, skip"),
        (["status", "--lock-wait", "5"], '--lock-wait cannot be "5"'),
    ],
)
def test_request_that_cannot_be_is_refused(run: Run, arguments: list[str], said: str) -> None:
    """An invalid setting exits with 2, and the message names the option that gave it."""
    write("1_a.sql", "SELECT 1")

    outcome = run(*arguments)

    assert outcome.status == 2
    assert said in outcome.out


@pytest.mark.usefixtures("here")
def test_role_of_an_option_is_named_by_the_option(run: Run) -> None:
    """A role that the server does not know is named by the option that gave it."""
    write("1_a.sql", "SELECT 1")
    outcome = run("up", "--set-role", "nobody_here")
    assert 2 == outcome.status
    assert "The role in --set-role does not exist" in outcome.out
    assert "or correct --set-role." in outcome.out
    assert "LOCKGATE_SET_ROLE" not in outcome.out


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ada:half:rest@db/shop", "postgresql://ada:PASSWORD@db/shop"),
        ("postgresql://ada:half@rest@db/shop", "postgresql://ada:PASSWORD@db/shop"),
        ("postgres://ada:word@db:5433/shop?a=b", "postgres://ada:PASSWORD@db:5433/shop?a=b"),
        ("postgresql://:word@db/shop", "postgresql://:PASSWORD@db/shop"),
        ("postgresql://ada@db:5433/shop", "postgresql://ada@db:5433/shop"),
        ("postgresql://db:5433/shop", "postgresql://db:5433/shop"),
    ],
)
def test_no_part_of_a_password_is_in_a_command_to_paste(url: str, shown: str) -> None:
    """A command to paste names the database without any part of the password."""
    options = make_parser("up").parse_args(["up", "--database-url", url])
    assert ("--database-url", shown) == repeat_options(options)


def test_wrong_setting_of_the_environment_keeps_its_name(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An invalid setting from the environment is named by its variable."""
    monkeypatch.setenv("LOCKGATE_ATOMICITY", "all")

    assert 'LOCKGATE_ATOMICITY cannot be "all"' in run("up").out


@pytest.mark.parametrize(
    ("arguments", "environment", "waited"),
    [
        ([], {}, "10 s"),
        (["--connect-budget", "3s"], {"LOCKGATE_CONNECT_BUDGET": "70s"}, "3 s"),
        ([], {"LOCKGATE_CONNECT_BUDGET": "70s"}, "70 s"),
    ],
)
def test_mistyped_host_is_waited_for_ten_seconds_by_default(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    environment: dict[str, str],
    waited: str,
) -> None:
    """A terminal waits 10 s for an unreachable host by default; an option and a setting change that."""
    write("1_a.sql", "SELECT 1")
    now = [0.0]
    monkeypatch.setattr(SystemClock, "monotonic", lambda _: now[0])
    monkeypatch.setattr(SystemClock, "sleep", lambda _, seconds: now.append(now.pop() + seconds))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    outcome = run("up", "--database-url", "postgresql://u:p@127.0.0.1:1/x", *arguments)

    assert f"127.0.0.1:1 could not be reached in {waited}" in outcome.out
    assert "--connect-budget 2min" in outcome.out


def test_unreachable_database_fails(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused connection exits with 1 when the budget is over; waiting is announced once."""
    write("1_a.sql", "SELECT 1")
    now = [0.0]
    monkeypatch.setattr(SystemClock, "monotonic", lambda _: now[0])
    monkeypatch.setattr(SystemClock, "sleep", lambda _, seconds: now.append(now.pop() + seconds))
    monkeypatch.setenv("LOCKGATE_CONNECT_BUDGET", "1s")

    outcome = run("up", "--database-url", "postgresql://u:geheim@127.0.0.1:1/x")

    assert outcome.status == 1
    assert "127.0.0.1:1 could not be reached" in outcome.out
    assert outcome.err == "  ! Waiting for the database: the connection was refused.\n"
    assert "geheim" not in outcome.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["up", "--dri", "x"], "--dri is not understood; did you mean --dir?"),
        (["up", "--local", "--secret", "x"], "not allowed with argument --local"),
        (["upp"], "invalid choice: 'upp'"),
        ([], "the following arguments are required: COMMAND"),
        (["new"], "the following arguments are required: NAME"),
        (["plan", "--reason", "x"], "--reason is not understood"),
        (["down", "--steps", "1", "--reason", " "], "argument --reason: it is empty"),
        (["plan", "--first-run", "maybe"], "maybe is not one of refuse, allow"),
        (["invoke", "f", "--first-run", "maybe"], "maybe is not one of refuse, allow"),
        # No abbreviations: a new option must not change a script's meaning.
        (["up", "--data", "x"], "--data is not understood"),
    ],
)
def test_wrong_usage_is_refused(run: Run, arguments: list[str], said: str) -> None:
    """Wrong usage prints to standard error and exits with 2."""
    outcome = run(*arguments)

    assert (2, "") == (outcome.status, outcome.out)
    assert said in outcome.err


@pytest.mark.usefixtures("here")
def test_defect_is_one_sentence_and_a_traceback_on_demand(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A defect exits with 1; only --debug shows the traceback, which may quote anything."""

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("quoted secret")

    monkeypatch.setattr(run_command, "make_runner", fail)

    outcome, debugged = run("up"), run("up", "--debug")

    assert (1, 1) == (outcome.status, debugged.status)
    assert "An unexpected ZeroDivisionError ended the run." in outcome.out
    assert "quoted secret" not in outcome.out + outcome.err
    assert "Traceback" in debugged.err


@pytest.mark.usefixtures("here")
def test_defect_is_reported_with_what_was_applied(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a defect, the report lists what was applied; the state of what was under way is unknown."""

    def break_second(segment: Segment) -> None:
        if segment.steps[0].migration.migration_id == "2":
            raise RuntimeError("hush")

    write("1_a.sql", "-- migrate:up\nCREATE TABLE a (id int);\n")
    write("2_b.sql", "-- migrate:up\nCREATE TABLE b (id int);\n")
    act_before_segment(monkeypatch, break_second)

    report = run("up", "--atomicity", "migration", "--json").report

    assert ("failed", "up", ["1"], "unknown") == (
        report["status"],
        report["action"],
        [entry["version"] for entry in report["applied"]],
        report["error"]["state_after"],
    )
    assert report["error"]["message"].endswith("Before that, this run applied: 1.")


# Options and the environment.


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], {"LOCKGATE_SECRET_ARN": "s", "LOCKGATE_HOST": "h", "LOCKGATE_SCHEMA": "own"}),
        (
            ["--database-url", "postgresql://x"],
            {"LOCKGATE_DATABASE_URL": "postgresql://x", "LOCKGATE_SCHEMA": "own"},
        ),
        (
            ["--secret", "t", "--schema", "other"],
            {"LOCKGATE_SECRET_ARN": "t", "LOCKGATE_HOST": "h", "LOCKGATE_SCHEMA": "other"},
        ),
        (["--local"], {"LOCKGATE_SCHEMA": "own"}),
        (["--secret", ""], {"LOCKGATE_SECRET_ARN": "", "LOCKGATE_HOST": "h"}),
    ],
)
def test_options_win_over_the_environment(arguments: list[str], expected: dict[str, str]) -> None:
    """Options take precedence, and an option that names a database drops the fields of another one."""
    environment = {
        "LOCKGATE_SECRET_ARN": "s",
        "LOCKGATE_HOST": "h",
        "LOCKGATE_SCHEMA": "own",
    }
    options = make_parser().parse_args(["up", *arguments])

    merged = merge_environment(environment, options)

    assert {"LOCKGATE_SCHEMA": "own"} | expected == merged


def test_each_option_that_is_a_setting_exists() -> None:
    """Every option in the table of settings exists in the parser."""
    options = vars(make_parser().parse_args(["up"]))
    assert set() == set(OPTION_SETTINGS) - set(options)


def test_help_shows_commands_and_examples_in_80_columns(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The help fits 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")

    shown = run("--help").out

    assert "lockgate up --local" in shown
    assert [] == [line for line in shown.splitlines() if len(line) > 80]


def test_help_is_as_wide_as_columns_say(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The width of the help follows COLUMNS, as usual with argparse."""
    monkeypatch.setenv("COLUMNS", "200")
    assert max(map(len, run("up", "--help").out.splitlines())) > 100


def test_version_is_the_package_version(run: Run) -> None:
    """--version prints one line."""
    assert Outcome(0, f"lockgate {__version__}\n", "") == run("--version")


# new.


@pytest.mark.usefixtures("here")
def test_new_files_work_as_they_are(run: Run) -> None:
    """Up succeeds right after new, for every kind of file."""
    made = [
        run("new", "Add users"),
        run("new", "fill users", "--python"),
        run("new", "user view", "--repeatable"),
    ]

    assert [0, 0, 0] == [outcome.status for outcome in made]
    assert all(Path(outcome.out.strip()).is_file() for outcome in made)
    report = run("up", "--json").report
    names = [entry["name"] for entry in report["applied"]]
    assert ["add_users", "fill_users", "user_view"] == names


def test_new_refuses_a_name_without_letters(run: Run) -> None:
    """A name without letters or digits is refused with a hint, and no file is created."""
    outcome = run("new", "!?")

    assert (2, "") == (outcome.status, outcome.out)
    assert "The name needs 1 to 200 ASCII letters or digits." in outcome.err
    assert not Path("migrations").exists()


def test_new_writes_nothing_into_another_tools_folder(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command new refuses to write into another tool's folder."""
    monkeypatch.setenv("LOCKGATE_FORMAT", "goose")
    outcome = run("new", "add_users")

    assert (2, "") == (outcome.status, outcome.out)
    assert "LOCKGATE_FORMAT is goose" in outcome.err
    assert not Path("migrations").exists()


# Operators.


@pytest.mark.usefixtures("here")
def test_operators_commands_in_a_row(run: Run) -> None:
    """The operator's commands work in sequence: plan, down, redo, repair, validate, baseline."""
    Path("migrations").mkdir()
    first = Path("migrations/1_a.sql")
    first.write_text("-- migrate:up\nCREATE TABLE a ();\n-- migrate:down\nDROP TABLE a;\n")
    Path("migrations/2_b.sql").write_text("-- migrate:up\nSELECT 1;\n-- migrate:down\nSELECT 1;\n")
    assert 0 == run("up").status
    planned = run("plan", "--down", "--steps", "1", "--json").report
    assert ["2"] == [entry["version"] for entry in planned["pending"]]
    undone = run("down", "--target", "0", "--reason", "test", "--json").report
    assert ["2", "1"] == [entry["version"] for entry in undone["reverted"]]
    nothing = run("redo", "--json").report
    assert ("up_to_date", "down") == (nothing["status"], nothing["action"])
    assert 0 == run("up").status
    redone = run("redo")
    assert 0 == redone.status
    assert "undid 1 migration" in redone.out
    assert "applied 1 migration" in redone.out
    again = run("redo", "--json").report
    assert ["2"] == [entry["version"] for entry in again["reverted"]]
    assert ["2"] == [entry["version"] for entry in again["applied"]]
    first.write_text(first.read_text().replace("a ()", "a (id int)"))
    assert 2 == run("validate").status
    repair = ("repair", "--accept", "1", "--reason", "test")
    assert ("planned", "applied") == (
        run(*repair, "--json").report["status"],
        run(*repair, "--apply", "--json").report["status"],
    )
    assert 0 == run("validate").status
    refused = run("baseline", "--target", "1", "--reason", "test")
    assert 2 == refused.status
    assert "A baseline is for a database without a history" in refused.out
    assert 2 == run("down", "--reason", "test").status


@pytest.mark.usefixtures("here")
def test_what_a_migration_prints_is_not_in_the_report(run: Run) -> None:
    """With ``--json``, standard output is one JSON value; a migration prints to standard error."""
    Path("migrations").mkdir()
    Path("migrations/1_a.py").write_text("def up(connection):\n    print('half way')\n")

    outcome = run("up", "--json")

    assert ["1"] == [entry["version"] for entry in outcome.report["applied"]]
    assert "half way\n" in outcome.err


@pytest.mark.usefixtures("here")
def test_redo_whose_second_half_is_refused_reports_what_the_first_undid(run: Run) -> None:
    """If the second half of redo is refused, one report covers the state and warnings of both halves."""
    Path("migrations").mkdir()
    first = Path("migrations/1_a.sql")
    first.write_text("CREATE VIEW v AS SELECT 1 AS i;")
    Path("migrations/2_b.sql").write_text(
        "-- migrate:up\nCREATE TABLE b ();\n-- migrate:down\nDROP TABLE b;\nDROP VIEW v;\n"
    )
    assert 0 == run("up", "--target", "1").status
    assert 0 == run("up").status
    first.write_text("CREATE VIEW v AS SELECT 2 AS i;")

    outcome = run("redo", "--json")

    report = outcome.report
    assert (2, "drift-detected") == (outcome.status, report["error"]["code"])
    assert ["2"] == [entry["version"] for entry in report["reverted"]]
    assert ("kept", "answer") == (
        report["error"]["state_after"],
        report["error"]["state_evidence"],
    )
    assert report["error"]["message"].endswith("Before that, redo undid: 2.")
    assert any("view public.v" in warning for warning in report["warnings"])


# --local.


@pytest.mark.sql
def test_local_database_is_kept_between_commands(run: Run, in_folder: Path) -> None:
    """The local database is kept between commands, and git ignores its folder."""
    write("1_a.sql", "CREATE TABLE a (id int)")

    statuses = [run("up", "--local", "--json").report["status"] for _ in range(2)]

    assert ["applied", "up_to_date"] == statuses
    assert (in_folder / ".lockgate" / ".gitignore").read_text() == "*\n"


# Tests that need their own process.


def start(*arguments: str) -> subprocess.Popen[str]:
    """Start a command with this environment and folder."""
    return subprocess.Popen(
        [sys.executable, "-m", "lockgate", *arguments],
        env={**os.environ, "PYTHONPATH": str(HANDLER)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def sleeping(here: Database) -> Iterator[subprocess.Popen[str]]:
    """Give an `up` in the middle of a long statement."""
    write("1_a.sql", "CREATE TABLE a (id int); SELECT pg_sleep(600)")
    process = start("up")
    try:
        wait_until(lambda: list_sleepers(here) != [], "a statement that sleeps")
        yield process
    finally:
        process.kill()
        process.communicate()


def list_sleepers(database: Database) -> list[list[Any]]:
    """Return the sessions that sleep."""
    return database.run(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
        " AND state = 'active' AND pid <> pg_backend_pid() AND query LIKE '%pg_sleep%'"
    )


@pytest.mark.parametrize(
    ("number", "name"), [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM")]
)
def test_signal_stops_the_statement_and_exits_incomplete(
    sleeping: subprocess.Popen[str], here: Database, number: signal.Signals, name: str
) -> None:
    """A signal cancels the statement, rolls back, records the run and frees the lock."""
    sleeping.send_signal(number)
    out, err = sleeping.communicate(timeout=LONGEST_SECONDS)

    assert sleeping.returncode == 4
    assert f"The run stopped before it was done: {name}." in out
    assert err.startswith(f"{name}: cancelling and rolling back")
    assert list_sleepers(here) == []
    assert here.run("SELECT to_regclass('a')") == [[None]]
    assert here.run("SELECT status FROM lockgate.migration_run") == [["incomplete"]]
    assert here.run("SELECT owner FROM lockgate.migration_lock") == [[None]]


@pytest.mark.usefixtures("here")
def test_second_signal_ends_it_at_once() -> None:
    """A second Ctrl-C ends the command at once, even in Python code that cannot be cancelled."""
    write("1_a.py", PYTHON_THAT_SLEEPS)
    process = start("up")
    assert process.stderr is not None
    try:
        wait_until(Path("begun").exists, "a migration that sleeps")
        process.send_signal(signal.SIGINT)
        first = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=LONGEST_SECONDS)
    finally:
        process.kill()
        process.wait()

    assert first.startswith("Ctrl-C: cancelling and rolling back")
    said = "\nStopped. The state of the database is unknown: the command ended before it could"
    assert (130, f"{said} check; run lockgate status.\n") == (process.returncode, rest)


@pytest.mark.usefixtures("here")
def test_run_with_nothing_to_do_imports_little() -> None:
    """A run with nothing to do imports neither rich, AWS libraries nor SQLAlchemy."""
    write("1_a.sql", "CREATE TABLE a (id int)")
    script = (
        "import sys; from lockgate.terminal.cli import main; main(['up', '--quiet']);"
        " print(*sorted({'rich', 'boto3', 'botocore', 'sqlalchemy', 'moto', 'lockgate.local',"
        " 'lockgate.awslambda.app'} & set(sys.modules)))"
    )
    for _ in range(2):
        result = subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONPATH": str(HANDLER)},
            capture_output=True,
            text=True,
            check=True,
        )

    assert result.stdout.splitlines()[0].startswith("✓ up to date")
    assert result.stdout.splitlines()[1:] == [""]


@pytest.mark.usefixtures("here")
def test_reader_that_exits_causes_no_error() -> None:
    """If the reader of the output leaves, as with `| head -1`, the exit status is still the run's."""
    write("1_a.sql", "CREATE TABLE a (id int)")
    process = start("up")
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    process.stderr.close()

    assert process.wait(LONGEST_SECONDS) == 0
    assert "Traceback" not in err
    assert "Broken" not in err


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    "words",
    [
        ("down", "--reason", "test", "--steps", "1", "--target", "1"),
        ("down", "--reason", "test"),
        ("plan", "--down"),
        ("plan", "--down", "--steps", "1", "--target", "1"),
        ("plan", "--steps", "1"),
        ("baseline", "--reason", "test"),
    ],
)
def test_hint_of_a_refused_command_works(run: Run, words: tuple[str, ...]) -> None:
    """Every command in the hint of a refusal succeeds."""
    Path("migrations").mkdir()
    Path("migrations/1_a.sql").write_text("-- migrate:up\nSELECT 1;\n-- migrate:down\nSELECT 1;\n")
    if words[0] != "baseline":
        assert 0 == run("up").status
    refused = run(*words, "--json").report["error"]
    commands = [one for one in refused["hint"].splitlines() if one.startswith("lockgate ")]
    assert commands
    for command in commands:
        _, *hinted = shlex.split(command.replace("VERSION", "1"))
        outcome = run(*hinted, "--json")
        assert 0 == outcome.status, outcome.report["error"]


@pytest.mark.usefixtures("here")
def test_hint_does_not_ask_for_what_the_environment_has(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If --database-url overrides the environment's host, the hint says so, and leads on."""
    Path("migrations").mkdir()
    Path("migrations/1_a.sql").write_text("SELECT 1;")
    monkeypatch.setenv("LOCKGATE_HOST", "db.example.com")
    error = run("status", "--database-url", "postgresql:///x", "--json").report["error"]
    assert "LOCKGATE_HOST is overridden" in error["message"]
    assert error["hint"].startswith("--database-url overrides LOCKGATE_HOST")
    # Either way the host counts. Nothing listens there.
    monkeypatch.setenv("LOCKGATE_HOST", "127.0.0.1")
    monkeypatch.setenv("LOCKGATE_PORT", "1")
    monkeypatch.setenv("LOCKGATE_CONNECT_BUDGET", "10ms")
    for option in ((), ("--database-url", "postgresql://u:p@127.0.0.1:1/x")):
        error = run("status", *option, "--json").report["error"]
        assert "database-unreachable" == error["code"], error
