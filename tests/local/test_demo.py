"""Run `lockgate demo` as a newcomer does, also with a handler that fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.waiting import LONGEST_SECONDS, wait_until

from lockgate.local.demo import run_demo

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.sql
pytest.importorskip("moto", reason="moto is not installed")


def start(folder: Path, temporary: Path, **environment: str) -> subprocess.Popen[str]:
    """Start the demo with its own temporary folder and a user environment that it must ignore."""
    temporary.mkdir()
    return subprocess.Popen(
        [sys.executable, "-m", "lockgate.terminal.cli", "demo", "--dir", str(folder)],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT / "handler"),
            "TMPDIR": str(temporary),
            "AWS_PROFILE": "mine",
            "LOCKGATE_SECRET_ARN": "mine",
            "HTTP_PROXY": "http://127.0.0.1:1",
            **environment,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_demo_tells_the_whole_story(tmp_path: Path) -> None:
    """Each step succeeds, log lines stay out of the output, and no files remain."""
    temporary = tmp_path / "tmp"
    process = start(ROOT / "migrations", temporary)
    out, err = process.communicate(timeout=LONGEST_SECONDS * 2)

    assert (0, "") == (process.returncode, err)
    assert "✗ failed after" in out
    assert [] == [line for line in out.splitlines() if line.startswith("   ✗  ")]
    told = [line.strip() for line in out.splitlines() if line.startswith("   ✓  ")]
    assert told == [
        "✓  The stack is created; 11 migrations were applied.",
        "✓  Nothing was applied, and no lock was taken.",
        "✓  CloudFormation learns which statement failed, and why.",
        "✓  pg_dump before and after the failure is the same, byte by byte.",
        "✓  The rollback succeeds; the stack is where it was.",
        "✓  Nothing is pending.",
    ]
    assert out.count('"level":"INFO"') == 1
    assert list(temporary.iterdir()) == []


def test_interrupted_demo_leaves_nothing_behind(tmp_path: Path) -> None:
    """After Ctrl-C the servers are stopped and the folders removed."""
    temporary = tmp_path / "tmp"
    process = start(ROOT / "migrations", temporary)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=LONGEST_SECONDS * 2)

    assert process.returncode == 130
    assert "Traceback" not in err
    wait_until(lambda: not list(temporary.iterdir()), "a folder that is empty again")


def test_demo_without_migrations_has_a_hint(tmp_path: Path) -> None:
    """Without a migrations folder, the demo names --dir and starts nothing."""
    process = start(tmp_path / "nowhere", tmp_path / "tmp")
    out, err = process.communicate(timeout=LONGEST_SECONDS * 2)

    assert (2, "") == (process.returncode, out)
    assert "does not exist" in err
    assert "--dir" in err


class Checks:
    """An output that records the checks."""

    def __init__(self) -> None:
        self.checks: list[bool] = []

    def show_introduction(self, text: str) -> None:
        """Show nothing."""

    def start_step(self, number: int, title: str) -> None:
        """Show nothing."""

    def show_line(self, label: str, text: str) -> None:
        """Show nothing."""

    def show_report(self, report: object) -> None:
        """Show nothing."""

    def show_check(self, text: str, *, is_right: bool) -> None:  # noqa: ARG002 - the protocol's
        """Record the check."""
        self.checks.append(is_right)


def test_demo_of_a_handler_that_answers_nothing_fails() -> None:
    """The demo stops at the failed step and restores the environment."""
    output = Checks()
    seen: list[dict[str, str]] = []

    def handler(_event: object, _context: object) -> None:
        seen.append(dict(os.environ))

    before = dict(os.environ)
    is_right = run_demo(handler, ROOT / "migrations", "99990101000000", output)

    assert (False, [False, False]) == (is_right, output.checks)
    assert before == dict(os.environ)
    assert {"LOCKGATE_CFN_LOOPBACK", "AWS_ENDPOINT_URL"} <= set(seen[0])
    assert "HOME" not in seen[0]
