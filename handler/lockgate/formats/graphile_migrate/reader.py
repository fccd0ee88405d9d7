"""Reads a folder of graphile-migrate's committed migrations (``docs/formats/graphile-migrate.md``).

Checks the headers and the chain of hashes, and fills in placeholders. ``current.sql`` is not read: it is
not deployed.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from lockgate.core.catalog import TableStub
from lockgate.core.migration import Version
from lockgate.core.try_each import try_each
from lockgate.fast_start.dataclass import dataclass
from lockgate.formats.graphile_migrate.gmrc import Settings, read_settings
from lockgate.formats.graphile_migrate.placeholders import fill_placeholders, find_obstacle
from lockgate.formats.shared.folder import has_folder, read_text, require_folder
from lockgate.formats.shared.scripts import (
    catalog_by_place,
    list_names,
    make_script,
    make_versioned,
    unusable_file,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lockgate.core.catalog import Catalog
    from lockgate.core.migration import Migration, Script
    from lockgate.errors import MigrationFileInvalid

_COMMITTED = "committed"
_NAME = re.compile(r"([0-9]+)(?:-([-_a-zA-Z0-9]*))?\.sql")
_HEADER = re.compile(r"--! ([A-Z][a-zA-Z0-9_]*)(?::([^\n\r\u2028\u2029]*))?")
_NO_TRANSACTION = re.compile(r"--!\s*no-transaction\b")
# The characters that JavaScript's trim() removes.
_SPACE = (
    "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)
_FIRST = "-"
_SCHEMA = "graphile_migrate"
_TABLE = "graphile_migrate.migrations"
_TABLE_SQL = """\
CREATE SCHEMA IF NOT EXISTS graphile_migrate;
CREATE TABLE IF NOT EXISTS graphile_migrate.migrations (
    hash text PRIMARY KEY,
    previous_hash text REFERENCES graphile_migrate.migrations,
    filename text NOT NULL,
    date timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS graphile_migrate.current (
    filename text PRIMARY KEY DEFAULT 'current.sql',
    content text NOT NULL,
    date timestamptz NOT NULL DEFAULT now()
)"""


@dataclass(frozen=True, slots=True)
class _Committed:
    """One committed file. ``text`` is the part after the headers, which begins at ``first_line``."""

    path: str
    number: str
    slug: str
    text: str
    first_line: int
    previous: str | None
    hash: str
    allows_invalid: bool


def recognise(folder: Path) -> str | None:
    """Return the sign that a committed migration has a header with the hash of the previous one."""
    place = folder / _COMMITTED if has_folder(folder, _COMMITTED) else folder
    for name in list_names(place):
        if _NAME.fullmatch(name) and read_text(place, name).startswith("--! Previous: "):
            return f"{name} begins with --! Previous:"
    return None


def read_folder(folder: Path, variables: Mapping[str, str]) -> Catalog:
    """Read every migration in ``committed``; ``folder`` is that folder or its parent.

    ``variables`` have the values of placeholders that ``.gmrc`` takes from the environment, and
    DATABASE_NAME, DATABASE_OWNER and DATABASE_URL.

    Raises:
        MigrationFileInvalid: the folder is missing or empty, a header is missing or duplicate, the
            chain of hashes is broken, a text does not match its hash, or ``.gmrc`` is not supported.
            A placeholder without a value is an obstacle of its migration.
    """
    require_folder(folder)
    is_above = has_folder(folder, _COMMITTED)
    prefix = f"{_COMMITTED}/" if is_above else ""
    named = [
        match
        for name in list_names(folder / _COMMITTED if is_above else folder)
        if (match := _NAME.fullmatch(name))
    ]
    found = try_each(named, lambda match: _read_file(folder, f"{prefix}{match[0]}", match))
    # As text, like graphile-migrate: 10.sql comes before 9.sql.
    committed = sorted(found, key=lambda one: f"{one.number}.sql")
    _refuse_broken_chain(committed)
    near = folder.resolve()
    places = [near, near.parent] if is_above else [near, near.parent, near.parent.parent]
    settings = read_settings(places, variables)
    catalog = catalog_by_place([_make_migration(one, settings) for one in committed], folder)
    if any(_SCHEMA in one.text for one in committed):
        return replace(catalog, stub=TableStub(_TABLE, _TABLE_SQL))
    return catalog


def _make_migration(one: _Committed, settings: Settings) -> Migration:
    return make_versioned(Version.parse(one.number), one.slug, _make_script(one, settings), None)


# Headers and hashes.


def _read_file(folder: Path, path: str, name: re.Match[str]) -> _Committed:
    lines = read_text(folder, path).split("\n")
    headers: dict[str, str] = {}
    for line in lines:
        match = _HEADER.fullmatch(line)
        if match is None:
            break
        if match[1] in headers:
            raise _refused(path, f"has the header {match[1]} twice", line=len(headers) + 1)
        headers[match[1]] = (match[2] or "").strip(_SPACE)
    count = len(headers)
    if count == len(lines) or lines[count] != "":
        _refuse_separator(path, lines, count)
    for key in ("Previous", "Hash"):
        if not headers.get(key):
            raise _refused(path, f"has no header --! {key}:", line=1)
    return _Committed(
        path=path,
        number=name[1],
        slug=name[2] or "",
        text="\n".join(lines[count:]),
        first_line=count + 1,
        previous=None if headers["Previous"] == _FIRST else headers["Previous"],
        hash=headers["Hash"],
        allows_invalid="AllowInvalidHash" in headers,
    )


def _refuse_separator(path: str, lines: list[str], count: int) -> None:
    line = min(count, len(lines) - 1)
    if lines[line].endswith("\r"):
        raise unusable_file(
            path,
            "ends its lines with CR LF, which its hash does not cover",
            "Check it out with LF: put *.sql -text into .gitattributes.",
            line=line + 1,
        )
    raise _refused(path, "has no empty line after its headers", line=line + 1)


def _refuse_broken_chain(committed: list[_Committed]) -> None:
    before: _Committed | None = None
    for one in committed:
        if before is not None and before.number == one.number:
            raise _refused(one.path, f"has the number of {before.path}")
        expected = None if before is None else before.hash
        if one.previous != expected:
            where = "it is the first" if before is None else f"{before.path} has {before.hash}"
            raise unusable_file(
                one.path,
                f"follows the hash {one.previous or _FIRST}, but {where}",
                "Restore all committed files from version control.",
                line=1,
            )
        _refuse_wrong_hash(one)
        before = one


def _refuse_wrong_hash(one: _Committed) -> None:
    actual = _hash_of(one.text, one.previous)
    if actual != one.hash and not one.allows_invalid:
        raise unusable_file(
            one.path,
            f"has the hash {actual}, but its header has {one.hash}: it was edited",
            "Restore the file from version control, and put the change in a new migration. If the edit"
            " is intended, add the header --! AllowInvalidHash.",
        )
    if actual == one.hash and one.allows_invalid:
        raise _refused(one.path, "has the header AllowInvalidHash and a valid hash")


def _hash_of(text: str, previous: str | None) -> str:
    whole = f"{previous or ''}\n{text.strip(_SPACE)}".strip(_SPACE) + "\n"
    return "sha1:" + hashlib.sha1(whole.encode(), usedforsecurity=False).hexdigest()


# Texts.


def _make_script(one: _Committed, settings: Settings) -> Script:
    """Return the text with its placeholders filled in; one that cannot be is an obstacle."""
    values = settings.placeholders
    obstacle = find_obstacle(one.text, one.first_line, values)
    filled = one.text if obstacle is not None else fill_placeholders(one.text, values)
    first = filled.strip(_SPACE).partition("\n")[0]
    # The text begins with the empty line after the headers, which takes the session's settings.
    sent = settings.session + filled
    script = make_script(
        one.text,
        one.path,
        first_line=one.first_line,
        transaction=False if _NO_TRANSACTION.match(first) else None,
        substituted=None if sent == one.text else sent,
        hidden=tuple(sorted(value for value in values.hidden if value in filled)),
    )
    return replace(script, obstacle=obstacle)


def _refused(path: str, why: str, *, line: int | None = None) -> MigrationFileInvalid:
    return unusable_file(
        path,
        why,
        "Restore the file as graphile-migrate committed it; graphile-migrate stops here too.",
        line=line,
    )
