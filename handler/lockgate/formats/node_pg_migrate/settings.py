"""Finds the name of node-pg-migrate's table in a project's scripts and settings.

The tool takes its options from the command line, which projects keep in the scripts of ``package.json``,
from the files of the npm package ``config``, and from a file that an option names. Later ones win.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lockgate.formats.shared.folder import has_file, read_text
from lockgate.formats.shared.json5 import Json5Invalid, read_json5
from lockgate.formats.shared.table_name import list_near
from lockgate.formats.tool import TableName

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    # The value of an option, and where it is set.
    Options = dict[str, tuple[str, str]]

_PROGRAM = re.compile(r"(?:\S*/)?(?:node-)?pg-migrate(?:@\S+)?")
_WORD = re.compile(r"""(?:"[^"]*"|'[^']*'|[^\s;&|"'])+|[;&|]+""")
_TABLE, _SCHEMA, _OWN_SCHEMA = "migrations-table", "schema", "migrations-schema"
_FILE, _SECTION = "config-file", "config-value"
_SHORT = {"-t": _TABLE, "-s": _SCHEMA, "-f": _FILE}
_DEFAULT_SECTION = "db"
_DEFAULT_TABLE = "pgmigrations"


def find_table_name(folder: Path, variables: Mapping[str, str]) -> TableName | None:
    """Return the name that the project's settings give the table.

    ``None`` if they give none, if its scripts give several, or if a file is not JSON. Then the table is
    found by its columns, and several are refused.

    Raises:
        MigrationFileInvalid: a file of settings cannot be read.
    """
    commands = list(_read_scripts(folder)) or [{}]
    found = {name for one in commands if (name := _find_name(folder, variables, one)) is not None}
    names = {one.name: one for one in sorted(found, key=lambda one: one.source)}
    return next(iter(names.values())) if len(names) == 1 else None


def _find_name(folder: Path, variables: Mapping[str, str], command: Options) -> TableName | None:
    section = command.get(_SECTION, (_DEFAULT_SECTION, ""))[0]
    options = dict(command)
    for path in _list_files(folder, variables):
        options |= _pick(_get(_read_json(folder, path), section), path)
    options |= _pick(_get(_load(variables.get("NODE_CONFIG", "")), section), "NODE_CONFIG")
    for path in _list_named(folder, command):
        document = _read_json(folder, path)
        options |= _pick(_get(document, section) or document, path)
    table = options.get(_TABLE)
    schema = options.get(_OWN_SCHEMA) or options.get(_SCHEMA)
    if table is None and schema is None:
        return None
    name = _DEFAULT_TABLE if table is None else table[0]
    option, source = (_OWN_SCHEMA, schema) if table is None else (_TABLE, table)
    assert source is not None
    return TableName(name if schema is None else f"{schema[0]}.{name}", f"{option} in {source[1]}")


# The command line.


def _read_scripts(folder: Path) -> Iterator[Options]:
    """Yield the options of each call of the tool in a script of ``package.json``."""
    for path in list_near(folder, "package.json"):
        scripts = _get(_read_json(folder, path), "scripts")
        for text in scripts.values() if isinstance(scripts, dict) else ():
            if isinstance(text, str):
                yield from _read_command(text, path)


def _read_command(text: str, path: str) -> Iterator[Options]:
    options: Options | None = None
    wanted: str | None = None
    for word in (re.sub("[\"']", "", found[0]) for found in _WORD.finditer(text)):
        if word[0] in ";&|":
            yield from [options] if options is not None else []
            options, wanted = None, None
        elif options is None:
            options = {} if _PROGRAM.fullmatch(word) else None
        elif wanted is not None:
            options[wanted], wanted = (word, path), None
        else:
            name, equals, value = word.partition("=")
            option = _SHORT.get(name, name.removeprefix("--"))
            if equals:
                options[option] = (value, path)
            elif option in {_TABLE, _SCHEMA, _OWN_SCHEMA, _FILE, _SECTION}:
                wanted = option
    yield from [options] if options is not None else []


# Files.


def _list_files(folder: Path, variables: Mapping[str, str]) -> list[str]:
    """Return the files of the package ``config``, in the order in which they are merged."""
    mode = variables.get("NODE_CONFIG_ENV") or variables.get("NODE_ENV") or "development"
    names = ("default", mode, "local", f"local-{mode}")
    paths = (
        f"../config/{name}.{suffix}"
        for name in names
        if re.fullmatch(r"[\w-]+", name)
        for suffix in ("json", "json5")
    )
    return [path for path in paths if has_file(folder.resolve(), path)]


def _list_named(folder: Path, command: Options) -> list[str]:
    """Return the file that the command line names, if it is JSON in the project; no program is run."""
    name = command.get(_FILE, ("", ""))[0].removeprefix("./")
    is_inside = not name.startswith("/") and ".." not in name.split("/")
    return list_near(folder, name)[-1:] if name.endswith(".json") and is_inside else []


def _read_json(folder: Path, path: str) -> object:
    return _load(read_text(folder.resolve(), path))


def _load(text: str) -> object:
    try:
        return read_json5(text)
    except Json5Invalid:
        return None


def _get(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, dict) else None


def _pick(value: object, path: str) -> Options:
    """Return the options in a section, of which the first schema counts."""
    found: Options = {}
    for name in (_TABLE, _SCHEMA, _OWN_SCHEMA):
        given = _get(value, name)
        first = given[0] if isinstance(given, list) and given else given
        if isinstance(first, str) and first:
            found[name] = (first, path)
    return found
