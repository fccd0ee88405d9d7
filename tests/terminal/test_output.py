"""Check that a run whose output is lost completes with its usual exit status."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.project import Project

# Redirections of standard output and error to where writing fails or is not read.
NOWHERE = [
    ">/dev/full",
    "2>/dev/full",
    ">/dev/full 2>&1",
    ">&-",
    "2>&-",
    ">&- 2>&-",
    "<&- >&- 2>&-",
    "1</dev/null",
    "2</dev/null",
    "| true",
    "2>&1 | true",
    "2>&1 | head -1",
    "2> >(exit 0)",
]
FOLDER = {
    f"{n}_t{n}.sql": f"CREATE TABLE t{n} (i int);\nSELECT pg_sleep(0.01);" for n in range(1, 9)
}


def make_environment(project: Project) -> dict[str, str]:
    """Return a terminal's environment with the project's settings."""
    return {
        **project.database.environment,
        "LOCKGATE_MIGRATIONS": str(project.folder),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path(__file__).parents[2] / "handler"),
        "TERM": "xterm",
    }


def run_shell(project: Project, command: str, end: str) -> subprocess.CompletedProcess[str]:
    """Run a shell command with the project's settings; succeed if it has the expected exit status."""
    environment = make_environment(project)
    line = command.replace("lockgate", f"{sys.executable} -m lockgate", 1)
    return subprocess.run(
        ["/bin/bash", "-c", f"{line}\ncode=${{PIPESTATUS[0]}}\n[ $code = {end} ]"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("options", ["", " --json", " --no-color --debug"])
@pytest.mark.parametrize("where", NOWHERE)
def test_run_whose_output_is_lost_does_its_work(project: Project, where: str, options: str) -> None:
    """The run applies everything, exits with 0, releases the lock, and prints no traceback."""
    project.write(FOLDER)
    done = run_shell(project, f"lockgate up{options} {where}", "0")
    assert (0, False) == (done.returncode, "Traceback" in done.stdout + done.stderr)
    assert 8 == len(project.history())
    assert [[None]] == project.database.run("SELECT owner FROM lockgate.migration_lock")


@pytest.mark.parametrize("where", NOWHERE)
def test_failing_run_whose_output_is_lost_keeps_its_status(project: Project, where: str) -> None:
    """A failed run exits with 1 and releases the lock."""
    project.write({"1_a.sql": "CREATE TABLE a ();", "2_b.sql": "SELECT nonsense;"})
    done = run_shell(project, f"lockgate up {where}", "1")
    assert (0, False) == (done.returncode, "Traceback" in done.stdout + done.stderr)
    assert [[None]] == project.database.run("SELECT owner FROM lockgate.migration_lock")


@pytest.mark.parametrize("where", NOWHERE)
@pytest.mark.parametrize(
    ("command", "end"),
    [
        ("lockgate status", "0"),
        ("lockgate plan", "0"),
        ("lockgate validate --json", "0"),
        ("lockgate history", "0"),
        ("lockgate down --steps 1 --reason test", "0"),
        ("lockgate redo", "0"),
        ("lockgate --help", "0"),
        ("lockgate up --help", "0"),
        ("lockgate --version", "0"),
        ("lockgate up --nonsense", "2"),
        ("lockgate nonsense", "2"),
        ("lockgate new a_thing", "0"),
        ("lockgate new", "2"),
        ("lockgate invoke x --region eu-west-1 --profile none", "1"),
    ],
)
def test_command_whose_output_is_lost_ends_with_its_status(
    project: Project, where: str, command: str, end: str
) -> None:
    """Each command exits with its usual status."""
    project.write(
        {"1_a.sql": "-- migrate:up\nCREATE TABLE a ();\n-- migrate:down\nDROP TABLE a;\n"}
    )
    project.run()
    done = run_shell(project, f"{command} {where}", end)
    assert (0, False) == (done.returncode, "Traceback" in done.stdout + done.stderr)


@pytest.mark.parametrize("leaves_at", [0, 1])
def test_run_whose_terminal_is_gone_does_its_work(project: Project, leaves_at: int) -> None:
    """A run on a terminal that is closed applies everything."""
    project.write(FOLDER)
    master, slave = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "lockgate", "up"],
        env=make_environment(project),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    if leaves_at:
        os.read(master, leaves_at)
    os.close(master)
    assert 0 == process.wait(60)
    assert 8 == len(project.history())
