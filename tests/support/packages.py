"""Build packages in tests, which are skipped if no package index can be reached."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.artifact import Unobtainable, fill_folder

from infra import build

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from infra.build import Recipe

MIGRATION = "20260101000000_create_accounts.sql"


def fill(
    recipe: Recipe, folder: Path, lay_out: Callable[[Recipe, Path], None] = build.fill_folder
) -> None:
    """Fill a package's folder, or skip the test."""
    try:
        fill_folder(recipe, folder, lay_out)
    except Unobtainable as failure:
        pytest.skip(str(failure))
