"""Reads Liquibase's settings: ``liquibase.properties`` in or beside the folder, then variables.

A setting that changes what runs is either followed or refused.
"""

from __future__ import annotations

import re
from dataclasses import field
from typing import TYPE_CHECKING

from lockgate.fast_start.dataclass import dataclass
from lockgate.formats.liquibase.table import TABLE
from lockgate.formats.shared.folder import has_file, read_text
from lockgate.formats.shared.properties import Property, read_properties
from lockgate.formats.shared.scripts import unusable_file
from lockgate.formats.tool import TableName

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

NAME = "liquibase.properties"
_PARAMETER = "parameter."
_VARIABLE = re.compile(r"LIQUIBASE_(?:COMMAND_)?([A-Z_]+)")
_HARMLESS_SCHEMAS = frozenset({"", "public"})
# Without dashes and capitals, since Liquibase has several spellings of each.
_REFUSED = {
    "contexts": (
        frozenset({""}),
        "Lockgate runs every context, like Liquibase without the setting",
    ),
    "contextfilter": (
        frozenset({""}),
        "Lockgate runs every context, like Liquibase without the setting",
    ),
    "labels": (frozenset({""}), "Lockgate runs every label, like Liquibase without the setting"),
    "labelfilter": (
        frozenset({""}),
        "Lockgate runs every label, like Liquibase without the setting",
    ),
    "defaultschemaname": (
        _HARMLESS_SCHEMAS,
        "Set it for the role: ALTER ROLE … SET search_path = …",
    ),
}


@dataclass(frozen=True, slots=True)
class LiquibaseSettings:
    """The root changelog and the parameters, if they are set.

    ``table`` and ``schema`` are those of Liquibase's own table, if they are set.
    """

    changelog: str | None = None
    table: str | None = None
    schema: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)


def read_settings(folder: Path, variables: Mapping[str, str]) -> LiquibaseSettings:
    """Return the settings for a folder.

    Raises:
        MigrationFileInvalid: a setting changes what runs and Lockgate does not support it.
    """
    entries = [*_read_files(folder), *_read_variables(variables)]
    settings = {_fold(entry.key): entry for entry in entries}
    for key, entry in settings.items():
        _refuse(key, entry)

    def find(key: str) -> str | None:
        entry = settings.get(key)
        return None if entry is None else entry.value.strip() or None

    return LiquibaseSettings(
        changelog=find("changelogfile"),
        table=find("databasechangelogtablename"),
        schema=find("liquibaseschemaname"),
        parameters={
            entry.key.removeprefix(_PARAMETER): entry.value
            for entry in entries
            if entry.key.startswith(_PARAMETER)
        },
    )


def find_table_name(folder: Path, variables: Mapping[str, str]) -> TableName | None:
    """Return the name of Liquibase's table, if a setting gives it or its schema.

    Raises:
        MigrationFileInvalid: as `read_settings`.
    """
    settings = read_settings(folder, variables)
    if settings.table is None and settings.schema is None:
        return None
    schema = "" if settings.schema is None else f"{settings.schema}."
    return TableName(f"{schema}{settings.table or TABLE}", "databaseChangeLogTableName")


def _fold(key: str) -> str:
    if key.startswith(_PARAMETER):
        return key
    return re.sub(r"[-_]", "", key.removeprefix("liquibase.").removeprefix("command.")).lower()


def _refuse(key: str, entry: Property) -> None:
    harmless, why = _REFUSED.get(key, (None, ""))
    if harmless is not None and entry.value.strip() not in harmless:
        raise unusable_file(
            entry.file,
            f"sets {entry.key}, which Lockgate does not support",
            f"{why}. Remove the setting from the deployed file.",
            line=entry.line,
        )


def _read_files(folder: Path) -> Iterator[Property]:
    for path in (f"../{NAME}", NAME):
        if has_file(folder.resolve(), path):
            yield from read_properties(read_text(folder.resolve(), path), path)


def _read_variables(variables: Mapping[str, str]) -> Iterator[Property]:
    for name, value in variables.items():
        found = _VARIABLE.fullmatch(name)
        if found is not None:
            yield Property(found[1], value, name, None)
