"""Reads a folder of Diesel: a subfolder per migration, with ``up.sql``, ``down.sql``, ``metadata.toml``.

The version is the part of the name before the first underscore, without dashes. Versions compare as
text. Like Diesel, it ignores files beside the subfolders.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from lockgate.core.migration import Version
from lockgate.core.try_each import try_each
from lockgate.formats.shared.folder import has_file, list_folders, read_text
from lockgate.formats.shared.scripts import (
    catalog_by_place,
    make_versioned,
    read_script,
    unusable_file,
    with_stub,
)
from lockgate.formats.shared.toml import read_toml

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lockgate.core.catalog import Catalog
    from lockgate.core.migration import Migration

_UP, _DOWN, _METADATA = "up.sql", "down.sql", "metadata.toml"
_TABLE = "__diesel_schema_migrations"
_TABLE_SQL = """\
CREATE TABLE IF NOT EXISTS __diesel_schema_migrations (
    version varchar(50) PRIMARY KEY NOT NULL,
    run_on timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP
)"""


def recognise(folder: Path) -> str | None:
    """Return the sign that every subfolder has an ``up.sql``."""
    folders = _list_folders(folder)
    if folders and all(has_file(folder, f"{name}/{_UP}") for name in folders):
        return f"every folder has an {_UP}, such as {folders[0]}/{_UP}"
    return None


def read_folder(folder: Path, variables: Mapping[str, str]) -> Catalog:
    """Read the migration of every subfolder except hidden ones.

    Raises:
        MigrationFileInvalid: a folder has no ``up.sql`` or an empty one, its ``metadata.toml`` cannot
            be read, two folders share a version, or there is none.
    """
    del variables  # Diesel has no variables
    migrations = try_each(_list_folders(folder), partial(_read_migration, folder))
    migrations.sort(key=lambda migration: migration.migration_id)
    return with_stub(catalog_by_place(migrations, folder), _TABLE, _TABLE_SQL)


def _list_folders(folder: Path) -> list[str]:
    return [name for name in list_folders(folder) if not name.startswith(".")]


def _read_migration(folder: Path, name: str) -> Migration:
    path = f"{name}/{_UP}"
    if not has_file(folder, path):
        raise unusable_file(
            name,
            f"is a folder without {_UP}, which is a broken migration to Diesel",
            f"Add {path}, or move the folder out of the migrations folder; or set"
            " LOCKGATE_MIGRATIONS (or --dir) to the migrations folder itself.",
        )
    transaction = _read_metadata(folder, name)
    up = read_script(folder, path, transaction=transaction)
    if not up.text:
        raise unusable_file(
            path, "is empty, which Diesel refuses to run", "Write the migration, or remove it."
        )
    down = None
    if has_file(folder, f"{name}/{_DOWN}"):
        down = read_script(folder, f"{name}/{_DOWN}", transaction=transaction)
    version, _, title = name.partition("_")
    return make_versioned(Version.stored(version.replace("-", "")), title, up, down)


def _read_metadata(folder: Path, name: str) -> bool | None:
    """Return False if the migration runs outside of a transaction, as it does without the key."""
    path = f"{name}/{_METADATA}"
    if not has_file(folder, path):
        return None
    wanted = read_toml(read_text(folder, path), path).get("run_in_transaction", False)
    if not isinstance(wanted, bool):
        raise unusable_file(
            path,
            "has a run_in_transaction that is neither true nor false",
            "Write run_in_transaction = false.",
        )
    return None if wanted else False
