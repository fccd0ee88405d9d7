"""The native format (``docs/formats.md``): a folder to a catalog.

Knows file names; `native_script` knows the marker lines.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from lockgate.core.catalog import Catalog, make_catalog
from lockgate.core.migration import Kind, Migration, Obstacle, Version
from lockgate.errors import MigrationFileInvalid
from lockgate.formats.native.script import (
    NativeFile,
    read_python,
    read_sql,
)
from lockgate.formats.shared.folder import decode_text, list_files, no_migrations, read_content

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_VERSIONED = re.compile(r"([0-9]+)(?:_(.*))?\.(sql|py)", re.DOTALL)
_REPEATABLE = re.compile(r"R__(.+)\.sql", re.DOTALL)
_OTHER_DOWN = (".down.sql", ".rollback.sql", ".undo.sql")
_BOM = "\ufeff"
_OF_A_PAIR = Obstacle(
    "is the up script of another tool by its name",
    "Name the tool: LOCKGATE_FORMAT=golang-migrate if the database has schema_migrations (version,"
    " dirty), LOCKGATE_FORMAT=sqlx if it has _sqlx_migrations (or --format). If it is of neither, rename"
    " the file to end in .sql alone.",
    line=1,
)


def recognise(folder: Path) -> str | None:
    """Return what only this format has; `native_signs` knows what that is."""
    from lockgate.formats.native.signs import find_native_sign  # where no format is named

    return find_native_sign(folder)


def read_folder(folder: Path, variables: Mapping[str, str]) -> Catalog:
    """Read every migration below ``folder``.

    ``variables`` are what ``${name}`` may stand for where a file turns substitution on.

    Raises:
        MigrationFileInvalid: the folder is missing or empty, a file cannot be read, a name is no
            migration's, two files share a version, or a marker, an option or an encoding is wrong.
    """
    source = str(folder)
    found: dict[int | str, Migration] = {}
    for path in list_files(folder):
        file = _name_file(path, read_content(source, path))
        migration = _read_migration(file, variables)
        key = file.name if file.version is None else int(file.version)
        other = found.setdefault(key, migration)
        if other is not migration:
            raise _found_twice(other, migration)
    if not found:
        raise no_migrations(source)
    return make_catalog(list(found.values()), source)


def _name_file(path: str, content: bytes) -> NativeFile:
    name = path.rpartition("/")[2]
    versioned = _VERSIONED.fullmatch(name)
    repeatable = None if versioned is not None else _REPEATABLE.fullmatch(name)
    if versioned is None and repeatable is None:
        raise MigrationFileInvalid(
            f"{path} is no migration's name.",
            hint="Name it VERSION_name.sql, VERSION_name.py or R__name.sql (VERSION is digits), "
            "or move it out of the migrations folder.",
            file=path,
        )
    if name.count(".") > 1 and name.lower().endswith(_OTHER_DOWN):
        raise MigrationFileInvalid(
            f"{path} is another tool's down script by its name.",
            hint="Name the tool with LOCKGATE_FORMAT (or --format); or put the script behind"
            " -- migrate:down in its migration's file.",
            file=path,
        )
    text = decode_text(content, path).removeprefix(_BOM)
    if versioned is not None:
        return NativeFile(path, versioned[1], versioned[2] or "", text)
    assert repeatable is not None
    return NativeFile(path, None, repeatable[1], text)


def _read_migration(file: NativeFile, variables: Mapping[str, str]) -> Migration:
    if file.version is None:
        return _read_repeatable(file, variables)
    if file.path.endswith(".py"):
        up, down = read_python(file)
    else:
        up, down = read_sql(file, variables)
        if file.name.lower().endswith(".up"):
            up = replace(up, obstacle=_OF_A_PAIR)
    return Migration(Version.parse(file.version), file.name, Kind.VERSIONED, up, down)


def _read_repeatable(file: NativeFile, variables: Mapping[str, str]) -> Migration:
    up, down = read_sql(file, variables)
    if down is not None:
        raise MigrationFileInvalid(
            f"{file.path} is repeatable and has a down script.",
            hint="A repeatable migration is undone by an edit of its text; take the down part out.",
            file=file.path,
        )
    return Migration(None, file.name, Kind.REPEATABLE, up, None)


def _found_twice(other: Migration, one: Migration) -> MigrationFileInvalid:
    what = f"the name {one.name}" if one.version is None else f"version {one.version}"
    return MigrationFileInvalid(
        f"Two files have {what}: {other.path} and {one.path}.",
        hint="Give one of them a version of its own.",
        file=one.path,
    )
