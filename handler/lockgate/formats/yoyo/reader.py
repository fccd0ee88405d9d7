"""Reads a folder of yoyo: ``NAME.sql`` with ``NAME.rollback.sql``, and Python files with SQL steps.

`yoyo.python` reads the Python files, without running them.
"""

from __future__ import annotations

import re
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from lockgate.core.catalog import Catalog, make_listed_catalog
from lockgate.core.migration import Kind, Migration, Version
from lockgate.core.try_each import try_each
from lockgate.fast_start.dataclass import dataclass
from lockgate.formats.shared.folder import no_migrations, read_content, read_text, require_folder
from lockgate.formats.shared.scripts import (
    list_names,
    make_script,
    refuse_duplicates,
    unusable_file,
    with_stub,
)
from lockgate.formats.yoyo.python import read_python_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from lockgate.core.migration import Script
    from lockgate.errors import MigrationFileInvalid

_ROLLBACK = ".rollback.sql"
_HOOK = "post-apply"
# Left over by yoyo's editor; yoyo ignores them.
_UNFINISHED = "_tmp_yoyonew"
_DIRECTIVE = re.compile(r"\s*--\s*(transactional|depends)\s*:\s*(.*)")
_COMMENT = re.compile(r"\s*(?:--.*)?")
_LINE_END = re.compile(r"\r\n|\n|\r")
_FROM_YOYO = re.compile(r"^[ \t]*(?:from[ \t]+yoyo[ \t]+import|import[ \t]+yoyo)\b", re.MULTILINE)
_TABLE = "_yoyo_migration"
_TABLE_SQL = """
CREATE TABLE IF NOT EXISTS _yoyo_migration (
    migration_hash varchar(64) PRIMARY KEY,
    migration_id varchar(255),
    applied_at_utc timestamp
)
"""


@dataclass(frozen=True, slots=True)
class YoyoFile:
    """One migration and its dependencies, which are on ``line``."""

    migration: Migration
    depends: tuple[str, ...]
    line: int

    @property
    def name(self) -> str:
        """The id: the file's name without its extension."""
        return self.migration.migration_id


@dataclass(frozen=True, slots=True)
class _Header:
    """The directives above the first statement of an SQL file."""

    depends: tuple[str, ...] = ()
    line: int = 1
    transaction: bool | None = None


def recognise(folder: Path) -> str | None:
    """Return a directive, a rollback file or an import that only yoyo's files have."""
    names = [name for name in list_names(folder, (".sql", ".py")) if _is_migration(name)]
    for name in names:
        if name.endswith(_ROLLBACK):
            if f"{name.removesuffix(_ROLLBACK)}.sql" in names:
                return f"{name} is beside its migration"
            continue
        text = read_content(folder, name).decode("utf-8", "replace")
        if name.endswith(".py") and _FROM_YOYO.search(text):
            return f"{name} imports yoyo"
        found = next((m[1] for m in _header_lines(text) if m is not None), None)
        if name.endswith(".sql") and found is not None:
            return f"{name} has -- {found}:"
    return None


def read_folder(folder: Path, _variables: Mapping[str, str]) -> Catalog:
    """Read every migration in ``folder``, in yoyo's order.

    Raises:
        MigrationFileInvalid: the folder is missing or empty, has a post-apply hook, two files have
            the same id, a directive is wrong, or dependencies are missing or form a circle.
    """
    require_folder(folder)
    names = [name for name in list_names(folder, (".sql", ".py")) if _is_migration(name)]
    known = set(names)
    taken = [name for name in names if not name.endswith(_ROLLBACK)]
    files = try_each(taken, lambda name: _read_file(folder, name, known))
    if not files:
        raise no_migrations(folder)
    refuse_duplicates(file.migration for file in files)
    ordered = [file.migration for file in sort_files(files)]
    return with_stub(make_listed_catalog(ordered, str(folder)), _TABLE, _TABLE_SQL)


def sort_files(files: list[YoyoFile]) -> list[YoyoFile]:
    """Sort files after their dependencies, and otherwise in the given order.

    Among the files whose dependencies are complete, the first in the given order comes next.

    Raises:
        MigrationFileInvalid: a dependency is missing, or dependencies form a circle.
    """
    places = {file.name: place for place, file in enumerate(files)}
    waits = {place: _find_needs(file, places) for place, file in enumerate(files)}
    waiting_for: dict[int, list[int]] = {place: [] for place in waits}
    for place, needs in waits.items():
        for need in needs:
            waiting_for[need].append(place)
    ready = [place for place, needs in waits.items() if not needs]
    ordered: list[int] = []
    while ready:
        done = heappop(ready)
        ordered.append(done)
        for place in waiting_for[done]:
            waits[place].remove(done)
            if not waits[place]:
                heappush(ready, place)
    if len(ordered) < len(files):
        _refuse_circle([files[place] for place, needs in waits.items() if needs])
    return [files[place] for place in ordered]


def _find_needs(file: YoyoFile, places: dict[str, int]) -> set[int]:
    for name in file.depends:
        if name not in places:
            raise unusable_file(
                file.migration.path,
                f"depends on {name}, which is not a migration in this folder",
                "Correct the name, which is a file's name without its extension, or add the file.",
                line=file.line,
            )
    return {places[name] for name in file.depends}


def _refuse_circle(files: list[YoyoFile]) -> None:
    first = files[0]
    names = ", ".join(file.name for file in files)
    raise unusable_file(
        first.migration.path,
        f"is part of a circle of dependencies: {names}",
        "Remove one of the dependencies.",
        line=first.line,
    )


def _is_migration(name: str) -> bool:
    # yoyo ignores a suffix in capitals.
    return name.endswith((".sql", ".py")) and not name.startswith(_UNFINISHED)


def _read_file(folder: Path, name: str, names: set[str]) -> YoyoFile:
    version = name.rpartition(".")[0]
    if version.startswith(_HOOK):
        raise unusable_file(
            name,
            "is a hook that yoyo runs after every run, and Lockgate has no hooks",
            "Move it out of the folder. Make it a step of the deploy, or use ALTER DEFAULT PRIVILEGES"
            " in a migration.",
        )
    text = read_text(folder, name)
    if name.endswith(".py"):
        found = read_python_file(text, name)
        return YoyoFile(
            _make_migration(version, found.up, found.down), found.depends, found.depends_line
        )
    header = _read_header(text, name)
    up = make_script(text, name, transaction=header.transaction)
    rollback = f"{version}{_ROLLBACK}"
    down = None
    if rollback in names:
        down = make_script(read_text(folder, rollback), rollback, transaction=header.transaction)
    return YoyoFile(_make_migration(version, up, down), header.depends, header.line)


def _make_migration(version: str, up: Script, down: Script | None) -> Migration:
    return Migration(Version((), version), "", Kind.VERSIONED, up, down)


def _header_lines(text: str) -> Iterable[re.Match[str] | None]:
    """Yield a match for each directive above the first statement, ``None`` for other lines."""
    for line in _LINE_END.split(text.removeprefix("\ufeff")):
        directive = _DIRECTIVE.fullmatch(line)
        if directive is None and _COMMENT.fullmatch(line) is None:
            return
        yield directive


def _read_header(text: str, path: str) -> _Header:
    depends: list[str] = []
    first_line = 1
    transactional_at = 0
    value = ""
    for line, directive in enumerate(_header_lines(text), start=1):
        if directive is None:
            continue
        if directive[1] == "depends":
            first_line = line if not depends else first_line
            depends += directive[2].split()
        else:
            transactional_at = line
            value = f"{value} {directive[2]}".strip().lower()
    if not transactional_at:
        return _Header(tuple(depends), first_line)
    if value not in {"true", "false"}:
        raise _wrong_value(path, transactional_at, value)
    return _Header(tuple(depends), first_line, value == "true")


def _wrong_value(path: str, line: int, value: str) -> MigrationFileInvalid:
    return unusable_file(
        path,
        f'has transactional: "{value}", which is neither true nor false',
        "Write -- transactional: false, once.",
        line=line,
    )
