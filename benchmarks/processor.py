"""Limits processes to a share of one processor with cgroups, like Lambda does with little memory."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_CGROUPS = Path("/sys/fs/cgroup")
# Lambda's own period, as measured by others: a process with a small share has short, frequent pauses.
_PERIOD_US = 20_000


@dataclass(frozen=True, slots=True)
class Processor:
    """A control group whose processes share a part of one processor."""

    folder: Path

    def confine(self, pid: int) -> None:
        """Move a process with all its threads into the group."""
        (self.folder / "cgroup.procs").write_text(str(pid))


@contextlib.contextmanager
def limit_processor(share: float) -> Iterator[Processor | None]:
    """Yield a processor with this share; ``None`` if control groups cannot be created."""
    quota_us = max(1_000, round(_PERIOD_US * share))
    folder = (
        _CGROUPS / ("cpu" if (_CGROUPS / "cpu").is_dir() else "") / f"lockgate-bench-{os.getpid()}"
    )
    try:
        folder.mkdir()
    except OSError:
        yield None
        return
    try:
        yield Processor(folder) if _set_quota(folder, quota_us) else None
    finally:
        folder.rmdir()


def _set_quota(folder: Path, quota_us: int) -> bool:
    try:
        if (folder / "cpu.cfs_quota_us").exists():
            (folder / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
            (folder / "cpu.cfs_quota_us").write_text(str(quota_us))
        else:
            (folder / "cpu.max").write_text(f"{quota_us} {_PERIOD_US}")
    except OSError:
        return False
    return True


def read_cpu_ms(pid: int) -> float:
    """Return how much processor time a process has used so far, in milliseconds.

    Of threads that are still there: one that has ended took what it used with it.
    """
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1_000_000
