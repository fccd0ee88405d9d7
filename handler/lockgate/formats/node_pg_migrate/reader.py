"""Reads a folder of node-pg-migrate's SQL migrations (``docs/formats/node-pg-migrate.md``)."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING

from lockgate.core.marker import find_markers
from lockgate.core.migration import Obstacle, Script, Version
from lockgate.core.try_each import try_each
from lockgate.fast_start.dataclass import dataclass
from lockgate.formats.shared.collation import LocaleKey, find_undecided, numeric_key
from lockgate.formats.shared.folder import line_of, read_text
from lockgate.formats.shared.javascript import find_code, list_code, make_code_script
from lockgate.formats.shared.scripts import (
    catalog_by_place,
    down_alone,
    list_names,
    make_script,
    make_versioned,
    read_script,
    unusable_file,
    with_stub,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lockgate.core.catalog import Catalog
    from lockgate.core.migration import Migration

_HALF = re.compile(r"(.*)\.(up|down)\.sql", re.DOTALL)
_PREFIX = re.compile(r"[0-9]+")
_DATE_DIGITS = 17
# White space in JavaScript; the comment, from the first space or dash before its words, so that none is
# read twice; and the line ends of JavaScript.
_SPACE = r"[\s\ufeff]"
_COMMENT = r"(?<![\s\ufeff-])(?P<before>[\s\ufeff-]++)(?a:{way})[\s\ufeff]++(?a:migration)"
_UP = re.compile(_COMMENT.format(way="up"), re.IGNORECASE)
_DOWN = re.compile(_COMMENT.format(way="down"), re.IGNORECASE)
_DASHES = re.compile(rf"(?P<space>{_SPACE}*+)-++")
_LINE_END = re.compile("[\n\r\u2028\u2029]")
_TOOL = "node-pg-migrate"
_TABLE = "pgmigrations"
_TABLE_SQL = """\
CREATE TABLE IF NOT EXISTS pgmigrations (
    id serial PRIMARY KEY,
    name varchar(255) NOT NULL,
    run_on timestamp NOT NULL
)"""


@dataclass(slots=True)
class _Files:
    """The files of one migration: one for both directions, one for each, or a program."""

    single: str | None = None
    up: str | None = None
    down: str | None = None
    code: str | None = None

    @property
    def first(self) -> str:
        """The file to name in a message."""
        return self.single or self.up or self.down or self.code or ""


def recognise(folder: Path) -> str | None:
    """Return the sign: a program that builds migrations, or a comment that only this tool reads."""
    code = find_code(folder, "pgm")
    if code is not None:
        return f"{code} is a node-pg-migrate migration"
    for name in list_names(folder):
        if not _PREFIX.match(name):
            return None
        # A longer comment is prose, although the tool would read it as a marker.
        if any(one.tool == _TOOL for one in find_markers(read_text(folder, name))):
            return f'{name} has the comment "Up Migration" or "Down Migration"'
    return None


def read_folder(folder: Path, variables: Mapping[str, str]) -> Catalog:
    """Read every migration of the folder; subfolders are ignored.

    The tool has no variables: ``variables`` are not used. Like the tool, it ignores text above the
    comment that opens the up script. A program is an obstacle of its migration, and so is a file that
    opens a down script but no up script.

    Raises:
        MigrationFileInvalid: the folder is missing or empty, has a name that does not begin with a
            number, two files for one script, a down file without an up file, or names whose order is
            undefined.
    """
    del variables
    groups = _group_files(list_names(folder))
    for name in list_code(folder):
        files = groups.setdefault(name.rpartition(".")[0], _Files())
        _refuse_second(files.first or None, name)
        files.code = name
    ordered = sorted(groups, key=lambda name: _sort_key(name, groups[name]))
    _refuse_undecided(ordered, groups)
    migrations = try_each(ordered, lambda name: _read_migration(folder, name, groups[name]))
    return with_stub(catalog_by_place(migrations, folder), _TABLE, _TABLE_SQL)


def _group_files(names: list[str]) -> dict[str, _Files]:
    """Return the files by the name that the tool records."""
    groups: dict[str, _Files] = {}
    for name in names:
        half = _HALF.fullmatch(name)
        key = name[: -len(".sql")] if half is None else half[1]
        files = groups.setdefault(key, _Files())
        if half is None:
            _refuse_second(files.single, name)
            files.single = name
        elif half[2] == "up":
            files.up = name
        else:
            files.down = name
        _refuse_second(files.single, files.up or files.down)
    for key, files in groups.items():
        if files.down is not None and files.up is None:
            raise down_alone(files.down, f"{key}.up.sql")
    return groups


def _refuse_second(one: str | None, other: str | None) -> None:
    if one is not None and other is not None:
        raise unusable_file(
            other,
            f"is a second file for the migration {one}",
            "Keep NAME.sql, or NAME.up.sql and NAME.down.sql.",
        )


def _read_migration(folder: Path, name: str, files: _Files) -> Migration:
    version = Version.stored(name)
    if files.code is not None:
        return make_versioned(version, "", make_code_script(files.code, "node-pg-migrate"), None)
    if files.single is not None:
        return make_versioned(version, "", *_cut(read_text(folder, files.single), files.single))
    assert files.up is not None
    down = None if files.down is None else read_script(folder, files.down)
    # To the tool, an empty file is not a down script.
    down = down if down is not None and down.text else None
    return make_versioned(version, "", read_script(folder, files.up), down)


def _cut(text: str, path: str) -> tuple[Script, Script | None]:
    """Divide a text at the first comment of each direction; either may come first."""
    up, down = _find_comment(text, _UP), _find_comment(text, _DOWN)
    if down is None:
        return _piece(text, path, 0 if up is None else up[0], len(text)), None
    if up is None:
        obstacle = Obstacle(
            "opens a down script but no up script; node-pg-migrate would run both as one",
            "Write -- Up Migration on a line above the up script.",
            line_of(text, down[1]),
        )
        whole = replace(make_script(text, path), obstacle=obstacle)
        return whole, _piece(text, path, down[0], len(text))
    first_end = max(up[0], down[0])
    up_end = first_end if up[0] < down[0] else len(text)
    down_end = first_end if down[0] < up[0] else len(text)
    return (
        _piece(text, path, up[0], up_end),
        _piece(text, path, down[0], down_end),
    )


def _find_comment(text: str, comment: re.Pattern[str]) -> tuple[int, int] | None:
    """Return where the first such comment begins, at the start of its line, and where it ends."""
    for found in comment.finditer(text):
        for dashes in _DASHES.finditer(text, *found.span("before")):
            space = dashes.span("space")
            line = 0 if space[0] == 0 else _find_line(text, *space)
            if line is not None and text.startswith("--", space[1]):
                return line, found.end()
    return None


def _find_line(text: str, start: int, end: int) -> int | None:
    """Return the start of the first line that begins between two offsets."""
    found = _LINE_END.search(text, start, end)
    return None if found is None else found.end()


def _piece(text: str, path: str, start: int, end: int) -> Script:
    return make_script(text[start:end], path, first_line=line_of(text, start))


# Order.


def _sort_key(name: str, files: _Files) -> tuple[float, LocaleKey]:
    """Return the number at the start of the name, as a time if it is a date, and the name."""
    prefix = _PREFIX.match(name)
    if prefix is None:
        raise unusable_file(
            files.first,
            "does not begin with a number, by which node-pg-migrate sorts migrations",
            "Rename it, for example to 1700000000000_name.sql, or move it out of the folder.",
        )
    # The tool compares names with their suffix: a_b.sql comes before a.sql.
    return _moment_of(prefix[0], files.first), numeric_key(files.code or f"{name}.sql")


def _moment_of(digits: str, path: str) -> float:
    """Return the number that JavaScript reads from a prefix; 17 digits are a date in UTC."""
    if len(digits) != _DATE_DIGITS:
        return float(digits)
    try:
        moment = datetime.strptime(f"{digits}000", "%Y%m%d%H%M%S%f").replace(tzinfo=UTC)
    except ValueError:
        raise unusable_file(
            path,
            f"begins with 17 digits, which node-pg-migrate reads as a date, but {digits} is not one",
            "Give it a number of another length, or a date: YYYYMMDDhhmmssmmm.",
        ) from None
    return round(moment.timestamp() * 1000)


def _refuse_undecided(names: list[str], groups: dict[str, _Files]) -> None:
    """Refuse names with the same number whose order the tool leaves to the file system."""
    for one, other in pairwise(names):
        (number, key), (next_number, next_key) = (_sort_key(n, groups[n]) for n in (one, other))
        if number == next_number and find_undecided((key, next_key)) is not None:
            raise unusable_file(
                groups[other].first,
                f"cannot be sorted: to node-pg-migrate its name is equal to that of {groups[one].first}",
                "Give one of the two another number.",
            )
