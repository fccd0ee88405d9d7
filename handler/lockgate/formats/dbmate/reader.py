"""Reads a folder of dbmate: ``VERSION….sql`` with ``-- migrate:up`` and ``-- migrate:down``.

Migrations run in the order of their names. Files are divided as in the native format, so that a file
has the same checksum in both.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lockgate.core.migration import Version
from lockgate.core.sql.script import tokenize
from lockgate.core.try_each import try_each
from lockgate.formats.native.signs import find_native_sign
from lockgate.formats.shared.folder import line_of, read_text
from lockgate.formats.shared.scripts import (
    catalog_by_place,
    list_names,
    make_script,
    make_versioned,
    unusable_file,
    with_stub,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lockgate.core.catalog import Catalog
    from lockgate.core.migration import Migration, Script

# dbmate ignores files whose names do not begin with a number.
_NAME = re.compile(r"([0-9]+)(.*)\.sql")
_MARKER = re.compile(
    r"^--[ \t]*migrate:(up|down)(?=[ \t]*\r?$|[ \t]+[^ \t\r\n])([^\r\n]*)", re.MULTILINE
)
_BOM = "\ufeff"
_TABLE = "schema_migrations"
_TABLE_SQL = "CREATE TABLE IF NOT EXISTS schema_migrations (version varchar PRIMARY KEY)"


def recognise(folder: Path) -> str | None:
    """Return the sign that every file has dbmate's marker and none an option of the native format."""
    names = [name for name in list_names(folder) if _NAME.fullmatch(name)]
    if not names or find_native_sign(folder) is not None:
        return None
    if all(_has_up(read_text(folder, name)) for name in names):
        return "every file has -- migrate:up"
    return None


def read_folder(folder: Path, variables: Mapping[str, str]) -> Catalog:
    """Read every migration of the folder; dbmate ignores subfolders.

    Raises:
        MigrationFileInvalid: a file has no ``-- migrate:up``, several, or SQL above it; two files
            share a version; or there is no migration.
    """
    del variables  # dbmate has no variables
    named = [(name, _NAME.fullmatch(name)) for name in list_names(folder)]
    taken = [(name, match) for name, match in named if match]
    migrations = try_each(taken, lambda one: _read_migration(folder, *one))
    return with_stub(catalog_by_place(migrations, folder), _TABLE, _TABLE_SQL)


def _has_up(text: str) -> bool:
    return any(marker[1] == "up" for marker in _MARKER.finditer(text.removeprefix(_BOM)))


def _read_migration(folder: Path, path: str, named: re.Match[str]) -> Migration:
    text = read_text(folder, path).removeprefix(_BOM)
    markers = list(_MARKER.finditer(text))
    _check_markers(path, text, markers)
    ends = [*(marker.start() for marker in markers[1:]), len(text)]
    scripts = [_cut(path, text, *cut) for cut in zip(markers, ends, strict=True)]
    version = Version.parse(named[1])
    down = scripts[1] if len(scripts) > 1 else None
    return make_versioned(version, named[2].lstrip("_"), scripts[0], down)


def _check_markers(path: str, text: str, markers: list[re.Match[str]]) -> None:
    """Refuse what dbmate refuses, and a file with several up or down sections."""
    if not markers or markers[0][1] == "down":
        raise unusable_file(
            path,
            "has no -- migrate:up above its scripts",
            "Put -- migrate:up, at the start of a line, above the up script.",
        )
    has_down = [marker[1] for marker in markers[1:2]] == ["down"]
    surplus = markers[2 if has_down else 1 :]
    if surplus:
        raise unusable_file(
            path,
            f"has a second -- migrate:{surplus[0][1]}; Lockgate runs one section of each per file",
            "Split the file into several migrations.",
            line=line_of(text, surplus[0].start()),
        )
    lost = next(tokenize(text[: markers[0].start()]), None)
    if lost is not None:
        raise unusable_file(
            path,
            "has SQL above -- migrate:up",
            "Move it below the marker. Only comments may be above it.",
            line=line_of(text, lost.start),
        )


def _cut(path: str, text: str, marker: re.Match[str], end: int) -> Script:
    is_outside = _read_option(marker[2]) == "false"
    return make_script(
        text[marker.end() : end],
        path,
        first_line=line_of(text, marker.start()),
        transaction=False if is_outside else None,
    )


def _read_option(words: str) -> str | None:
    """Return the last value of ``transaction:``; dbmate ignores every other word."""
    pairs = (word.split(":") for word in words.split())
    options = {pair[0]: pair[1] for pair in pairs if len(pair) == len(("key", "value"))}
    return options.get("transaction")
