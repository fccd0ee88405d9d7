"""Reads a folder of postgres-migrations, an npm package (``docs/formats/postgres-migrations.md``)."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from lockgate.core.migration import Version
from lockgate.core.try_each import try_each
from lockgate.formats.shared.folder import read_text, show_name
from lockgate.formats.shared.javascript import make_code_script
from lockgate.formats.shared.scripts import (
    catalog_by_number,
    list_names,
    make_script,
    make_versioned,
    unusable_file,
    with_stub,
)
from lockgate.formats.shared.tool_transaction import outside_where_needed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lockgate.core.catalog import Catalog
    from lockgate.core.migration import Migration, Script

_NAME = re.compile(r"(-?[0-9]+)[-_]?(.*)\.(sql|js)", re.IGNORECASE)
_WITH_DASH = re.compile(r"[0-9]+-.*", re.DOTALL)
_OUTSIDE = "-- postgres-migrations disable-transaction"
_CODE = re.compile(r"\bgenerateSql\b")
# graphile-migrate's committed files have such names too.
_OTHER_HEADER = "--! "
_SUFFIXES = (".sql", ".js")
_TOOL = "postgres-migrations"
_TABLE = "migrations"
# The name of the tool's own migration, which creates its table. Names are unique.
_OWN_NAME = "create-migrations-table"
_MAX_CHARACTERS = 100
_TABLE_SQL = """\
CREATE TABLE IF NOT EXISTS migrations (
    id integer PRIMARY KEY,
    name varchar(100) UNIQUE NOT NULL,
    hash varchar(40) NOT NULL,
    executed_at timestamp DEFAULT current_timestamp
)"""


def recognise(folder: Path) -> str | None:
    """Return the sign: the tool's own comment or function, or numbers from 1 followed by a dash."""
    names = list_names(folder, _SUFFIXES)
    texts = {name: read_text(folder, name) for name in names}
    for name, text in texts.items():
        if _OUTSIDE in text or (name.lower().endswith(".js") and _CODE.search(text)):
            return f"{name} has a comment or function that only postgres-migrations reads"
    numbers = [int(found[1]) for name in names if (found := _NAME.fullmatch(name))]
    is_counted = bool(names) and sorted(numbers) == list(range(1, len(names) + 1))
    dashed = next((name for name in names if _WITH_DASH.fullmatch(name)), None)
    is_other = any(text.startswith(_OTHER_HEADER) for text in texts.values())
    if not is_counted or dashed is None or is_other:
        return None
    return f"files numbered from 1 with a dash after the number, such as {dashed}"


def read_folder(folder: Path, variables: Mapping[str, str]) -> Catalog:
    """Read every migration of the folder; subfolders are ignored.

    The tool has no variables: ``variables`` are not used. A program is an obstacle of its migration.

    Raises:
        MigrationFileInvalid: the folder is missing or empty, a name does not begin with a number, the
            numbers do not count from 1 without gaps, or a name does not fit into the tool's table.
    """
    del variables
    names = list_names(folder, _SUFFIXES)
    _refuse_passed_over(folder, names)
    migrations = try_each(names, partial(_read_migration, folder))
    catalog = catalog_by_number(migrations, folder)
    _refuse_names(catalog.migrations)
    for place, migration in enumerate(catalog.migrations, start=1):
        if migration.version is None or migration.version.key != (place,):
            raise unusable_file(
                migration.path,
                f"has the number {migration.version}, but {place} comes next: {_TOOL} counts from 1"
                " without gaps",
                f"Rename the file to begin with {place}, or restore the file that is missing.",
            )
    return with_stub(catalog, _TABLE, _TABLE_SQL)


def _refuse_passed_over(folder: Path, names: list[str]) -> None:
    """Refuse hidden files and folders whose names have the suffix of a migration."""
    listed = {one.name for one in folder.iterdir() if one.name.lower().endswith(_SUFFIXES)}
    for name in sorted(listed - set(names)):
        raise unusable_file(
            show_name(name),
            f"is not a migration, and {_TOOL} stops at such a name",
            "Move it out of the folder.",
        )


def _refuse_names(migrations: tuple[Migration, ...]) -> None:
    """Refuse a name that the tool cannot record: a duplicate, or one that is too long."""
    known = {_OWN_NAME: f"the tool's own migration {_OWN_NAME}"}
    for migration in migrations:
        # Without a name, the tool records the file's name.
        name = migration.name or migration.path
        if len(name) > _MAX_CHARACTERS:
            raise unusable_file(
                migration.path,
                f"has a name of {len(name)} characters, and {_TOOL} records at most {_MAX_CHARACTERS}",
                "Give it a shorter name.",
            )
        if name in known:
            raise unusable_file(
                migration.path,
                f"has the name of {known[name]}, and {_TOOL} records a name only once",
                "Give it another name; its number is not part of the name.",
            )
        known[name] = migration.path


def _read_migration(folder: Path, name: str) -> Migration:
    found = _NAME.fullmatch(name)
    if found is None or int(found[1]) < 1:
        raise unusable_file(
            name,
            f"does not begin with a number, 1 or more, and {_TOOL} stops at such a name",
            "Name it NUMBER_name.sql or NUMBER-name.sql, or move it out of the folder.",
        )
    up = _read_script(folder, name, found[3].lower())
    return make_versioned(Version.parse(found[1]), found[2], up, None)


def _read_script(folder: Path, name: str, suffix: str) -> Script:
    if suffix == "js":
        return make_code_script(name, _TOOL)
    text = read_text(folder, name)
    script = make_script(text, name)
    # Without its own transaction, the tool sends the file as one message, which is a transaction.
    return outside_where_needed(script) if _OUTSIDE in text else script
