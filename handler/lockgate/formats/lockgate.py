"""The native format (``docs/formats.md``): a folder to a catalog.

Knows file names, and how plain files are cut; of all others `native_script` knows the marker lines.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lockgate.core.catalog import Catalog, make_catalog
from lockgate.core.checksum import text_checksum
from lockgate.core.listing import make_line
from lockgate.core.migration import NO_OPTIONS, Kind, Language, Migration, Script, Version
from lockgate.errors import MigrationFileInvalid
from lockgate.formats.folder import decode_text, list_files, no_migrations, read_content
from lockgate.formats.native_script import (
    SECTIONS,
    SIGN,
    NativeFile,
    read_python,
    read_sql,
    refuse_other_tools,
)
from lockgate.value import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from lockgate.core.listing import Listing

    # A path and what the file holds.
    _File = tuple[str, bytes]

_VERSIONED = re.compile(r"([0-9]+)(?:_(.*))?\.(sql|py)", re.DOTALL)
_REPEATABLE = re.compile(r"R__(.+)\.sql", re.DOTALL)
_PLAIN_UP, _PLAIN_DOWN = "-- migrate:up\n", "\n-- migrate:down\n"
_OTHER_DOWN = (".down.sql", ".rollback.sql", ".undo.sql")
_BOM = "\ufeff"


@dataclass(frozen=True, slots=True)
class _Plain:
    """A file as `lockgate new` writes it, and as most are, cut in two; as `NativeFile` has the rest.

    The marker of the down script, if there is one, is where the up script ends. ``checksum`` is that of
    the up script.
    """

    path: str
    version: str | None
    name: str
    up: str
    down: str | None
    checksum: str


def recognise(folder: Path) -> str | None:
    """Return what only this format has; `native_signs` knows what that is."""
    from lockgate.formats.native_signs import find_native_sign  # noqa: PLC0415 - where no format is named

    return find_native_sign(folder)


def list_folder(folder: Path, variables: Mapping[str, str]) -> Listing:
    """List every file below ``folder``.

    ``variables`` are what ``${name}`` may stand for where a file turns substitution on.

    Raises:
        MigrationFileInvalid: the folder is missing or empty, a file cannot be read, a name is no
            migration's, two files share a version, or a marker, an option or an encoding is wrong.
    """
    source = str(folder)
    files = ((path, read_content(source, path)) for path in list_files(folder))
    return _list_files(source, files, variables)


def read_folder(folder: Path, variables: Mapping[str, str]) -> Catalog:
    """Read every migration below ``folder``; raises what `list_folder` does."""
    return list_folder(folder, variables).read()


def _list_files(source: str, files: Iterable[_File], variables: Mapping[str, str]) -> Listing:
    """Look into each file no further than it takes to know that it is right."""
    found: dict[int | str, _Plain | Migration] = {}
    lines: dict[int | str, str] = {}
    for path, content in files:
        one = _list_file(_name_file(path, content), variables)
        version = one.version
        key = one.name if version is None else int(str(version))
        lines[key] = make_line(f"R__{key}" if version is None else str(version), _checksum_of(one))
        other = found.setdefault(key, one)
        if other is not one:
            raise _found_twice(other, one)
    if not found:
        raise no_migrations(source)
    versions = sorted(key for key in found if isinstance(key, int))
    keys: list[int | str] = [*versions, *sorted(key for key in found if isinstance(key, str))]
    return _FolderListing(
        found=[found[key] for key in keys],
        lines=[lines[key] for key in keys],
        versioned=len(versions),
        source=source,
    )


@dataclass(frozen=True, slots=True)
class _FolderListing:
    """The files of a folder, of which those that are plain are not yet made migrations."""

    found: list[_Plain | Migration]
    lines: list[str]
    versioned: int
    source: str

    def version(self, place: int) -> Version:
        return Version.parse(str(self.found[place].version))

    def down_lines(self, known: int) -> Iterator[str]:
        for one in self.found[:known]:
            checksum = _digest_down(one)
            if checksum is not None:
                yield make_line(str(one.version), checksum)

    def read(self, known: int = 0) -> Catalog:
        found = self.found[known : self.versioned] if known else self.found
        return make_catalog([_make_migration(one) for one in found], self.source)


def _name_file(path: str, content: bytes) -> NativeFile:
    name = path.rpartition("/")[2]
    versioned = _VERSIONED.fullmatch(name)
    repeatable = None if versioned is not None else _REPEATABLE.fullmatch(name)
    if versioned is None and repeatable is None:
        raise MigrationFileInvalid(
            f"{path} is no migration's name. Nothing was changed.",
            hint="Name it VERSION_name.sql, VERSION_name.py or R__name.sql (VERSION is digits), "
            "or move it out of the migrations folder.",
            file=path,
        )
    if name.count(".") > 1 and name.lower().endswith(_OTHER_DOWN):
        raise MigrationFileInvalid(
            f"{path} is another tool's down script by its name. Nothing was changed.",
            hint="Name the tool with LOCKGATE_FORMAT (or --format); or put the script behind"
            " -- migrate:down in its migration's file.",
            file=path,
        )
    text = decode_text(content, path).removeprefix(_BOM)
    if versioned is not None:
        return NativeFile(path, versioned[1], versioned[2] or "", text)
    assert repeatable is not None
    return NativeFile(path, None, repeatable[1], text)


def _list_file(file: NativeFile, variables: Mapping[str, str]) -> _Plain | Migration:
    return _cut_plain(file) or _read_migration(file, variables)


def _read_migration(file: NativeFile, variables: Mapping[str, str]) -> Migration:
    if file.version is None:
        return _read_repeatable(file, variables)
    if file.path.endswith(".py"):
        up, down = read_python(file)
    else:
        up, down = read_sql(file, variables)
    return Migration(Version.parse(file.version), file.name, Kind.VERSIONED, up, down)


def _read_repeatable(file: NativeFile, variables: Mapping[str, str]) -> Migration:
    up, down = read_sql(file, variables)
    if down is not None:
        raise MigrationFileInvalid(
            f"{file.path} is repeatable and has a down script. Nothing was changed.",
            hint="A repeatable migration is undone by an edit of its text; take the down part out.",
            file=file.path,
        )
    return Migration(None, file.name, Kind.REPEATABLE, up, None)


def _found_twice(other: _Plain | Migration, one: _Plain | Migration) -> MigrationFileInvalid:
    what = f"the name {one.name}" if one.version is None else f"version {one.version}"
    return MigrationFileInvalid(
        f"Two files have {what}: {other.path} and {one.path}. Nothing was changed.",
        hint="Give one of them a version of its own.",
        file=one.path,
    )


# Plain files.


def _cut_plain(file: NativeFile) -> _Plain | None:
    """Cut a file that has no more than its two markers, or none; ``None`` for any other.

    No option or comment stands on their lines, and up begins the file.

    Raises:
        MigrationFileInvalid: it is another tool's.
    """
    path, text = file.path, file.text
    if path.endswith(".py") or "\r" in text:
        return None
    lowered = text.lower()
    refuse_other_tools(path, text, lowered)
    markers = lowered.count(SIGN)
    if markers == 0:
        return _make_plain(file, text, None)
    if not text.startswith(_PLAIN_UP):
        return None
    up = len(_PLAIN_UP) - 1
    if markers == 1:
        return _make_plain(file, text[up:], None)
    down = text.find(_PLAIN_DOWN, up)
    if markers > len(SECTIONS) or down < 0 or file.version is None:
        return None
    return _make_plain(file, text[up : down + 1], text[down + len(_PLAIN_DOWN) - 1 :])


def _make_plain(file: NativeFile, up: str, down: str | None) -> _Plain:
    return _Plain(file.path, file.version, file.name, up, down, text_checksum(up))


def _checksum_of(one: _Plain | Migration) -> str:
    return one.checksum if isinstance(one, _Plain) else one.up.checksum


def _digest_down(one: _Plain | Migration) -> str | None:
    if isinstance(one, _Plain):
        return None if one.down is None else text_checksum(one.down)
    return None if one.down is None else one.down.checksum


def _make_migration(one: _Plain | Migration) -> Migration:
    if isinstance(one, Migration):
        return one
    up = _make_script(one.path, 1, one.up, one.checksum)
    if one.version is None:
        return Migration(None, one.name, Kind.REPEATABLE, up, None)
    down = None
    if one.down is not None:
        line = one.up.count("\n") + 1
        down = _make_script(one.path, line, one.down, text_checksum(one.down))
    return Migration(Version.parse(one.version), one.name, Kind.VERSIONED, up, down)


def _make_script(path: str, line: int, text: str, checksum: str) -> Script:
    return Script(text, path, line, Language.SQL, NO_OPTIONS, checksum)
