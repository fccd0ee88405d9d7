"""Reads a folder of the native format (``docs/formats.md``). `native.script` reads a single file."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from lockgate.core.catalog import Catalog, make_catalog
from lockgate.core.migration import Kind, Migration, Obstacle, Version
from lockgate.core.try_each import try_each
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
    "has the name of another tool's up script",
    "Set LOCKGATE_FORMAT=golang-migrate if the database has schema_migrations (version, dirty), or"
    " LOCKGATE_FORMAT=sqlx if it has _sqlx_migrations (or --format). If it has neither, rename the file"
    " to end in just .sql.",
    line=1,
)


def read_folder(folder: Path, variables: Mapping[str, str]) -> Catalog:
    """Read every migration in ``folder`` and its subfolders.

    ``variables`` are the values for ``${name}`` in files that turn substitution on.

    Raises:
        MigrationFileInvalid: the folder is missing or empty, a file cannot be read, a file name is not
            valid, two files share a version, or a marker, an option or an encoding is wrong.
    """
    source = str(folder)
    found: dict[int | str, Migration] = {}

    def read(path: str) -> None:
        file = _name_file(path, read_content(source, path))
        migration = _read_migration(file, variables)
        key = file.name if file.version is None else int(file.version)
        other = found.setdefault(key, migration)
        if other is not migration:
            raise _found_twice(other, migration)

    try_each(list_files(folder), read)
    if not found:
        raise no_migrations(source)
    return make_catalog(list(found.values()), source)


def _name_file(path: str, content: bytes) -> NativeFile:
    name = path.rpartition("/")[2]
    versioned = _VERSIONED.fullmatch(name)
    repeatable = None if versioned is not None else _REPEATABLE.fullmatch(name)
    if versioned is None and repeatable is None:
        raise MigrationFileInvalid(
            f"{path} is not a valid migration file name.",
            hint="Name it VERSION_name.sql, VERSION_name.py or R__name.sql (VERSION is digits), "
            "or move it out of the migrations folder.",
            file=path,
        )
    if name.count(".") > 1 and name.lower().endswith(_OTHER_DOWN):
        raise MigrationFileInvalid(
            f"{path} has the name of another tool's down script.",
            hint="Set LOCKGATE_FORMAT (or --format) to that tool; or move the script below"
            " -- migrate:down in the file of its migration.",
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
            hint="Remove the down script. To undo a repeatable migration, edit its text.",
            file=file.path,
        )
    return Migration(None, file.name, Kind.REPEATABLE, up, None)


def _found_twice(other: Migration, one: Migration) -> MigrationFileInvalid:
    what = f"the name {one.name}" if one.version is None else f"version {one.version}"
    return MigrationFileInvalid(
        f"Two files have {what}: {other.path} and {one.path}.",
        hint="Give one of them another version.",
        file=one.path,
    )
