"""Reads a folder of Liquibase's formatted SQL (``docs/formats/liquibase.md``).

A changeset keeps its place: Liquibase runs pending changesets in the order of the changelog, whatever
ran before.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lockgate.core.migration import Kind, Migration, Script, Version
from lockgate.fast_start.dataclass import dataclass
from lockgate.formats.liquibase.file import (
    FIRST_LINE,
    Changeset,
    is_formatted,
    read_changesets,
)
from lockgate.formats.liquibase.includes import Source, list_sources
from lockgate.formats.liquibase.parameters import (
    Parameters,
    is_for_database,
    refuse_contexts,
)
from lockgate.formats.liquibase.script import make_down, make_up
from lockgate.formats.liquibase.table import (
    LOCK_TABLE,
    RAW,
    TABLE,
    TABLE_SQL,
    make_changeset_id,
)
from lockgate.formats.shared.folder import list_files, no_migrations, read_text
from lockgate.formats.shared.scripts import (
    catalog_by_place,
    make_script,
    unusable_file,
    with_stub,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from lockgate.core.catalog import Catalog


@dataclass(frozen=True, slots=True)
class _File:
    """One file, and the path that Liquibase records for it."""

    source: Source
    text: str
    logical_path: str
    parameters: Parameters


def recognise(folder: Path) -> str | None:
    """Return the first file of formatted SQL, if there is one."""
    for path in list_files(folder, (".sql",)):
        if is_formatted(read_text(folder, path)):
            return f"{path} has the line --liquibase formatted sql"
    return None


def read_folder(folder: Path, variables: Mapping[str, str]) -> Catalog:
    """Read the changesets that a root changelog includes; without one, all files in order of names.

    ``variables`` have the values for ``${name}``. A precondition, or an attribute that Lockgate does
    not support, is an obstacle of its changeset.

    Raises:
        MigrationFileInvalid: the folder is missing or empty; a changeset is duplicate, or runs each
            time; or there are changes in XML, YAML or JSON.
    """
    parameters = Parameters.of(variables)
    sources = list_sources(folder, variables, parameters)
    migrations: dict[str, Migration] = {}
    for source in sources:
        for migration in _read_source(folder, source, parameters.for_file(), migrations):
            other = migrations.setdefault(migration.migration_id, migration)
            if other is not migration:
                raise unusable_file(
                    migration.path,
                    f"has the changeset {migration.migration_id} again; it is already in"
                    f" {other.path}:{other.up.first_line}",
                    "Give one of them another id.",
                    line=migration.up.first_line,
                )
    if not migrations:
        raise no_migrations(folder)
    catalog = catalog_by_place(list(migrations.values()), folder)
    for table in (TABLE, LOCK_TABLE):
        catalog = with_stub(catalog, table, TABLE_SQL)
    return catalog


def _read_source(
    folder: Path, source: Source, parameters: Parameters, earlier: Mapping[str, Migration]
) -> Iterator[Migration]:
    """Yield a file's migrations; ``earlier`` has all migrations before each, also of this file."""
    text = read_text(folder, source.path)
    if not is_formatted(text):
        yield _make_raw(source, text)
        return
    header = next(line for line in text.splitlines() if FIRST_LINE.fullmatch(line.lstrip("\ufeff")))
    logical = re.fullmatch(r".*logicalFilePath:(\S*).*", header, re.IGNORECASE)
    file = _File(source, text, logical[1] if logical else source.changelog_path, parameters)
    for changeset in read_changesets(text, source.path, parameters):
        migration = _make_migration(changeset, file, earlier)
        if migration is not None:
            yield migration


def _make_raw(source: Source, text: str) -> Migration:
    """Return a file of plain SQL: to Liquibase it is one changeset, which is sent unchanged."""
    if not text.strip():
        raise unusable_file(source.path, "is empty", "Remove it from the folder.")
    script = make_script(text, source.path)
    version = make_changeset_id(source.changelog_path, *RAW)
    return Migration(Version((), version), "", Kind.VERSIONED, script, None)


def _make_migration(
    changeset: Changeset, file: _File, earlier: Mapping[str, Migration]
) -> Migration | None:
    """Return the migration of a changeset, or ``None`` if Liquibase would skip it here."""
    dbms = changeset.attribute("dbms", r"[^,][\w!,]+")
    if changeset.flag("ignore", default=False):
        return None
    if not is_for_database(None if dbms is None else file.parameters.fill(dbms)):
        return None
    contexts = changeset.attribute("context(?:Filter)?", r'".*?"|\S*')
    refuse_contexts(contexts, changeset.path, changeset.first_line)
    logical = changeset.attribute("logicalFilePath", r"\S*")
    path = file.parameters.fill(logical or file.logical_path)
    version = make_changeset_id(path, changeset.changeset_id, changeset.author)
    runs_again = changeset.flag("runOnChange", default=False)
    up = make_up(changeset, file.parameters, runs_again=runs_again)
    kind = Kind.REPEATABLE if runs_again else Kind.VERSIONED
    return Migration(
        Version((), version), "", kind, up, _find_down(changeset, file.parameters, path, earlier)
    )


def _find_down(
    changeset: Changeset, parameters: Parameters, path: str, earlier: Mapping[str, Migration]
) -> Script | None:
    text = "\n".join(changeset.down_lines)
    if "changesetid" in text.lower():
        return _find_other(changeset, text, path, earlier)
    return make_down(changeset, parameters)


def _find_other(
    changeset: Changeset, text: str, path: str, earlier: Mapping[str, Migration]
) -> Script:
    """Return the script of the changeset that a rollback names: running it again undoes this one."""
    found = {
        name: match[1]
        for name in ("Id", "Author", "Path")
        if (match := re.search(rf"changeset{name}:(\S+)", text, re.IGNORECASE)) is not None
    }
    if "Id" in found and "Author" in found:
        key = make_changeset_id(found.get("Path", path), found["Id"], found["Author"])
        other = earlier.get(key)
        if other is not None:
            return other.up
    raise unusable_file(
        changeset.path,
        "has a rollback that names a changeset which is not above it",
        "Write changesetId:ID changesetAuthor:AUTHOR, and changesetPath:PATH if it is in another file.",
        line=changeset.down_line,
    )
