"""golang-migrate: ``VERSION_title.up.sql`` and ``VERSION_title.down.sql``, in the order of numbers.

A file is sent as it is, in no transaction but the one that PostgreSQL makes of one message. Files
of any other name are passed over, as golang-migrate does.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lockgate.core.migration import Version
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

# Any ending is accepted, so that a copy such as 1_a.up.sql.orig is a duplicate here as there.
_NAME = re.compile(r"([0-9]+)_(.*)\.(up|down)\.(.*)")
_HIGHEST = 2**64 - 1
_TABLE = "schema_migrations"
_TABLE_SQL = (
    "CREATE TABLE IF NOT EXISTS schema_migrations"
    " (version bigint NOT NULL PRIMARY KEY, dirty boolean NOT NULL)"
)


def recognise(folder: Path) -> str | None:
    """Return that every script is one of a pair of files, if nothing shows that they are sqlx's."""
    scripts = list_names(folder)
    if not scripts or not all(_NAME.fullmatch(name) for name in scripts):
        return None
    if sqlx.has_own_sign(folder) or list_names(folder, PROGRAMS):
        return None
    return f"files in pairs, such as {scripts[0]}"


def read_folder(folder: Path, variables: Mapping[str, str]) -> Catalog:
    """Read every migration of the folder itself.

    Raises:
        MigrationFileInvalid: two files are the same direction of one version, or there is none.
    """
    del variables  # golang-migrate fills nothing in
    files = [_read_name(name) for name in list_names(folder, ("",))]
    pairs = pair_files([file for file in files if file is not None])
    migrations = [_read_migration(folder, pair) for pair in pairs]
    return with_stub(catalog_by_number(migrations, folder), _TABLE, _TABLE_SQL)


def _read_name(name: str) -> PairedFile | None:
    found = _NAME.fullmatch(name)
    if found is None or int(found[1]) > _HIGHEST:
        return None
    return PairedFile(found[1], found[2], name, is_up=found[3] == "up")


def _read_migration(folder: Path, pair: Pair) -> Migration:
    down = None if pair.down is None else _read_script(folder, pair.down)
    # A version without an up file does nothing on the way up.
    up = make_script("", pair.down or "") if pair.up is None else _read_script(folder, pair.up)
    return make_versioned(Version.parse(pair.version), pair.name, up, down)


def _read_script(folder: Path, path: str) -> Script:
    """Return a file that runs in one message, or as ``x-multi-statement`` has it where that fails."""
    return outside_where_needed(read_script(folder, path))
