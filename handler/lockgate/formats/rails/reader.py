"""Reads a folder of Rails: a project that continues in the native format after its Ruby migrations.

A Ruby migration is listed but cannot run: its SQL exists only while Rails runs it.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from lockgate.core.migration import Obstacle, Version
from lockgate.formats.native.reader import read_folder as read_native_folder
from lockgate.formats.shared.folder import list_files
from lockgate.formats.shared.scripts import (
    catalog_by_number,
    make_script,
    make_versioned,
    with_stub,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lockgate.core.catalog import Catalog
    from lockgate.core.migration import Migration

_RUBY = re.compile(r"([0-9]+)_([_a-z0-9]*)\.?[_a-z0-9]*\.rb")
_OBSTACLE = Obstacle(
    "is a Ruby migration, and Lockgate cannot run Ruby",
    "Apply it with Rails and adopt afterwards; or put its SQL beside it, with the same version. For new"
    " databases, use the current schema as the first migration.",
    line=1,
)
_TABLE = "schema_migrations"
_TABLE_SQL = "CREATE TABLE IF NOT EXISTS schema_migrations (version varchar NOT NULL PRIMARY KEY)"


def recognise(folder: Path) -> str | None:
    """Return the sign that there are Ruby migrations."""
    ruby = _list_ruby(folder)
    return f"Ruby migrations such as {ruby[0][0]}" if ruby else None


def read_folder(folder: Path, variables: Mapping[str, str]) -> Catalog:
    """Read every migration of the native format, and list the Ruby migrations by their names.

    A Ruby migration is ignored if there is an SQL file with the same version.

    Raises:
        MigrationFileInvalid: there is no migration, or the native format refuses a file.
    """
    is_native = next(list_files(folder), None) is not None
    native = list(read_native_folder(folder, variables).migrations) if is_native else []
    in_sql = {migration.version for migration in native}
    ruby = [_make_ruby(path, *named.groups()) for path, named in _list_ruby(folder)]
    migrations = native + [migration for migration in ruby if migration.version not in in_sql]
    return with_stub(catalog_by_number(migrations, folder), _TABLE, _TABLE_SQL)


def _list_ruby(folder: Path) -> list[tuple[str, re.Match[str]]]:
    """Return path and name of each Ruby migration, in subfolders too, as Rails does."""
    paths = list_files(folder, (".rb",))
    found = ((path, _RUBY.fullmatch(path.rpartition("/")[2])) for path in paths)
    return [(path, named) for path, named in found if named is not None]


def _make_ruby(path: str, version: str, name: str) -> Migration:
    script = replace(make_script("", path), obstacle=_OBSTACLE)
    return make_versioned(Version.parse(version), name, script, None)
