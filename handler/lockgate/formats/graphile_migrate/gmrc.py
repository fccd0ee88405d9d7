"""Reads ``.gmrc``, the settings of graphile-migrate, as far as they change committed migrations."""

from __future__ import annotations

import re
from dataclasses import field
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from lockgate.errors import MigrationFileInvalid
from lockgate.fast_start.dataclass import dataclass
from lockgate.formats.shared.folder import has_file, line_of, read_text
from lockgate.formats.shared.json5 import Json5Invalid, read_json5
from lockgate.formats.shared.scripts import unusable_file
from lockgate.formats.shared.unset_variable import describe_unset, is_withheld

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any


_NAME = ".gmrc"
_PROGRAMS = (".gmrc.js", ".gmrc.cjs", ".gmrc.mjs")
_PLACEHOLDER = re.compile(r":[A-Z][0-9A-Z_]+")
_FROM_ENVIRONMENT = "!ENV"
_DATABASE = ":DATABASE_NAME"
_OWNER = ":DATABASE_OWNER"
# The variable that users of graphile-migrate set; it is read here too.
_URL = "DATABASE_URL"
_ACTIONS = ("beforeAllMigrations", "afterAllMigrations")


@dataclass(frozen=True, slots=True)
class Placeholders:
    """The value of each ``:NAME``, ``None`` if unknown. ``hidden``: those from the environment.

    ``is_complete`` is false if there is no settings file: other names may be placeholders too.
    """

    values: Mapping[str, str | None] = field(repr=False)
    hidden: frozenset[str] = field(repr=False)
    is_complete: bool


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of the file. ``session`` is SQL, in one line, that sets up a session."""

    placeholders: Placeholders
    session: str


def read_settings(folders: list[Path], variables: Mapping[str, str]) -> Settings:
    """Read the first ``.gmrc`` in the folders; each is the parent of the one before.

    Raises:
        MigrationFileInvalid: it is a program, cannot be read, has an action that runs with the
            migrations, or a value that graphile-migrate refuses.
    """
    for height, folder in enumerate(folders):
        try:
            found = _read_folder(folder, variables)
        except MigrationFileInvalid as error:
            # Relative to the first folder, like the files of migrations.
            error.file = "../" * height + (error.file or _NAME)
            raise
        if found is not None:
            return found
    return Settings(_make_placeholders({}, variables, is_complete=False), "")


def _read_folder(folder: Path, variables: Mapping[str, str]) -> Settings | None:
    if has_file(folder, _NAME):
        return _read(_load(folder), variables)
    program = next((name for name in _PROGRAMS if has_file(folder, name)), None)
    if program is not None:
        raise unusable_file(
            program,
            "is a program, and Lockgate cannot run JavaScript",
            "Write its exported value as JSON into a file .gmrc beside it.",
        )
    return None


def _load(folder: Path) -> dict[str, Any]:
    text = read_text(folder, _NAME)
    try:
        value = read_json5(text)
    except Json5Invalid as error:
        raise _refused(f"cannot be read: {error}", line=line_of(text, error.offset)) from None
    if not isinstance(value, dict):
        raise _refused("is not a JSON object")
    return value


def _read(settings: dict[str, Any], variables: Mapping[str, str]) -> Settings:
    for name in _ACTIONS:
        _refuse_actions(name, settings.get(name))
    return Settings(
        _make_placeholders(settings, variables, is_complete=True),
        _make_session(settings.get("pgSettings")),
    )


def _refuse_actions(name: str, actions: object) -> None:
    """Refuse actions that would run with the migrations; those for the shadow database would not."""
    listed = actions if isinstance(actions, list) else [] if actions is None else [actions]
    if any(not (isinstance(one, dict) and one.get("shadow") is True) for one in listed):
        raise _refused(
            f"has {name}, and Lockgate does not run actions of graphile-migrate",
            "Run them as a separate step of the deploy, and remove them from the deployed .gmrc.",
        )


def _make_session(settings: object) -> str:
    if not settings:
        return ""
    if not isinstance(settings, dict):
        raise _refused("has pgSettings that are not an object")
    calls = []
    for name, value in settings.items():
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise _refused(f"has the setting {name} in pgSettings, whose value is not text")
        calls.append(f"SELECT pg_catalog.set_config({_quote(name)}, {_quote(str(value))}, false);")
    return " ".join(calls)


def _quote(text: str) -> str:
    if "\n" in text or "\r" in text:
        raise _refused("has a value of several lines in pgSettings")
    return "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


# Placeholders.


def _make_placeholders(
    settings: dict[str, Any], variables: Mapping[str, str], *, is_complete: bool
) -> Placeholders:
    own = settings.get("placeholders") or {}
    if not isinstance(own, dict):
        raise _refused("has placeholders that are not an object")
    values: dict[str, str | None] = {}
    for name, value in own.items():
        if not _PLACEHOLDER.fullmatch(name) or not isinstance(value, str):
            raise _refused(f"has the placeholder {name}, which must be :UPPER_CASE with a text")
        values[name] = _from_environment(name, variables) if value == _FROM_ENVIRONMENT else value
    for name, value in _reserved(settings, variables).items():
        if value is not None and values.get(name, value) != value:
            raise _refused(f"has the placeholder {name}, which graphile-migrate sets itself")
        values.setdefault(name, value)
    given = set(variables.values())
    hidden = {v for n, v in values.items() if v and own.get(n) != v and v in given}
    return Placeholders(values, frozenset(hidden), is_complete)


def _from_environment(name: str, variables: Mapping[str, str]) -> str:
    value = variables.get(name[1:])
    if not value:
        why, hint = describe_unset(name[1:], "its value into the placeholders")
        variable = None if is_withheld(name[1:]) else name[1:]
        raise _refused(
            f"takes {name} from the environment, where {name[1:]} {why}", hint, variable=variable
        )
    return value


def _reserved(settings: dict[str, Any], variables: Mapping[str, str]) -> dict[str, str | None]:
    """Return name and owner of the database from the address that graphile-migrate would use."""
    given = str(settings.get("connectionString") or variables.get(_URL) or "")
    try:
        address = urlsplit(given)
    except ValueError as error:
        raise _refused(f"has a connection string that is not an address: {error}") from None
    name = unquote(address.path.removeprefix("/")) or None
    user = unquote(address.username or "") or None
    name = variables.get(_DATABASE[1:]) or name
    owner = settings.get("databaseOwner") or variables.get(_OWNER[1:]) or user or name
    return {_DATABASE: name, _OWNER: owner}


def _refused(
    why: str,
    hint: str = "Correct the file; graphile-migrate refuses it too.",
    *,
    line: int | None = None,
    variable: str | None = None,
) -> MigrationFileInvalid:
    return unusable_file(_NAME, why, hint, line=line, variable=variable)
