"""Makes scripts, migrations and catalogs from SQL files, for the formats of other tools."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from lockgate.core.catalog import Catalog, TableStub, make_catalog, make_listed_catalog
from lockgate.core.checksum import text_checksum
from lockgate.core.migration import Kind, Language, Migration, Options, Script, Version
from lockgate.core.sql.script import tokenize
from lockgate.errors import MigrationFileInvalid
from lockgate.fast_start.dataclass import dataclass
from lockgate.formats.shared.folder import list_files, no_migrations, read_text
from lockgate.formats.shared.tool_transaction import leave_transaction

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from lockgate.core.migration import Obstacle

_BOM = "\ufeff"
# A folder with such a file beside its SQL belongs to a tool that runs it.
PROGRAMS = (".py", ".js", ".ts", ".rb")


def list_names(folder: Path, suffixes: tuple[str, ...] = (".sql",)) -> list[str]:
    """Return the names of the files in the folder, sorted by their bytes; no subfolders.

    Raises:
        MigrationFileInvalid: the folder is missing, or a name is not UTF-8.
    """
    return sorted(name for name in list_files(folder, suffixes) if "/" not in name)


def make_script(
    text: str,
    path: str,
    *,
    first_line: int = 1,
    transaction: bool | None = None,
    substituted: str | None = None,
    hidden: tuple[str, ...] = (),
) -> Script:
    """Return an SQL script: its text without a byte order mark, otherwise verbatim.

    ``first_line`` is the line of the file where the text begins. ``substituted`` is the text with its
    variables filled in, ``hidden`` the values that came from outside the file.
    """
    plain = text.removeprefix(_BOM)
    return Script(
        text=plain,
        path=path,
        first_line=first_line,
        language=Language.SQL,
        options=Options(transaction=transaction),
        checksum=text_checksum(plain),
        substituted=None if substituted is None else substituted.removeprefix(_BOM),
        hidden=hidden,
    )


def read_script(folder: Path, path: str, *, transaction: bool | None = None) -> Script:
    """Return a whole file as a script.

    Raises:
        MigrationFileInvalid: the file cannot be read, or is not UTF-8.
    """
    return make_script(read_text(folder, path), path, transaction=transaction)


def make_versioned(version: Version, name: str, up: Script, down: Script | None) -> Migration:
    """Return a versioned migration of a tool that opens a transaction around each script."""
    undo = None if down is None else leave_transaction(down)
    return Migration(version, name, Kind.VERSIONED, leave_transaction(up), undo)


def refuse_duplicates(migrations: Iterable[Migration]) -> None:
    """Refuse two migrations with the same version; versions that are names are compared as text.

    Raises:
        MigrationFileInvalid: there are two; the message names both files.
    """
    seen: dict[tuple[int, ...] | str, Migration] = {}
    for migration in migrations:
        version = migration.version
        key = version.key if version is not None and version.key else migration.migration_id
        other = seen.setdefault(key, migration)
        if other is not migration:
            raise MigrationFileInvalid(
                f"Two files have version {migration.migration_id}: {other.path} and "
                f"{migration.path}.",
                hint="Give one of them another version.",
                file=migration.path,
            )


def down_alone(path: str, up_path: str) -> MigrationFileInvalid:
    """Return the error for a down script without an up script."""
    return MigrationFileInvalid(
        f"{path} has a down script but no up script.",
        hint=f"Add {up_path}, or remove {path}.",
        file=path,
    )


def unusable_file(
    path: str,
    why: str,
    hint: str,
    *,
    line: int | None = None,
    variable: str | None = None,
) -> MigrationFileInvalid:
    """Return the error for a file that the tool, or Lockgate, does not run.

    ``why`` completes a sentence that begins with the file's name: "is a Go migration". ``variable`` is
    the environment variable that it lacks.
    """
    place = path if line is None else f"{path}:{line}"
    return MigrationFileInvalid(
        f"{place} {why}.", hint=hint, file=path, line=line, variable=variable
    )


def refuse(path: str, obstacle: Obstacle) -> MigrationFileInvalid:
    """Return the error for an obstacle that makes the whole folder unusable."""
    return unusable_file(
        path, obstacle.why, obstacle.hint, line=obstacle.line, variable=obstacle.variable
    )


def catalog_by_number(migrations: list[Migration], folder: Path) -> Catalog:
    """Return the catalog of a tool that compares versions as numbers.

    Raises:
        MigrationFileInvalid: there is no migration, or two have the same version.
    """
    if not migrations:
        raise no_migrations(folder)
    refuse_duplicates(migrations)
    return make_catalog(migrations, str(folder))


def catalog_by_place(migrations: list[Migration], folder: Path) -> Catalog:
    """Return the catalog of a tool whose order is the given one.

    If that is also the order of numbers, versions compare as numbers, so that versions that exist only
    in a database have a place too.

    Raises:
        MigrationFileInvalid: there is no migration, or two have the same version.
    """
    if not migrations:
        raise no_migrations(folder)
    refuse_duplicates(migrations)
    keys = [m.version.key for m in migrations if m.version is not None]
    if all(keys) and keys == sorted(keys):
        return make_catalog(migrations, str(folder))
    return make_listed_catalog(migrations, str(folder))


def with_stub(catalog: Catalog, table: str, sql: str) -> Catalog:
    """Return the catalog with a stub of the tool's table, if a script uses that table.

    ``sql`` creates the table if it is missing, as the tool would. There is no stub if a script creates
    the table itself, as a dump of the whole schema does.
    """
    name = rf"{re.escape(table)}(?![\w$])"
    word = re.compile(rf"(?<![\w$]){name}", re.IGNORECASE)
    making = re.compile(rf"\bCREATE\s+TABLE\s+(?:[\w$\"]+\s*\.\s*)?\"?{name}", re.IGNORECASE)
    scripts = [s for m in catalog.migrations for s in (m.up, m.down) if s is not None]
    if not any(_names(script, word) for script in scripts):
        return catalog
    if any(making.search(script.text) for script in scripts):
        return catalog
    return replace(catalog, stub=TableStub(table, sql))


def _names(script: Script, word: re.Pattern[str]) -> bool:
    """Return whether a script has a word outside of its comments."""
    text = script.text
    if word.search(text) is None:
        return False
    if script.language is not Language.SQL:
        return True
    return word.search(_without_comments(text)) is not None


def _without_comments(text: str) -> str:
    pieces: list[str] = []
    end = 0
    for token in tokenize(text):
        pieces += (" " if token.start > end else "", text[token.start : token.end])
        end = token.end
    return "".join(pieces)


@dataclass(frozen=True, slots=True)
class PairedFile:
    """One file of a format that has a file per direction; ``version`` is digits."""

    version: str
    name: str
    path: str
    is_up: bool


@dataclass(frozen=True, slots=True)
class Pair:
    """The files of one version, at least one. ``name`` is the up file's, if there is one."""

    version: str
    name: str
    up: str | None
    down: str | None


def pair_files(files: Iterable[PairedFile]) -> list[Pair]:
    """Group files by version.

    Raises:
        MigrationFileInvalid: two files have the same version and direction.
    """
    found: dict[tuple[int, bool], PairedFile] = {}
    for file in files:
        other = found.setdefault((int(file.version), file.is_up), file)
        if other is not file:
            raise MigrationFileInvalid(
                f"Two files have version {file.version}: {other.path} and {file.path}.",
                hint="Give one of them another version.",
                file=file.path,
            )
    return [
        _make_pair(found.get((version, True)), found.get((version, False)))
        for version in dict.fromkeys(version for version, _ in found)
    ]


def _make_pair(up: PairedFile | None, down: PairedFile | None) -> Pair:
    named = up or down
    assert named is not None
    return Pair(
        named.version,
        named.name,
        None if up is None else up.path,
        None if down is None else down.path,
    )
