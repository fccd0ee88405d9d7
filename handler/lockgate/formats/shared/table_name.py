"""The name of a history table in the settings that several tools share: variables and addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from lockgate.formats.shared.folder import has_file
from lockgate.formats.tool import TableName

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lockgate.formats.tool import FindTableName

# Variables in which projects keep the address of their database, with the tools' own parameters.
_ADDRESSES = ("DATABASE_URL", "POSTGRESQL_URL", "POSTGRES_URL")


def from_variable(name: str) -> FindTableName:
    """Return a function that finds the table's name in a variable of the environment."""

    def find(_folder: Path, variables: Mapping[str, str]) -> TableName | None:
        value = variables.get(name, "").strip()
        return TableName(value, name) if value else None

    return find


def from_address(parameter: str, table: str | None = None) -> FindTableName:
    """Return a function that finds a parameter of a database address: the table's name.

    With ``table``, the parameter is its schema.
    """

    def find(_folder: Path, variables: Mapping[str, str]) -> TableName | None:
        for name in _ADDRESSES:
            given = parse_qs(_query_of(variables.get(name, ""))).get(parameter)
            if given:
                value = given[0] if table is None else f"{given[0]}.{table}"
                return TableName(value, f"{parameter} in {name}")
        return None

    return find


def list_near(folder: Path, *names: str) -> list[str]:
    """Return the paths of the files with these names in the folder and beside it."""
    places = (f"{place}{name}" for place in ("", "../") for name in names)
    return [path for path in places if has_file(folder.resolve(), path)]


def _query_of(address: str) -> str:
    try:
        return urlsplit(address).query
    except ValueError:
        return ""
