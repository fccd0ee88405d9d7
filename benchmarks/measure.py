"""One measurement: runs a program in its own process, directly or through the delaying proxy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_HERE = Path(__file__).parent
_SMALL_PYTHON = (sys.executable, "-I", "-S")
# How much of a failed program's output is quoted.
_MOST_QUOTED = 2_000


@dataclass(frozen=True, slots=True)
class Sample:
    """The process's elapsed time and CPU time in milliseconds, and its peak memory in megabytes."""

    ms: float
    cpu_ms: float
    mb: float


class ProgramFailed(Exception):
    """The program ended with a status other than 0; the text is the end of its output."""


def measure(
    argv: tuple[str, ...], environment: Mapping[str, str], folder: Path, output: Path
) -> Sample:
    """Run a program to its end.

    Raises:
        ProgramFailed: its exit status is not 0.
    """
    request = {
        "argv": argv,
        "environment": dict(environment),
        "cwd": str(folder),
        "output": str(output),
    }
    answer = subprocess.run(
        [*_SMALL_PYTHON, str(_HERE / "spawn.py"), json.dumps(request)],
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(answer.stdout)
    if found.pop("status") != 0:
        raise ProgramFailed(output.read_text(errors="replace")[-_MOST_QUOTED:].strip())
    return Sample(**found)


@dataclass(slots=True)
class Way:
    """The port of the server or the proxy, and how often a program waited, once that is known."""

    port: int
    turns: int | None = None


@contextmanager
def open_way(host: str, port: int, delay_ms: float) -> Iterator[Way]:
    """Yield a port of the server; with a delay, of a proxy that adds half of it in each direction."""
    if delay_ms == 0:
        yield Way(port)
        return
    command = [*_SMALL_PYTHON, str(_HERE / "delay.py"), host, str(port), str(delay_ms / 2)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as proxy:
        assert proxy.stdout is not None
        way = Way(int(proxy.stdout.readline()))
        try:
            yield way
        finally:
            proxy.terminate()
            way.turns = sum(map(int, proxy.stdout))


def make_environment(psql: Path | None) -> dict[str, str]:
    """Return the environment of every program: a PATH, a home and a locale, without the user's own.

    Python's compiled files are written and used, whatever this process's own setting is.
    """
    kept = {name: os.environ[name] for name in ("HOME", "JAVA_HOME") if name in os.environ}
    folders = [os.environ.get("PATH", os.defpath), *([] if psql is None else [str(psql.parent)])]
    return {"PATH": os.pathsep.join(folders), "LC_ALL": "C.UTF-8", "TZ": "UTC", **kept}
