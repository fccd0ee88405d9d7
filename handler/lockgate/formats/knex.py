"""SQL files that a project runs through Knex (``docs/formats/knex.md``): a folder to a catalog.

Knex itself reads JavaScript only. Knows how projects put SQL beside it: pairs of NAME.up.sql and
NAME.down.sql, with or without the one-line script of knex-migrate-sql-file, and NAME.sql. Runs no
JavaScript.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lockgate.core.migration import Script, Version
from lockgate.core.sql import TokenKind, tokenize
from lockgate.formats.folder import line_of, read_text
from lockgate.formats.javascript import CODE, code_refused, find_code
from lockgate.formats.scripts import (
    catalog_by_place,
    down_alone,
    list_names,
    make_script,
    make_versioned,
    unusable_file,
    with_stand_in,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lockgate.core.catalog import Catalog
    from lockgate.core.migration import Migration

_SUFFIX = ".sql"
_HALF = re.compile(r"(.+)([._-])(up|down)\.sql", re.DOTALL | re.IGNORECASE)
_POSTGRATOR = re.compile(r"[0-9]+\.(?:do|undo)\.(?:.*\.)?sql", re.DOTALL | re.IGNORECASE)
_COMMENT = re.compile(r"//[^\n\r]*|/\*.*?\*/", re.DOTALL)
_STUB = re.compile(
    r"""\s*(?:(['"])use\ strict\1\s*;?\s*)?
    module\.exports\s*=\s*require\(\s*(['"`])(?:knex-migrate-sql-file|knex-sql-file-migration)\2\s*\)
    \(\s*\)\s*;?\s*
    (?:module\.exports\.config\s*=\s*\{\s*transaction\s*:\s*(true|false)\s*,?\s*\}\s*;?\s*)?""",
    re.VERBOSE,
)
_STUB_TRANSACTION = 3
# A line that opens an undoing part to some tool or to a project's own code.
_DOWN_MARKER = re.compile(
    r"^[ \t]*--[ \t]*(?:\+[a-z]+[ \t]+|migrate:|rambler[ \t]+|@)?"
    r"(?:down|undo|rollback|revert)\b(?:[ \t]+migration\b)?[ \t:-]*$",
    re.MULTILINE | re.IGNORECASE,
)
_QUESTION = re.compile(r"(\\*)\?")
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
    """The files of one migration: a single one, or one for each direction; and its script."""

    single: str | None = None
    up: str | None = None
    down: str | None = None
    stub: str | None = None


def recognise(folder: Path) -> str | None:
    """Return that a script in the folder is one of Knex's."""
    for name in list_names(folder, (".js",)):
        if _read_stub(folder, name) is not None:
            return f"{name} runs SQL files through Knex"
    code = find_code(folder, "knex")
    return None if code is None else f"{code} is a Knex migration"


def read_folder(folder: Path, variables: Mapping[str, str]) -> Catalog:
    """Read every migration in ``folder``, not in folders below it, in the order of names.

    Nothing is substituted but the question marks that ``knex.raw`` replaces: ``variables`` are not
    used.

    Raises:
        MigrationFileInvalid: the folder is missing or empty, or holds JavaScript that does more than
            to run its SQL files, Postgrator's names, a down script alone, or one file too many.
    """
    del variables
    groups = _group_files(list_names(folder))
    _add_stubs(folder, groups)
    migrations = [
        _read_migration(folder, name, groups[name]) for name in sorted(groups, key=_sort_key)
    ]
    catalog = catalog_by_place(migrations, folder)
    with_lock = with_stand_in(catalog, _LOCK_TABLE, _TABLE_SQL)
    return with_stand_in(with_lock, _TABLE, _TABLE_SQL)


def _sort_key(name: str) -> bytes:
    """Return what JavaScript sorts by: the UTF-16 of the file's name, whose suffix begins with a dot."""
    return f"{name}.".encode("utf-16-be")


# Names.


def _group_files(names: list[str]) -> dict[str, _Files]:
    """Return the files by the name that Knex records, its suffix taken off."""
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
    """Tell whether a name means a direction: scale_up.sql alone is no half of anything."""
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
            f"is a second file of the migration in {one}",
            "Keep NAME.sql, or NAME.up.sql and NAME.down.sql.",
        )


def _refuse_postgrator(name: str) -> None:
    if _POSTGRATOR.fullmatch(name):
        raise unusable_file(
            name,
            "is named as Postgrator's migrations are, which Lockgate does not read",
            "Name the pair NAME.up.sql and NAME.down.sql, and baseline.",
        )


# Scripts beside the SQL.


def _add_stubs(folder: Path, groups: dict[str, _Files]) -> None:
    for name in list_names(folder, CODE):
        files = groups.get(name.rpartition(".")[0])
        if _read_stub(folder, name) is None:
            raise code_refused(name, "knex")
        if files is None or files.up is None:
            key = name.rpartition(".")[0]
            raise unusable_file(
                name, f"runs {key}.up.sql, which is not there", "Restore the SQL file."
            )
        files.stub = name
    _refuse_without_stub(groups)


def _refuse_without_stub(groups: dict[str, _Files]) -> None:
    """Refuse SQL that Knex never sees, where it sees the others through their scripts."""
    if all(files.stub is None for files in groups.values()):
        return
    for key, files in groups.items():
        if files.stub is None:
            raise unusable_file(
                files.up or files.single or key,
                f"has no {key}.js beside it, as others have, so Knex does not run it",
                f"Add {key}.js, or move the SQL file out of the folder.",
            )


def _read_stub(folder: Path, name: str) -> re.Match[str] | None:
    """Return what knex-migrate-sql-file's script says, if the file is that and nothing more."""
    if not name.endswith(".js"):
        return None
    return _STUB.fullmatch(_COMMENT.sub("", read_text(folder, name)))


# Texts.


def _read_migration(folder: Path, name: str, files: _Files) -> Migration:
    transaction = None
    if files.stub is not None:
        stub = _read_stub(folder, files.stub)
        transaction = False if stub is not None and stub[_STUB_TRANSACTION] == "false" else None
    path = files.up or files.single
    assert path is not None
    up = _read_script(folder, path, transaction=transaction)
    if files.single is not None:
        _refuse_down_marker(up)
    down = None if files.down is None else _read_script(folder, files.down, transaction=transaction)
    return make_versioned(Version.stored(name), "", up, down)


def _refuse_down_marker(script: Script) -> None:
    found = _DOWN_MARKER.search(script.text)
    if found is not None:
        raise unusable_file(
            script.path,
            f'has the line "{found[0].strip()}": what follows would be run with the rest',
            "Put what undoes into NAME.down.sql; if the line says nothing, reword the comment.",
            line=line_of(script.text, found.start()),
        )


def _read_script(folder: Path, path: str, *, transaction: bool | None) -> Script:
    text = read_text(folder, path)
    sent = _as_raw_sends(text, path) if "?" in text else text
    return make_script(
        text, path, transaction=transaction, substituted=None if sent == text else sent
    )


def _as_raw_sends(text: str, path: str) -> str:
    r"""Return what ``knex.raw`` makes of a text.

    ``\?`` is sent as a question mark, ``?`` as ``$1``, ``$2`` and so on. In a string or a comment that
    goes unnoticed, and is what Knex has sent ever since.
    """
    count = 0
    probe: list[str] = []
    pieces: list[str] = []
    behind = 0
    for match in _QUESTION.finditer(text):
        between = text[behind : match.start()]
        is_escaped = len(match[1]) % 2 == 1
        count += not is_escaped
        pieces += (between, "?" if is_escaped else f"${count}")
        probe += (between, "~" * len(match[1]), "~" if is_escaped else "?")
        behind = match.end()
    _refuse_parameters("".join([*probe, text[behind:]]), path)
    return "".join([*pieces, text[behind:]])


def _refuse_parameters(probe: str, path: str) -> None:
    """Refuse a question mark that stands as SQL: Knex would send a parameter without its value."""
    for token in tokenize(probe):
        if token.kind is TokenKind.OPERATOR and "?" in probe[token.start : token.end]:
            raise unusable_file(
                path,
                r"has a question mark that knex.raw takes for a parameter",
                r"Write \? for the operator, as knex.raw wants it; Lockgate sends ? then.",
                line=line_of(probe, token.start),
            )
