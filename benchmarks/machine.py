"""Describes the machine that the numbers were measured on, without identifying it."""

from __future__ import annotations

import os
import platform
import re
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lockgate.local.server import EmbeddedServer

_WRITES = 50


def describe_machine(server: EmbeddedServer, folder: Path) -> dict[str, str]:
    """Return processors, memory, disk, Python and PostgreSQL."""
    return {
        "processors": f"{os.cpu_count()} of {_read_model()}",
        "memory": f"{_read_memory_gb():.0f} GB",
        "disk": f"a write with fsync takes {_time_fsync(folder):.2f} ms",
        "other work": f"{os.getloadavg()[0]:.1f} processes wanted a processor when it began",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "postgresql": f"{server.version}, fsync on, no TLS, SCRAM, on loopback",
    }


def _read_model() -> str:
    found = re.search(r"^model name\s*:\s*(.*)$", _read("/proc/cpuinfo"), re.MULTILINE)
    return found[1] if found else platform.machine()


def _read_memory_gb() -> float:
    found = re.search(r"^MemTotal:\s*(\d+) kB", _read("/proc/meminfo"), re.MULTILINE)
    return int(found[1]) / 1024**2 if found else 0


def _read(path: str) -> str:
    file = Path(path)
    return file.read_text() if file.exists() else ""


def _time_fsync(folder: Path) -> float:
    """Return the median time of synchronous page writes, in milliseconds."""
    path = folder / "fsync"
    taken: list[float] = []
    with path.open("wb", buffering=0) as file:
        for _ in range(_WRITES):
            started = time.perf_counter()
            file.write(b"\0" * 8192)
            os.fsync(file.fileno())
            taken.append((time.perf_counter() - started) * 1000)
    path.unlink()
    return statistics.median(taken)
