"""Reads a folder of Flyway (``docs/formats/flyway.md``).

Versions compare as numbers, group by group; repeatable migrations follow in the order of their
descriptions. Files that Flyway ignores are ignored.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lockgate.core.checksum import text_checksum
from lockgate.core.migration import Kind, Migration, Obstacle, Script
from lockgate.core.try_each import try_each
from lockgate.fast_start.dataclass import dataclass
from lockgate.formats.flyway.config import FlywayConfig, read_config
from lockgate.formats.flyway.names import (
    PROGRAM_SUFFIXES,
    Name,
    NameKind,
    NameRules,
    parse_name,
    parse_program,
)
from lockgate.formats.flyway.placeholders import fill_placeholders
from lockgate.formats.flyway.script_config import ScriptConfig, read_script_config
from lockgate.formats.flyway.table import TABLE_SQL
from lockgate.formats.shared.folder import list_files, read_text
from lockgate.formats.shared.scripts import (
    catalog_by_number,
    down_alone,
    make_script,
    make_versioned,
    refuse,
    unusable_file,
    with_stub,
)
from lockgate.formats.shared.tool_transaction import outside_where_needed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lockgate.core.catalog import Catalog

_PROGRAM = Obstacle(
    "is not SQL", "Rewrite it in SQL; or apply it with Flyway and adopt afterwards.", line=1
)


@dataclass(frozen=True, slots=True)
class _File:
    """One file that Flyway would run, and its parsed name."""

    path: str
    name: Name
    is_program: bool = False


def recognise(folder: Path) -> str | None:
    """Return the first file with the name of a versioned Flyway migration, as a sign."""
    for path in list_files(folder, (".sql",)):
        name = parse_name(path.rpartition("/")[2], NameRules())
        if name is not None and name.kind is NameKind.VERSIONED:
            is_other = "liquibase formatted sql" in read_text(folder, path)[:200].lower()
            return None if is_other else f"{path} has the name of a Flyway migration"
    return None


def read_folder(folder: Path, variables: Mapping[str, str]) -> Catalog:
    """Read every migration in ``folder`` and its subfolders; undo scripts are down scripts.

    ``variables`` are those of the environment: FLYWAY_PLACEHOLDERS_NAME and Flyway's settings.

    A program, or a placeholder without a value, is an obstacle of its migration.

    Raises:
        MigrationFileInvalid: the folder is missing or empty; two files share a version; or it has
            something that Flyway would run and Lockgate does not: a callback, a baseline migration,
            or a setting that changes what runs.
    """
    config = read_config(folder, variables)
    files = _list_files(folder, config)
    downs = _read_downs(folder, files, config)
    taken = [f for f in files if f.name.kind in {NameKind.VERSIONED, NameKind.REPEATABLE}]
    found = try_each(taken, lambda file: _read_migration(folder, file, downs, config))
    migrations = [migration for migration in found if migration is not None]
    catalog = catalog_by_number(migrations, folder)
    _refuse_alone(files, config)
    return with_stub(catalog, config.table, _table_sql(config.table))


def _table_sql(table: str) -> str:
    def quote(name: str) -> str:
        return '"' + name.replace('"', '""') + '"'

    return TABLE_SQL.format(
        table=quote(table), constraint=quote(f"{table}_pk"), index=quote(f"{table}_s_idx")
    )


def _list_files(folder: Path, config: FlywayConfig) -> list[_File]:
    rules = config.names
    suffixes = tuple(suffix.lower() for suffix in rules.suffixes)
    files: list[_File] = []
    for path in list_files(folder, (*suffixes, *PROGRAM_SUFFIXES)):
        base = path.rpartition("/")[2]
        name = parse_name(base, rules)
        if name is not None:
            _refuse_kind(path, name)
            files.append(_File(path, name))
        elif (program := parse_program(base, rules)) is not None:
            _refuse_kind(path, program)
            files.append(_File(path, program, is_program=True))
        elif config.refuses_names and base.endswith(rules.suffixes):
            raise unusable_file(
                path,
                "is not a valid migration file name, and flyway.validateMigrationNaming is set",
                "Name it like V1.2__description.sql or R__description.sql.",
            )
    return files


def _refuse_kind(path: str, name: Name) -> None:
    if name.kind is NameKind.CALLBACK:
        raise unusable_file(
            path,
            "is a callback, which Lockgate does not run",
            "Make it a migration (R__name.sql runs again when its text changes), and remove the callback"
            " from the folder.",
        )
    if name.kind is NameKind.BASELINE:
        raise unusable_file(
            path,
            "is a baseline migration: Flyway runs it only on a new database",
            "Remove it from the folder. On a new database, Lockgate runs the versioned migrations up to"
            " that version instead.",
        )


def _read_downs(
    folder: Path, files: list[_File], config: FlywayConfig
) -> dict[tuple[int, ...], Script]:
    downs: dict[tuple[int, ...], Script] = {}
    for file in files:
        if file.name.kind is not NameKind.UNDO or file.name.version is None:
            continue
        other = downs.get(file.name.version.key)
        if other is not None:
            raise unusable_file(
                file.path,
                f"undoes version {file.name.version}, and so does {other.path}",
                "Keep one of the two.",
            )
        downs[file.name.version.key] = _read_script(folder, file, config)[0]
    return downs


def _refuse_alone(files: list[_File], config: FlywayConfig) -> None:
    versions = {f.name.version for f in files if f.name.kind is NameKind.VERSIONED}
    for file in files:
        if file.name.kind is NameKind.UNDO and file.name.version not in versions:
            up = f"{config.names.versioned}{file.name.version}{config.names.separator}name.sql"
            raise down_alone(file.path, up)


def _read_migration(
    folder: Path, file: _File, downs: Mapping[tuple[int, ...], Script], config: FlywayConfig
) -> Migration | None:
    """Return the migration of a file, or ``None`` if its configuration says not to run it."""
    script, script_config = _read_script(folder, file, config)
    if not script_config.should_execute:
        return None
    name = file.name
    if name.version is None:
        if script.obstacle is not None:
            # Without its text, it is unknown whether it must run again.
            raise refuse(file.path, script.obstacle)
        # Flyway's checksum covers the values of placeholders: another value runs it again.
        script = replace(script, checksum=text_checksum(script.sql))
        return Migration(None, name.description, Kind.REPEATABLE, script, None)
    return make_versioned(name.version, name.description, script, downs.get(name.version.key))


def _read_script(folder: Path, file: _File, config: FlywayConfig) -> tuple[Script, ScriptConfig]:
    if file.is_program:
        return replace(make_script("", file.path), obstacle=_PROGRAM), ScriptConfig()
    script_config = read_script_config(folder, file.path, config)
    text = read_text(folder, file.path)
    replaces = config.replaces and script_config.replaces
    filled = fill_placeholders(text, file.path, config) if replaces else None
    transaction = (
        config.transaction if script_config.transaction is None else script_config.transaction
    )
    script = make_script(
        text,
        file.path,
        # Lockgate runs it in a transaction where possible anyway.
        transaction=False if transaction is False else script_config.transaction,
        substituted=None if filled is None else filled.text,
        hidden=() if filled is None else filled.hidden,
    )
    if filled is not None and filled.obstacle is not None:
        script = replace(script, substituted=None, obstacle=filled.obstacle)
    if config.is_mixed and transaction is None:
        script = outside_where_needed(script)
    return script, script_config
