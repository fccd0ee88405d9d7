"""Reads a folder of golang-migrate: ``VERSION_title.up.sql`` and ``.down.sql``, ordered by number.

golang-migrate sends each file as one message, for which PostgreSQL itself opens a transaction. Like
golang-migrate, it ignores files with other names.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from lockgate.core.migration import Version
from lockgate.core.try_each import try_each
from lockgate.formats.shared.scripts import (
    PROGRAMS,
    PairedFile,
    catalog_by_number,
    list_names,
    make_script,
    make_versioned,
    pair_files,
    read_script,
    with_stub,
)
from lockgate.formats.shared.tool_transaction import outside_where_needed
from lockgate.formats.sqlx import reader as sqlx

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lockgate.core.catalog import Catalog
    from lockgate.core.migration import Migration, Script
    from lockgate.formats.shared.scripts import Pair

# Like golang-migrate, accept any ending: a copy such as 1_a.up.sql.orig is a duplicate.
_NAME = re.compile(r"([0-9]+)_(.*)\.(up|down)\.(.*)")
_HIGHEST = 2**64 - 1
_TABLE = "schema_migrations"
_TABLE_SQL = (
    "CREATE TABLE IF NOT EXISTS schema_migrations"
    " (version bigint NOT NULL PRIMARY KEY, dirty boolean NOT NULL)"
)


def recognise(folder: Path) -> str | None:
    """Return the sign that all scripts are up or down files, unless they are sqlx's."""
    scripts = list_names(folder)
    if not scripts or not all(_NAME.fullmatch(name) for name in scripts):
        return None
    if sqlx.has_own_sign(folder) or list_names(folder, PROGRAMS):
        return None
    return f"files in pairs, such as {scripts[0]}"


def read_folder(folder: Path, variables: Mapping[str, str]) -> Catalog:
    """Read every migration of the folder; subfolders are ignored.

    Raises:
        MigrationFileInvalid: two files have the same version and direction, or there is no migration.
    """
    del variables  # golang-migrate has no variables
    files = [_read_name(name) for name in list_names(folder, ("",))]
    pairs = pair_files([file for file in files if file is not None])
    migrations = try_each(pairs, partial(_read_migration, folder))
    return with_stub(catalog_by_number(migrations, folder), _TABLE, _TABLE_SQL)


def _read_name(name: str) -> PairedFile | None:
    found = _NAME.fullmatch(name)
    if found is None or int(found[1]) > _HIGHEST:
        return None
    return PairedFile(found[1], found[2], name, is_up=found[3] == "up")


def _read_migration(folder: Path, pair: Pair) -> Migration:
    down = None if pair.down is None else _read_script(folder, pair.down)
    # Without an up file, migrating up to the version does nothing.
    up = make_script("", pair.down or "") if pair.up is None else _read_script(folder, pair.up)
    return make_versioned(Version.parse(pair.version), pair.name, up, down)


def _read_script(folder: Path, path: str) -> Script:
    """Return a file that runs as one message; as with ``x-multi-statement`` where that would fail."""
    return outside_where_needed(read_script(folder, path))
