"""Values that are computed once for all workers of a run of the tests, such as an undisturbed run's."""

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
    """Return a value that the first worker to ask for it computes, while the others wait.

    The value must not depend on the worker: no port, no folder, no name of a database.
    """
    folder = find_folder_of_all_workers(factory)
    file = folder / f"{name}.pickle"
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not file.exists():
            file.write_bytes(pickle.dumps(compute()))
        value: T = pickle.loads(file.read_bytes())  # noqa: S301 - written by this very run
    return value


def find_folder_of_all_workers(factory: pytest.TempPathFactory) -> Path:
    """Return the folder that this run of the tests has to itself; a worker's lies in it."""
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
