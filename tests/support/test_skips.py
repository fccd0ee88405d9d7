"""The summary of skipped tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.skips import make_lines

ROOT = Path(__file__).parents[2]
SKIPPING = """
import pytest

@pytest.mark.parametrize("n", range(3))
def test_tool(n):
    pytest.skip("the tool is not installed")

@pytest.mark.skip(reason="it is Tuesday")
def test_day():
    pass

def test_that_runs():
    pass
"""
FILE = "import pytest\npytest.importorskip('nothing_of_this_name', reason='it needs nothing')\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder of tests, most of them skipped."""
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["tests.support.skips"]\n')
    (tmp_path / "test_some.py").write_text(SKIPPING)
    (tmp_path / "test_whole.py").write_text(FILE)
    return tmp_path


@pytest.mark.parametrize("workers", ["0", "2"])
def test_summary_has_a_line_for_each_reason(folder: Path, workers: str) -> None:
    """Tests and whole files are counted by reason, with and without workers."""
    arguments = ["-q", "-n", workers, "-p", "no:cacheprovider", "-o", f"pythonpath={ROOT}", "."]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", "/dev/null", "--rootdir=.", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == run.returncode, run.stdout + run.stderr
    _, _, summary = run.stdout.partition("skipped, and why")
    assert [
        "    3 tests: the tool is not installed",
        "    1 test: it is Tuesday",
        "    1 file: it needs nothing",
    ] == summary.splitlines()[1:4]


def test_most_frequent_reason_is_first() -> None:
    """Lines are ordered by count, then by reason."""
    assert ["    2 tests: b", "    1 file: a", "    1 test: a"] == make_lines(
        ["b", "a", "b"], ["a"]
    )
