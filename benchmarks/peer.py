"""Describes a tool for the benchmark: its program, its folder's layout, and its commands."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from benchmarks.workload import Change


class Kind(StrEnum):
    """The kinds of peers. A floor is a minimal script without checksums, lock or checks."""

    OURS = "Lockgate"
    FLOOR = "floor"
    NATIVE = "native"
    PYTHON = "Python"
    NODE = "Node.js"
    JAVA = "Java"
    PERL = "Perl"


class Task(StrEnum):
    """The measured tasks: apply pending migrations, also statement by statement, or only check."""

    UP = "up"
    CHECK = "check"
    OUTSIDE = "outside"


@dataclass(frozen=True, slots=True)
class Target:
    """A database to connect to, without TLS."""

    host: str
    port: int
    user: str
    password: str
    dbname: str

    @property
    def url(self) -> str:
        """The URL that most tools accept."""
        return f"{self.bare_url}?sslmode=disable"

    @property
    def bare_url(self) -> str:
        """The URL without options."""
        place = f"{self.host}:{self.port}/{self.dbname}"
        return f"postgresql://{self.user}:{self.password}@{place}"

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables of libpq and similar drivers."""
        return {
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGUSER": self.user,
            "PGPASSWORD": self.password,
            "PGDATABASE": self.dbname,
            "PGSSLMODE": "disable",
        }


@dataclass(frozen=True, slots=True)
class Command:
    """A program to run until it ends, with variables in addition to every program's environment."""

    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Tools:
    """Finds programs in the folder of `make bench`, else on the PATH. ``psql`` is the server's."""

    folder: Path
    psql: Path | None

    def find(self, name: str) -> Path | None:
        """Return a program's path; ``None`` if it is not installed."""
        places = [self.folder / place for place in ("node_modules/.bin", "venv/bin")]
        path = os.pathsep.join([*map(str, places), os.environ.get("PATH", os.defpath)])
        found = shutil.which(name, path=path)
        return None if found is None else Path(found)

    def find_ours(self, name: str) -> Path | None:
        """Return a program of the benchmark's own environment."""
        path = Path(sys.executable).with_name(name)
        return path if path.exists() else None


@dataclass(frozen=True, slots=True)
class Peer:
    """One tool.

    ``write(folder, changes, applied)`` writes a folder whose first ``applied`` changes are in the
    database already; it is called again with more changes. ``start(program, folder, target)`` returns
    what is run, in the folder. ``most`` is the largest folder that it is measured with.
    ``goes_outside``: its files can request that each statement is committed separately.
    """

    name: str
    kind: Kind
    find: Callable[[Tools], Path | None]
    write: Callable[[Path, Sequence[Change], int], None]
    start: Callable[[Path, Path, Target], Command]
    most: int = 1_000
    check: Callable[[Path, Path, Target], Command] | None = None
    goes_outside: bool = False

    def can(self, task: Task) -> bool:
        """Return whether this peer supports the task."""
        return {Task.CHECK: self.check is not None, Task.OUTSIDE: self.goes_outside}.get(task, True)

    def command(self, task: Task, program: Path, folder: Path, target: Target) -> Command | None:
        """Return the command for a task; ``None`` if this peer does not support it."""
        if task is not Task.CHECK:
            return self.start(program, folder, target) if self.can(task) else None
        return None if self.check is None else self.check(program, folder, target)


def write_new(path: Path, text: str) -> None:
    """Write a file unless it exists."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
