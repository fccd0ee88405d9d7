"""Fixtures for deployment: a Python for byte code, migrations, and the package of both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from infra.build import Recipe
from tests.support.artifact import HOST, MIGRATIONS, Unobtainable, find_python, make_package
from tests.support.packages import MIGRATION

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def compiler() -> Path:
    """Return a Python of the function's version."""
    try:
        return find_python()
    except Unobtainable as failure:
        pytest.skip(str(failure))


@pytest.fixture(scope="session")
def migrations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with one migration, and leftover files of an editor."""
    folder = tmp_path_factory.mktemp("migrations")
    (folder / MIGRATION).write_text("create table accounts (id bigint primary key);\n")
    (folder / ".swap").write_text("")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "left.pyc").write_text("")
    return folder


@pytest.fixture(scope="session")
def package(compiler: Path) -> Path:
    """Return the package for this machine, possibly from an earlier session."""
    try:
        return make_package(Recipe(HOST, MIGRATIONS, compiler)) / "lockgate.zip"
    except Unobtainable as failure:
        pytest.skip(str(failure))
