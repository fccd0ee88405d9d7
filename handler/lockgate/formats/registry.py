"""The formats by name, and which of them a folder is in. Knows the modules; reads no migration.

Each module has ``read_folder(folder, variables) -> Catalog`` and ``recognise(folder) -> str | None``:
a sentence on why the folder surely is this tool's, or ``None``. ``OUTSIDE`` is how its files say that
they run outside of a transaction (`core.migration.Script.outside`), where that is not as in ours,
``SESSION`` what migrations leave to each other (`core.catalog.SessionRule`), ``MARKERS`` the lines that
part a file (`core.catalog.Markers`), where it holds both scripts. A module is imported when
it is used.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Final, Protocol, cast

from lockgate.core.catalog import SessionRule, with_way_outside
from lockgate.core.listing import list_catalog
from lockgate.core.marker import find_markers
from lockgate.core.migration import NATIVE_OUTSIDE
from lockgate.core.usable_down import with_usable_downs
from lockgate.errors import MigrationFileInvalid
from lockgate.formats.shared.folder import line_of, list_files, read_text, require_folder, show_name
from lockgate.settings import AUTO_FORMAT, DEFAULT_FORMAT, FORMATS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from lockgate.core.catalog import Catalog
    from lockgate.core.listing import Listing
    from lockgate.formats.foreign_history import ForeignHistory

# What a database has that a tool has migrated.
_TABLES: Final = {
    DEFAULT_FORMAT: "has none before Lockgate's first run",
    "dbmate": "has schema_migrations (version)",
    "rails": "has schema_migrations (version) and ar_internal_metadata",
    "golang-migrate": "has schema_migrations (version, dirty)",
    "goose": "has goose_db_version",
    "sqlx": "has _sqlx_migrations",
    "diesel": "has __diesel_schema_migrations",
    "prisma": "has _prisma_migrations",
    "knex": "has knex_migrations",
    "node-pg-migrate": "has pgmigrations",
    "graphile-migrate": "has graphile_migrate.migrations",
    "postgres-migrations": "has migrations (id, name, hash, executed_at)",
    "yoyo": "has _yoyo_migration",
    "alembic": "has alembic_version",
    "sqitch": "has sqitch.changes",
    "flyway": "has flyway_schema_history",
    "liquibase": "has databasechangelog",
}
# What these two have is what the native format has as well, or nothing at all.
_UNLIKE_OURS = tuple(name for name in FORMATS if name not in {DEFAULT_FORMAT, "dbmate", "sqlx"})


class Format(Protocol):
    """What a format's module has."""

    def read_folder(self, folder: Path, variables: Mapping[str, str]) -> Catalog:
        """Read every migration; raises `MigrationFileInvalid`."""
        ...

    def recognise(self, folder: Path) -> str | None:
        """Return what shows that the folder is this tool's and no other's."""
        ...


def find_format(name: str) -> Format:
    """Return the module of a format."""
    package = "native" if name == DEFAULT_FORMAT else name.replace("-", "_")
    return cast("Format", import_module(f"lockgate.formats.{package}.reader"))


def list_folder(name: str, folder: Path, variables: Mapping[str, str]) -> Listing:
    """Read a folder in a format, or in the one that it is recognised as.

    Raises:
        MigrationFileInvalid: it cannot be read, or no format or several recognise it. Where no
            format was named and the folder is another tool's, the hint says which.
    """
    require_folder(folder)
    found = recognise_format(folder) if name == AUTO_FORMAT else name
    module = find_format(found)
    if found == DEFAULT_FORMAT:
        with _hint_at_tool(folder):
            return list_catalog(with_usable_downs(_read(module, folder, variables)))
    catalog = with_usable_downs(_read(module, folder, variables))
    catalog = replace(
        catalog,
        session=getattr(module, "SESSION", SessionRule.NEW),
        markers=getattr(module, "MARKERS", None),
    )
    outside = getattr(module, "OUTSIDE", NATIVE_OUTSIDE)
    if outside != NATIVE_OUTSIDE:
        catalog = with_way_outside(catalog, outside)
    return list_catalog(catalog)


def _read(module: Format, folder: Path, variables: Mapping[str, str]) -> Catalog:
    """Read a folder; what no reader expects of a file is an error of the folder."""
    try:
        return module.read_folder(folder, variables)
    except OSError as error:
        why = f"{show_name(str(error.filename or folder))} cannot be read: {error.strerror}"
    except (RecursionError, MemoryError):
        why = f"A file in {show_name(str(folder))} is nested too deeply, or too large"
    raise MigrationFileInvalid(f"{why}.", hint="Correct the file, or move it out of the folder.")


def read_migrations(name: str, folder: Path, variables: Mapping[str, str]) -> Catalog:
    """Read a folder whole; raises what `list_folder` does."""
    return list_folder(name, folder, variables).read()


@contextmanager
def _hint_at_tool(folder: Path) -> Iterator[None]:
    try:
        yield
    except MigrationFileInvalid as error:
        error.hint = _name_tool(folder) or error.hint
        raise


def _name_tool(folder: Path) -> str | None:
    """Return what to do with a folder that is another tool's, and was read as if it were ours."""
    found = [(name, sign) for name in _UNLIKE_OURS if (sign := _find_sign(name, folder))]
    if len(found) != 1:
        return None
    ((name, sign),) = found
    return (
        f"The folder looks like {name}'s ({sign}): set LOCKGATE_FORMAT={name} (or --format {name})."
    )


def _find_sign(name: str, folder: Path) -> str | None:
    try:
        return find_format(name).recognise(folder)
    except MigrationFileInvalid:
        return None


def recognise_format(folder: Path) -> str:
    """Return the only format that recognises a folder.

    Raises:
        MigrationFileInvalid: none does, or several do.
    """
    signs = {name: find_format(name).recognise(folder) for name in FORMATS}
    found = {name: sign for name, sign in signs.items() if sign is not None}
    if len(found) == 1:
        return next(iter(found))
    if found:
        what = "; ".join(f"{name} ({sign})" for name, sign in found.items())
        problem = f"The folder {folder} may be of {len(found)} tools: {what}."
    else:
        problem = f"The folder {folder} is not recognised as any tool's{_name_marker(folder)}."
    tables = (f"{name} {_TABLES[name]}" for name in found if name in _TABLES)
    told = f" What tells them apart is the tool's table: {'; '.join(tables)}." if found else ""
    raise MigrationFileInvalid(
        problem,
        hint=f"Name it with LOCKGATE_FORMAT (or --format): one of"
        f" {', '.join(found or FORMATS)}.{told}",
    )


def _name_marker(folder: Path) -> str:
    """Return the first line that looks like a marker and kept the folder from being recognised."""
    for path in list_files(folder, (".sql",)):
        text = read_text(folder, path)
        for marker in find_markers(text):
            return f': {path}:{line_of(text, marker.offset)} has the line "{marker.text}"'
    return ""


def complete_history(name: str, folder: Path, history: ForeignHistory) -> ForeignHistory:
    """Return what another tool's table says, in terms of its folder, where that takes the folder.

    Raises:
        MigrationFileInvalid: the folder cannot be read.
    """
    complete = getattr(find_format(name), "complete_history", None)
    return history if complete is None else cast("ForeignHistory", complete(folder, history))
