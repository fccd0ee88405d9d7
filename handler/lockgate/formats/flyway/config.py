"""Reads Flyway's settings: ``flyway.conf`` or ``flyway.toml`` in or beside the folder, then variables.

A setting that changes what runs is either followed or refused, never ignored. Settings of the
connection, of other commands and of the terminal's output do not matter here.
"""

from __future__ import annotations

import re
from dataclasses import field
from typing import TYPE_CHECKING, Any, Final

from lockgate.errors import MigrationFileInvalid
from lockgate.fast_start.dataclass import dataclass
from lockgate.formats.flyway.names import NameRules
from lockgate.formats.flyway.table import TABLE
from lockgate.formats.shared.folder import has_file, read_text
from lockgate.formats.shared.properties import Property, read_properties
from lockgate.formats.shared.scripts import unusable_file
from lockgate.formats.shared.toml import find_table, read_toml
from lockgate.formats.tool import TableName

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_PLACEHOLDERS = "placeholders."
_VARIABLE = "FLYWAY_"
_ENVIRONMENT = re.compile(r"\$\{(?:env\.)?([A-Za-z0-9_]+)\}")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
# For each setting: the values without effect here, and a hint for all others.
_REFUSED: Final[dict[str, tuple[frozenset[str], str]]] = {
    "target": (frozenset({"", "latest"}), "Name the target in the request instead."),
    "cherryPick": (frozenset({""}), "Lockgate applies all pending migrations."),
    "skipExecutingMigrations": (frozenset({"false"}), "Use the action baseline instead."),
    "initSql": (frozenset({""}), "Set it for the role: ALTER ROLE … SET …."),
    "callbacks": (frozenset({""}), "Lockgate cannot run Java callbacks; make them migrations."),
    "resolvers": (frozenset({""}), "Lockgate cannot run Java resolvers."),
    "skipDefaultResolvers": (
        frozenset({"false"}),
        "Without them there would be no migrations.",
    ),
    "migrationResolvers": (frozenset({""}), "Lockgate cannot run Java resolvers."),
    "errorOverrides": (frozenset({""}), "An error of the server ends the run."),
    "delimiter": (frozenset({"", ";"}), "Lockgate splits statements as PostgreSQL does."),
    "encoding": (frozenset({"utf-8", "utf8"}), "Save the files as UTF-8."),
    "detectEncoding": (frozenset({"false"}), "Save the files as UTF-8."),
    "defaultSchema": (
        frozenset({"", "public"}),
        "Put it on the search path instead: ALTER ROLE … SET search_path = …; then set",
    ),
    "schemas": (
        frozenset({"", "public"}),
        "Create them, put the first on the search path (ALTER ROLE … SET search_path = …), and set",
    ),
    "baselineOnMigrate": (
        frozenset({"false"}),
        "Use the action baseline if a database has objects but no history, and set",
    ),
}


@dataclass(frozen=True, slots=True)
class FlywayConfig:
    """Flyway's settings that affect files and their text.

    ``transaction`` is executeInTransaction, if it is set. ``placeholders`` are the project's own.
    """

    names: NameRules = field(default_factory=NameRules)
    refuses_names: bool = False
    placeholders: Mapping[str, str] = field(default_factory=dict, repr=False)
    replaces: bool = True
    prefix: str = "${"
    suffix: str = "}"
    separator: str = ":"
    default_schema: str | None = None
    table: str = TABLE
    is_mixed: bool = False
    transaction: bool | None = None


def read_config(folder: Path, variables: Mapping[str, str]) -> FlywayConfig:
    """Return the settings for a folder.

    Raises:
        MigrationFileInvalid: a setting changes what runs and Lockgate does not support it, or a file
            of settings cannot be read.
    """
    settings = {entry.key: entry for entry in _read_files(folder, variables)}
    settings |= {entry.key: entry for entry in _read_variables(variables)}
    for entry in settings.values():
        _refuse(entry)
    return _make_config(settings)


def find_table_name(folder: Path, variables: Mapping[str, str]) -> TableName | None:
    """Return the name of Flyway's table, if a setting gives it or its schema.

    Raises:
        MigrationFileInvalid: as `read_config`.
    """
    config = read_config(folder, variables)
    if config.table == TABLE and config.default_schema is None:
        return None
    schema = "" if config.default_schema is None else f"{config.default_schema}."
    return TableName(f"{schema}{config.table}", "flyway.table")


def _make_config(settings: Mapping[str, Property]) -> FlywayConfig:
    def text(key: str, default: str) -> str:
        return settings[key].value if key in settings else default

    def flag(key: str, *, default: bool) -> bool:
        return _flag(settings[key]) if key in settings else default

    schemas = text("schemas", "").split(",")[0].strip()
    transaction = "executeInTransaction"
    return FlywayConfig(
        names=NameRules(
            versioned=text("sqlMigrationPrefix", "V"),
            undo=text("undoSqlMigrationPrefix", "U"),
            repeatable=text("repeatableSqlMigrationPrefix", "R"),
            baseline=text("baselineMigrationPrefix", "B"),
            separator=text("sqlMigrationSeparator", "__"),
            suffixes=tuple(s.strip() for s in text("sqlMigrationSuffixes", ".sql").split(",")),
        ),
        refuses_names=flag("validateMigrationNaming", default=False),
        placeholders={
            key.removeprefix(_PLACEHOLDERS): entry.value
            for key, entry in settings.items()
            if key.startswith(_PLACEHOLDERS)
        },
        replaces=flag("placeholderReplacement", default=True),
        prefix=text("placeholderPrefix", "${"),
        suffix=text("placeholderSuffix", "}"),
        separator=text("placeholderSeparator", ":"),
        default_schema=text("defaultSchema", "").strip() or schemas or None,
        table=text("table", TABLE),
        is_mixed=flag("mixed", default=False),
        transaction=_flag(settings[transaction]) if transaction in settings else None,
    )


def _flag(entry: Property) -> bool:
    known = {"true": True, "false": False}
    if entry.value.lower() not in known:
        raise MigrationFileInvalid(
            f'{entry.place}: {entry.key} cannot be "{entry.value}"; it takes true or false.',
            hint="Correct the setting.",
            file=entry.file,
            line=entry.line,
        )
    return known[entry.value.lower()]


def _refuse(entry: Property) -> None:
    if entry.key == "locations":
        _refuse_locations(entry)
    harmless, hint = _REFUSED.get(entry.key, (None, ""))
    if harmless is None or entry.value.strip().lower() in harmless:
        return
    default = min(harmless, key=len)
    override = f"{_variable_of(entry.key)}={default}"
    raise unusable_file(
        entry.file,
        f"sets flyway.{entry.key}, which Lockgate does not support",
        f"{hint} {override}."
        if hint.endswith("set")
        else f"{hint} To ignore the setting: {override}.",
        line=entry.line,
    )


def _refuse_locations(entry: Property) -> None:
    """Refuse several folders and patterns: Lockgate reads one folder."""
    if any(sign in entry.value for sign in ",*?"):
        raise unusable_file(
            entry.file,
            "sets flyway.locations to several folders, and Lockgate reads only one",
            "Set LOCKGATE_MIGRATIONS and FLYWAY_LOCATIONS to a folder that contains them all;"
            " subfolders are read.",
            line=entry.line,
        )


def _variable_of(key: str) -> str:
    return _VARIABLE + _HUMP.sub("_", key).upper()


def _read_variables(variables: Mapping[str, str]) -> Iterator[Property]:
    """Yield Flyway's own variables: FLYWAY_PLACEHOLDERS_NAME, FLYWAY_TARGET and so on."""
    prefix = f"{_VARIABLE}PLACEHOLDERS_"
    known = {_variable_of(key): key for key in _KEYS}
    for name, value in variables.items():
        if name.startswith(prefix):
            yield Property(_PLACEHOLDERS + name.removeprefix(prefix).lower(), value, name, None)
        elif name in known:
            yield Property(known[name], value, name, None)


def _read_files(folder: Path, variables: Mapping[str, str]) -> Iterator[Property]:
    found = [
        f"{place}{name}"
        for place in ("", "../")
        for name in ("flyway.toml", "flyway.conf")
        if has_file(folder.resolve(), f"{place}{name}")
    ]
    if len(found) > 1:
        raise unusable_file(
            found[0],
            f"is not the only file of settings; there is also {found[1]}",
            "Keep one of them.",
        )
    for path in found:
        read = _read_toml if path.endswith(".toml") else _read_conf
        yield from read(path, read_text(folder.resolve(), path), variables)


def _read_conf(path: str, text: str, variables: Mapping[str, str]) -> Iterator[Property]:
    for entry in read_properties(text, path):
        key = entry.key.removeprefix("flyway.")
        yield Property(key, _expand(entry.value, variables), entry.file, entry.line)


def _expand(value: str, variables: Mapping[str, str]) -> str:
    """Fill in variables of the environment; like for Flyway, one that is not set is empty."""
    return _ENVIRONMENT.sub(lambda match: variables.get(match[1], ""), value)


def _read_toml(path: str, text: str, variables: Mapping[str, str]) -> Iterator[Property]:
    document = read_toml(text, path)
    flyway = find_table(document, path, "flyway")
    environment = ("environments", str(flyway.get("environment", "default")))
    chosen = find_table(document, path, *environment)
    own = find_table(document, path, *environment, "flyway")
    values = {
        **({"schemas": chosen["schemas"]} if "schemas" in chosen else {}),
        **flyway,
        **own,
    }
    names = {
        **find_table(document, path, "flyway", "placeholders"),
        **find_table(document, path, *environment, "flyway", "placeholders"),
    }
    values.pop("placeholders", None)
    values |= {_PLACEHOLDERS + name: value for name, value in names.items()}
    for key, value in values.items():
        if not isinstance(value, dict):
            line = _line_of_key(text, key.removeprefix(_PLACEHOLDERS))
            yield Property(key, _expand(_show(value), variables), path, line)


def _show(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _line_of_key(text: str, key: str) -> int | None:
    """Return the line of the first assignment to a key; the TOML reader does not provide it."""
    found = re.search(rf"^[ \t]*[\"']?{re.escape(key)}[\"']?[ \t]*=", text, re.MULTILINE)
    return None if found is None else text.count("\n", 0, found.start()) + 1


_KEYS: Final = (
    *_REFUSED,
    "locations",
    "sqlMigrationPrefix",
    "undoSqlMigrationPrefix",
    "repeatableSqlMigrationPrefix",
    "baselineMigrationPrefix",
    "sqlMigrationSeparator",
    "sqlMigrationSuffixes",
    "validateMigrationNaming",
    "placeholderReplacement",
    "placeholderPrefix",
    "placeholderSuffix",
    "placeholderSeparator",
    "table",
    "mixed",
    "executeInTransaction",
)
