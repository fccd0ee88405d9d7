"""Building packages in tests, which skip where there is no package index."""

from __future__ import annotations

import platform
import shutil
from typing import TYPE_CHECKING

import pytest
from infra.build import BuildFailed, Package, Recipe

from infra import build

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HOST = "arm64" if platform.machine() in {"arm64", "aarch64"} else "x86_64"
MIGRATION = "20260101000000_create_accounts.sql"

# pip's words for an index that cannot be reached.
OFFLINE = ("NewConnectionError", "ConnectTimeout", "ProxyError", "NameResolutionError")


def build_package(recipe: Recipe, folder: Path) -> Package:
    """Return a finished package, as a zip in a folder; or skip."""
    fill(recipe, folder / "task")
    package = build.write_package(folder / "task", folder / "lockgate.zip")
    shutil.rmtree(folder / "task")
    return package


def fill(
    recipe: Recipe, folder: Path, lay_out: Callable[[Recipe, Path], None] = build.fill_folder
) -> None:
    """Lay a package out, or skip."""
    try:
        lay_out(recipe, folder)
    except BuildFailed as failure:
        if any(word in str(failure) for word in OFFLINE):
            pytest.skip("no package index can be reached")
        raise
