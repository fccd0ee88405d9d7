"""The tools that the proofs compare Lockgate with, and how a test runs one.

They are searched in the folder of LOCKGATE_TEST_PEERS (node_modules/.bin, venv/bin, bin), then on
the PATH. A proof whose tool is not installed is skipped with its name.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.database import Database

PEERS_VARIABLE = "LOCKGATE_TEST_PEERS"
PLACES = ("node_modules/.bin", "venv/bin", "bin")
# A program that waits for input would hang.
TIMEOUT_SECONDS = 300


class FindPeer(Protocol):
    """A function that finds another tool's program."""

    def __call__(self, program: str) -> Path:
        """Return the program's path; skip the test if it is not installed."""
        ...


class RunPeer(Protocol):
    """A function that runs another tool's program to its end."""

    def __call__(
        self, program: Path, *arguments: str, database: Database, cwd: Path, **variables: str
    ) -> str:
        """Return the output, including errors; fail the test if the program fails."""
        ...


@pytest.fixture(scope="session")
def peers_folder() -> Path | None:
    """Return the folder of LOCKGATE_TEST_PEERS, for tools that are found by other means."""
    named = os.environ.get(PEERS_VARIABLE)
    return Path(named).resolve() if named else None


@pytest.fixture(scope="session")
def find_peer(peers_folder: Path | None) -> FindPeer:
    """Return a function that finds another tool's program."""

    def find(program: str) -> Path:
        places = [] if peers_folder is None else [peers_folder / place for place in PLACES]
        search = os.pathsep.join([*map(str, places), os.environ.get("PATH", "")])
        found = shutil.which(program, path=search)
        if found is None:
            pytest.skip(f"{program} is not installed (looked in ${PEERS_VARIABLE} and on the PATH)")
        return Path(found)

    return find


@pytest.fixture(scope="session")
def run_peer() -> RunPeer:
    """Return a function that runs a program with libpq's variables set for a database."""

    def run(program: Path, *arguments: str, database: Database, cwd: Path, **variables: str) -> str:
        done = subprocess.run(
            [program, *arguments],
            env=_make_environment(database, variables),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{program.name} {' '.join(arguments)}\n{done.stdout}"
        return done.stdout

    return run


def _make_environment(database: Database, variables: Mapping[str, str]) -> dict[str, str]:
    return {**os.environ, **database.server.client_environment(database.name), **variables}
