"""Values that are computed once for all workers of a test run, such as an undisturbed run's outcome."""

from __future__ import annotations

import fcntl
import os
import pickle
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

T = TypeVar("T")


def compute_once(factory: pytest.TempPathFactory, name: str, compute: Callable[[], T]) -> T:
    """Return a value that the first worker to need it computes, while the others wait.

    The value must not depend on the worker: no port, folder or database name.
    """
    folder = find_folder_of_all_workers(factory)
    file = folder / f"{name}.pickle"
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not file.exists():
            file.write_bytes(pickle.dumps(compute()))
        value: T = pickle.loads(file.read_bytes())  # noqa: S301 - written by this test run
    return value


def find_folder_of_all_workers(factory: pytest.TempPathFactory) -> Path:
    """Return the folder of this test run, which contains each worker's folder."""
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
