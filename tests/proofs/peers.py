"""The tools that the proofs compare Lockgate with, and how a test runs one.

Programs are searched in the folder of LOCKGATE_TEST_PEERS, then on the PATH. A proof whose tool is not
installed is skipped with its name.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.database import Database

PEERS_VARIABLE = "LOCKGATE_TEST_PEERS"
PLACES = ("node_modules/.bin", "node_modules/liquibase/dist/liquibase", "venv/bin", "bin")
# A program that waits for input would hang.
TIMEOUT_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Peers:
    """The installed tools. ``folder`` is that of LOCKGATE_TEST_PEERS."""

    folder: Path | None

    def find_program(self, name: str) -> Path:
        """Return a program's path; skip the test if it is not installed."""
        places = [] if self.folder is None else [self.folder / place for place in PLACES]
        search = os.pathsep.join([*map(str, places), os.environ.get("PATH", "")])
        found = shutil.which(name, path=search)
        if found is None:
            pytest.skip(f"{name} is not installed (looked in ${PEERS_VARIABLE} and on the PATH)")
        return Path(found)

    def find_modules(self, package: str) -> Path:
        """Return the node_modules with an npm package; skip the test if it is not installed."""
        modules = None if self.folder is None else self.folder / "node_modules"
        if modules is None or not (modules / package).is_dir():
            pytest.skip(f"{package} is not installed (looked in ${PEERS_VARIABLE})")
        return modules


def run_peer(
    program: Path, *arguments: str, database: Database, cwd: Path, **variables: str
) -> str:
    """Run a program with libpq's variables set for a database.

    Return the output, including errors; fail the test if the program fails.
    """
    done = subprocess.run(
        [program, *arguments],
        env={**os.environ, **database.server.client_environment(database.name), **variables},
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


def make_url(database: Database) -> str:
    """Return the database's URL for drivers of Go, Rust and Node.js."""
    place = f"{database.user}:{database.password}@{database.host}:{database.port}/{database.name}"
    return f"postgres://{place}?sslmode=verify-full&sslrootcert={database.ca_file}"


def make_node_connection(database: Database) -> dict[str, object]:
    """Return the connection for Node.js's driver, and the CA file for its TLS options."""
    connection = {
        "host": database.host,
        "port": database.port,
        "user": database.user,
        "password": database.password,
        "database": database.name,
    }
    return {"connection": connection, "ca": str(database.ca_file)}
