"""Reads a folder of SQL files that a project runs with Knex (``docs/formats/knex.md``).

Knex itself only runs JavaScript. Projects put SQL beside it: pairs of NAME.up.sql and NAME.down.sql,
with or without the one-line program of knex-migrate-sql-file, or NAME.sql.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from lockgate.core.migration import Script, Version
from lockgate.core.try_each import try_each
from lockgate.fast_start.dataclass import dataclass
from lockgate.formats.knex.raw import as_raw_sends
from lockgate.formats.shared.folder import read_text
from lockgate.formats.shared.javascript import find_code, list_code, make_code_script
from lockgate.formats.shared.scripts import (
    catalog_by_place,
    down_alone,
    list_names,
    make_script,
    make_versioned,
    unusable_file,
    with_stub,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lockgate.core.catalog import Catalog
    from lockgate.core.migration import Migration

_SUFFIX = ".sql"
_HALF = re.compile(r"(.+)([._-])(up|down)\.sql", re.DOTALL | re.IGNORECASE)
_POSTGRATOR = re.compile(r"[0-9]+\.(?:do|undo)\.(?:.*\.)?sql", re.DOTALL | re.IGNORECASE)
# A comment without an end stays.
_COMMENT = re.compile(r"//[^\n\r]*|/\*.*?\*/|(?P<open>/\*.*)", re.DOTALL)
_STUB = re.compile(
    r"""\s*+(?:(['"])use\ strict\1\s*+;?+\s*+)?
    module\.exports\s*=\s*require\(\s*(['"`])(?:knex-migrate-sql-file|knex-sql-file-migration)\2\s*\)
    \(\s*\)\s*+;?+\s*+
    (?:module\.exports\.config\s*=\s*\{\s*transaction\s*:\s*(true|false)\s*+,?+\s*+\}\s*+;?+\s*+)?""",
    re.VERBOSE,
)
_STUB_TRANSACTION = 3
_TABLE = "knex_migrations"
_LOCK_TABLE = "knex_migrations_lock"
_TABLE_SQL = """\
CREATE TABLE IF NOT EXISTS knex_migrations (
    id serial PRIMARY KEY,
    name varchar(255),
    batch integer,
    migration_time timestamptz
);
CREATE TABLE IF NOT EXISTS knex_migrations_lock (
    index serial PRIMARY KEY,
    is_locked integer
)"""


@dataclass(slots=True)
class _Files:
    """The files of one migration: one for both directions or one for each, and its program."""

    single: str | None = None
    up: str | None = None
    down: str | None = None
    stub: str | None = None
    code: str | None = None


def recognise(folder: Path) -> str | None:
    """Return the sign that a program in the folder is a Knex migration."""
    for name in list_names(folder, (".js",)):
        if _read_stub(folder, name) is not None:
            return f"{name} runs SQL files through Knex"
    code = find_code(folder, "knex")
    return None if code is None else f"{code} is a Knex migration"


def read_folder(folder: Path, variables: Mapping[str, str]) -> Catalog:
    """Read every migration of the folder in the order of names; subfolders are ignored.

    Only the question marks that ``knex.raw`` replaces are replaced; ``variables`` are not used. A
    program that does more than run its SQL files is an obstacle of its migration, and so is a question
    mark that Knex cannot send.

    Raises:
        MigrationFileInvalid: the folder is missing or empty, or has Postgrator's names, a down file
            without an up file, a surplus file, or a missing one.
    """
    del variables
    groups = _group_files(list_names(folder))
    _add_code(folder, groups)
    migrations = try_each(
        sorted(groups, key=_sort_key), lambda name: _read_migration(folder, name, groups[name])
    )
    catalog = catalog_by_place(migrations, folder)
    with_lock = with_stub(catalog, _LOCK_TABLE, _TABLE_SQL)
    return with_stub(with_lock, _TABLE, _TABLE_SQL)


def _sort_key(name: str) -> bytes:
    """Return JavaScript's sort key: the UTF-16 of the file's name, whose suffix begins with a dot."""
    return f"{name}.".encode("utf-16-be")


# Names.


def _group_files(names: list[str]) -> dict[str, _Files]:
    """Return the files by the name that Knex records, without its suffix."""
    known = set(names)
    groups: dict[str, _Files] = {}
    for name in names:
        _refuse_postgrator(name)
        half = _HALF.fullmatch(name)
        if half is not None and _is_half(half, known):
            files = groups.setdefault(half[1], _Files())
            _set_half(files, half[3].lower(), name)
        else:
            files = groups.setdefault(name[: -len(_SUFFIX)], _Files())
            _refuse_second(files.single, name)
            files.single = name
        _refuse_second(files.single, files.up or files.down)
    for key, files in groups.items():
        if files.down is not None and files.up is None:
            raise down_alone(files.down, f"{key}.up.sql")
    return groups


def _is_half(half: re.Match[str], known: set[str]) -> bool:
    """Return whether a name has a direction; scale_up.sql has none without scale_down.sql."""
    name, separator, direction = half[1], half[2], half[3].lower()
    other = {"up": "down", "down": "up"}[direction]
    return separator == "." or direction == "down" or f"{name}{separator}{other}.sql" in known


def _set_half(files: _Files, direction: str, name: str) -> None:
    if direction == "up":
        _refuse_second(files.up, name)
        files.up = name
    else:
        _refuse_second(files.down, name)
        files.down = name


def _refuse_second(one: str | None, other: str | None) -> None:
    if one is not None and other is not None:
        raise unusable_file(
            other,
            f"is a second file for the migration {one}",
            "Keep NAME.sql, or NAME.up.sql and NAME.down.sql.",
        )


def _refuse_postgrator(name: str) -> None:
    if _POSTGRATOR.fullmatch(name):
        raise unusable_file(
            name,
            "has the name of a Postgrator migration, which Lockgate does not read",
            "Name the pair NAME.up.sql and NAME.down.sql, and baseline.",
        )


# Programs beside the SQL.


def _add_code(folder: Path, groups: dict[str, _Files]) -> None:
    for name in list_code(folder):
        key = name.rpartition(".")[0]
        files = groups.setdefault(key, _Files())
        if _read_stub(folder, name) is None:
            files.code = name
            continue
        if files.up is None:
            raise unusable_file(
                name, f"runs {key}.up.sql, which is missing", "Restore the SQL file."
            )
        files.stub = name
    _refuse_without_stub(groups)


def _refuse_without_stub(groups: dict[str, _Files]) -> None:
    """Refuse an SQL file without a program if others have one: Knex does not run it."""
    if all(files.stub is None for files in groups.values()):
        return
    for key, files in groups.items():
        if files.stub is None and files.code is None:
            raise unusable_file(
                files.up or files.single or key,
                f"has no {key}.js beside it, as other files have, so Knex does not run it",
                f"Add {key}.js, or move the SQL file out of the folder.",
            )


def _read_stub(folder: Path, name: str) -> re.Match[str] | None:
    """Return the match of knex-migrate-sql-file's program, if the file is nothing more."""
    if not name.endswith(".js"):
        return None
    return _STUB.fullmatch(_COMMENT.sub(r"\g<open>", read_text(folder, name)))


# Texts.


def _read_migration(folder: Path, name: str, files: _Files) -> Migration:
    version = Version.stored(name)
    if files.code is not None:
        return make_versioned(version, "", make_code_script(files.code, "knex"), None)
    transaction = None
    if files.stub is not None:
        stub = _read_stub(folder, files.stub)
        transaction = False if stub is not None and stub[_STUB_TRANSACTION] == "false" else None
    path = files.up or files.single
    assert path is not None
    up = _read_script(folder, path, transaction=transaction)
    down = None if files.down is None else _read_script(folder, files.down, transaction=transaction)
    return make_versioned(version, "", up, down)


def _read_script(folder: Path, path: str, *, transaction: bool | None) -> Script:
    text = read_text(folder, path)
    if "?" not in text:
        return make_script(text, path, transaction=transaction)
    sent, obstacle = as_raw_sends(text)
    script = make_script(
        text, path, transaction=transaction, substituted=None if sent == text else sent
    )
    return script if obstacle is None else replace(script, substituted=None, obstacle=obstacle)
