"""What a tool's own settings call its history table. Knows the settings; asks no database."""

from __future__ import annotations

import ast
import configparser
import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from lockgate.core.python_source import PythonInvalid, parse_python
from lockgate.errors import MigrationFileInvalid
from lockgate.formats.adoption import TableName
from lockgate.formats.shared.folder import has_file, read_text
from lockgate.formats.shared.toml import find_table, read_toml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    Finder = Callable[[Path, Mapping[str, str]], TableName | None]

# Variables in which projects keep the address of their database, with the tools' own parameters.
_ADDRESSES = ("DATABASE_URL", "POSTGRESQL_URL", "POSTGRES_URL")
_KNEX_TABLE = re.compile(r"""\btableName\s*:\s*(["'`])([^"'`\n]+)\1""")
_KNEX_SCHEMA = re.compile(r"""\bschemaName\s*:\s*(["'`])([^"'`\n]+)\1""")


def find_table_name(tool: str, folder: Path, variables: Mapping[str, str]) -> TableName | None:
    """Return the name that settings give a tool's history table, ``None`` where they give none.

    Read are the variables of the environment and the tool's settings in or beside the folder.

    Raises:
        MigrationFileInvalid: a file of settings cannot be read.
    """
    find = _FINDERS.get(tool)
    return None if find is None else find(folder, variables)


def _from_variable(name: str) -> Finder:
    def find(_folder: Path, variables: Mapping[str, str]) -> TableName | None:
        value = variables.get(name, "").strip()
        return TableName(value, name) if value else None

    return find


def _from_address(parameter: str, table: str | None = None) -> Finder:
    """Return what finds a parameter of a database address: the table's name, or its schema."""

    def find(_folder: Path, variables: Mapping[str, str]) -> TableName | None:
        for name in _ADDRESSES:
            given = parse_qs(_query_of(variables.get(name, ""))).get(parameter)
            if given:
                value = given[0] if table is None else f"{given[0]}.{table}"
                return TableName(value, f"{parameter} in {name}")
        return None

    return find


def _query_of(address: str) -> str:
    try:
        return urlsplit(address).query
    except ValueError:
        return ""


def _find_flyway(folder: Path, variables: Mapping[str, str]) -> TableName | None:
    from lockgate.formats.flyway.config import read_config  # noqa: PLC0415 - as every format
    from lockgate.formats.flyway.table import TABLE  # noqa: PLC0415 - as every format

    config = read_config(folder, variables)
    if config.table == TABLE and config.default_schema is None:
        return None
    schema = "" if config.default_schema is None else f"{config.default_schema}."
    return TableName(f"{schema}{config.table}", "flyway.table")


def _find_liquibase(folder: Path, variables: Mapping[str, str]) -> TableName | None:
    from lockgate.formats.liquibase.settings import read_settings  # noqa: PLC0415 - as every format
    from lockgate.formats.liquibase.table import TABLE  # noqa: PLC0415 - as every format

    settings = read_settings(folder, variables)
    if settings.table is None and settings.schema is None:
        return None
    schema = "" if settings.schema is None else f"{settings.schema}."
    return TableName(f"{schema}{settings.table or TABLE}", "databaseChangeLogTableName")


def _find_sqitch(folder: Path, _variables: Mapping[str, str]) -> TableName | None:
    from lockgate.formats.sqitch.config import read_registry  # noqa: PLC0415 - as every format

    registry = read_registry(folder)
    return None if registry is None else TableName(f"{registry}.changes", "registry in sqitch.conf")


def _find_sqlx(folder: Path, _variables: Mapping[str, str]) -> TableName | None:
    for path in _list_files(folder, "sqlx.toml"):
        document = read_toml(read_text(folder.resolve(), path), path)
        name = find_table(document, path, "migrate").get("table-name")
        if isinstance(name, str) and name:
            return TableName(name, f"migrate.table-name in {path}")
    return None


def _find_yoyo(folder: Path, _variables: Mapping[str, str]) -> TableName | None:
    for path in _list_files(folder, "yoyo.ini"):
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read_string(read_text(folder.resolve(), path))
        except configparser.Error as error:
            raise _unreadable(path, str(error).splitlines()[0]) from None
        name = parser.defaults().get("migration_table")
        if name:
            return TableName(name, f"migration_table in {path}")
    return None


def _find_knex(folder: Path, _variables: Mapping[str, str]) -> TableName | None:
    """Return the only name that a knexfile has; which of several counts, only the program knows."""
    for path in _list_files(
        folder, *(f"knexfile.{suffix}" for suffix in ("js", "cjs", "mjs", "ts"))
    ):
        text = read_text(folder.resolve(), path)
        tables = {found[2] for found in _KNEX_TABLE.finditer(text)}
        schemas = {found[2] for found in _KNEX_SCHEMA.finditer(text)}
        if len(tables) == 1 and len(schemas) <= 1:
            return TableName(".".join([*schemas, *tables]), f"tableName in {path}")
    return None


def _find_alembic(folder: Path, _variables: Mapping[str, str]) -> TableName | None:
    """Return what ``env.py`` passes to Alembic, where that is a plain text and the same everywhere."""
    below = sorted(path.relative_to(folder).as_posix() for path in folder.glob("*/**/env.py"))
    for relative in (*_list_files(folder, "env.py"), *below):
        try:
            tree = parse_python(read_text(folder.resolve(), relative))
        except PythonInvalid:
            continue
        tables = set(_list_keywords(tree, "version_table"))
        schemas = set(_list_keywords(tree, "version_table_schema"))
        if len(tables | schemas) > 0 and len(tables) <= 1 and len(schemas) <= 1:
            name = ".".join([*schemas, *(tables or {"alembic_version"})])
            return TableName(name, f"version_table in {relative}")
    return None


def _list_keywords(tree: ast.AST, name: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == name:
            value = node.value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield value.value


def _list_files(folder: Path, *names: str) -> list[str]:
    places = (f"{place}{name}" for place in ("", "../") for name in names)
    return [path for path in places if has_file(folder.resolve(), path)]


def _unreadable(path: str, why: str) -> MigrationFileInvalid:
    return MigrationFileInvalid(
        f"{path} cannot be read: {why}.", hint="Correct the file.", file=path
    )


_FINDERS: dict[str, Finder] = {
    "dbmate": _from_variable("DBMATE_MIGRATIONS_TABLE"),
    "goose": _from_variable("GOOSE_TABLE"),
    "golang-migrate": _from_address("x-migrations-table"),
    "prisma": _from_address("schema", "_prisma_migrations"),
    "flyway": _find_flyway,
    "liquibase": _find_liquibase,
    "sqitch": _find_sqitch,
    "sqlx": _find_sqlx,
    "yoyo": _find_yoyo,
    "knex": _find_knex,
    "alembic": _find_alembic,
}
