"""Folders that take long to build, cached in the repository's ``.cache`` for later test sessions."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache"
_UNUSED_SECONDS = 86_400


def make_once(name: str, inputs: Iterable[bytes], make: Callable[[Path], object]) -> Path:
    """Return the folder that ``make`` filled for these inputs, now or in an earlier session.

    If several processes ask for it, one makes it and the others wait. If making fails, the folder is
    removed. Folders of other inputs are removed after a day without use.
    """
    parent = CACHE / name
    parent.mkdir(parents=True, exist_ok=True)
    folder = parent / digest(inputs)
    with (parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _remove_unused(parent)
        if folder.is_dir():
            os.utime(folder)
            return folder
        try:
            make(folder)
        except BaseException:
            if folder.is_dir():
                _remove(folder)
            raise
    return folder


def _remove_unused(parent: Path) -> None:
    for path in parent.iterdir():
        if path.is_dir() and path.stat().st_mtime < time.time() - _UNUSED_SECONDS:
            _remove(path)


def _remove(folder: Path) -> None:
    """Remove a folder, even if it is read-only."""
    for path in (folder, *folder.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
    shutil.rmtree(folder)


def digest(inputs: Iterable[bytes]) -> str:
    """Return a short digest of the inputs."""
    found = hashlib.sha256()
    for content in inputs:
        found.update(hashlib.sha256(content).digest())
    return found.hexdigest()[:16]


def list_contents(*roots: Path) -> list[bytes]:
    """Return names and contents of these files, and of all files in these folders except byte code."""
    contents = []
    for root in roots:
        for path in [root] if root.is_file() else sorted(root.rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                name = path.relative_to(root).as_posix()
                contents += [name.encode(), path.read_bytes()]
    return contents
