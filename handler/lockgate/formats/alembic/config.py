"""Finds an Alembic project's revisions: from ``alembic.ini``, ``pyproject.toml``, or its folders.

Reads only the settings for locations: not the database's address, not ``env.py``.
"""

from __future__ import annotations

import configparser
import os
import posixpath
import re
from typing import TYPE_CHECKING, Any

from lockgate.fast_start.dataclass import dataclass
from lockgate.formats.shared.folder import has_file, has_folder, read_text
from lockgate.formats.shared.scripts import unusable_file
from lockgate.formats.shared.toml import find_table, read_toml

if TYPE_CHECKING:
    from pathlib import Path

    from lockgate.errors import MigrationFileInvalid

_INI = "alembic.ini"
_PYPROJECT = "pyproject.toml"
_NAMES = (
    "script_location",
    "version_locations",
    "recursive_version_locations",
    "path_separator",
    "version_path_separator",
)
_SEPARATORS = {"space": " ", "newline": "\n", "os": os.pathsep, ":": ":", ";": ";"}
_TRUE = frozenset({"true", "on", "yes", "1", "y", "t"})


@dataclass(frozen=True, slots=True)
class Locations:
    """Folders of revisions in the project's folder, in order.

    ``is_configured``: a configuration names them. Otherwise a revision in a subfolder may or may not
    count.
    """

    folders: tuple[str, ...]
    recursive: bool
    is_configured: bool


def find_locations(folder: Path) -> Locations:
    """Return where the revisions are; the folder is a project, its script folder, or ``versions``.

    Raises:
        MigrationFileInvalid: the configuration cannot be read, or names a place outside the folder.
    """
    source = _INI if has_file(folder, _INI) else _PYPROJECT
    values = _read_values(folder)
    if "script_location" not in values:
        inside = "versions" if has_folder(folder, "versions") else "."
        return Locations((inside,), recursive=False, is_configured=False)
    script = _below(folder, str(values["script_location"]), source)
    given = _split(values)
    folders = given or [posixpath.join(script, "versions")]
    return Locations(
        tuple(_below(folder, one, source) for one in folders),
        recursive=str(values.get("recursive_version_locations", "")).lower() in _TRUE,
        is_configured=True,
    )


def _read_values(folder: Path) -> dict[str, Any]:
    if has_file(folder, _INI):
        parser = configparser.ConfigParser(defaults={"here": "."})
        try:
            parser.read_string(read_text(folder, _INI).removeprefix("\ufeff"))
            known = (name for name in _NAMES if parser.has_option("alembic", name))
            return {name: parser["alembic"][name] for name in known}
        except (configparser.Error, ValueError, RecursionError) as error:
            why = f"cannot be read: {next(iter(str(error).splitlines()), 'its values')}"
            raise unusable_file(_INI, why, "Correct the file.") from None
    if has_file(folder, _PYPROJECT):
        tables = read_toml(read_text(folder, _PYPROJECT), _PYPROJECT)
        values = find_table(tables, _PYPROJECT, "tool", "alembic")
        return {k: _fill_in(v) for k, v in values.items()}
    return {}


def _fill_in(value: Any) -> Any:
    if isinstance(value, list):
        return [_fill_in(one) for one in value]
    return value.replace("%(here)s", ".") if isinstance(value, str) else value


def _split(values: dict[str, Any]) -> list[str]:
    given = values.get("version_locations")
    if not given or isinstance(given, list):
        return list(given or ())
    name = values.get("path_separator", values.get("version_path_separator"))
    separator = _SEPARATORS.get(str(name).strip())
    parts = re.split(r",\s*|\s+", given) if separator is None else given.split(separator)
    return [part.strip() for part in parts if part.strip()]


def _below(folder: Path, place: str, source: str) -> str:
    """Return a location as a path in the folder; it may also be ``package.module:folder``.

    If Alembic is started in a parent folder, the location begins with further folders. They are
    removed one by one until there are revisions or ``env.py``.
    """
    package, *rest = place.split(":")
    path = posixpath.normpath("/".join((package.replace(".", "/"), *rest)) if rest else place)
    if path.startswith(("/", "..")):
        raise _outside(folder, place, source)
    if has_folder(folder, path):
        return path
    parts = path.split("/")
    shorter = ("/".join(parts[start:]) or "." for start in range(1, len(parts) + 1))
    found = next((one for one in shorter if _has_revisions(folder / one)), None)
    if found is None:
        raise _outside(folder, place, source)
    return found


def _has_revisions(folder: Path) -> bool:
    return has_file(folder, "env.py") or (folder.name == "versions" and any(folder.glob("**/*.py")))


def _outside(folder: Path, place: str, source: str) -> MigrationFileInvalid:
    return unusable_file(
        source,
        f"has a location of revisions, {place}, which is not a folder in {folder}",
        "Move it into the packaged folder, or set LOCKGATE_MIGRATIONS (or --dir) to the folder"
        " of revisions itself.",
    )
