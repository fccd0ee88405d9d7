"""Reads a folder of Alembic's revisions: Python files that build on each other.

It only reads their syntax, so that listing, planning and adopting them needs no library and runs none
of their code. `postgres.apply.alembic_step` runs them with the alembic library; `env.py` is never run.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

from lockgate.core.catalog import Catalog, make_listed_catalog
from lockgate.core.checksum import text_checksum
from lockgate.core.migration import (
    Direction,
    Kind,
    Language,
    Migration,
    Obstacle,
    Options,
    Script,
    Version,
)
from lockgate.core.try_each import try_each
from lockgate.formats.alembic.config import Locations, find_locations
from lockgate.formats.alembic.order import Graph, find_ancestors, make_graph, sort_revisions
from lockgate.formats.alembic.revision import Revision, read_revision
from lockgate.formats.shared.folder import (
    has_file,
    list_files,
    no_migrations,
    read_content,
    read_text,
    require_folder,
)
from lockgate.formats.shared.scripts import unusable_file, with_stub
from lockgate.formats.tool import ForeignRow, ForeignState

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from lockgate.errors import MigrationFileInvalid
    from lockgate.formats.tool import ForeignHistory

_BOM = "\ufeff"
_LIBRARY = "alembic"
_TABLE = "alembic_version"
_TABLE_SQL = """
CREATE TABLE IF NOT EXISTS alembic_version (
    version_num varchar(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
)
"""
_REVISION = re.compile(r"^(?:down_revision|revision)\b[^=\n]*=", re.MULTILINE)
_MISSING_LIBRARY = Obstacle(
    "needs the alembic library, which is not installed",
    "In a terminal: pip install 'alembic>=1.13,<2'. For a function, add it to the package or to a layer:"
    " pip install --target LAYER/python 'alembic>=1.13,<2'.",
    1,
    library=_LIBRARY,
)


def recognise(folder: Path) -> str | None:
    """Return the file that identifies an Alembic project, or a file of a revision."""
    for name in ("alembic.ini", "env.py", "script.py.mako"):
        if has_file(folder, name):
            return f"it has {name}"
    for path in list_files(folder, (".py",)):
        text = read_content(folder, path).decode("utf-8", "replace")
        if "/" not in path and len(set(_REVISION.findall(text))) > 1:
            return f"{path} has a revision and a down_revision"
    return None


def read_folder(folder: Path, _variables: Mapping[str, str]) -> Catalog:
    """Read all revisions in the order of ``alembic upgrade heads``.

    ``folder`` is the project (with ``alembic.ini``), its script folder, or the folder of revisions.

    Raises:
        MigrationFileInvalid: the folder is missing or empty, a file is not a revision, or revisions
            are duplicate, missing, or form a circle.
    """
    graph = _read_graph(folder)
    found = find_spec(_LIBRARY)
    migrations = [
        _make_migration(folder, graph.revisions[name], None if found else _MISSING_LIBRARY)
        for name in sort_revisions(graph)
    ]
    return with_stub(make_listed_catalog(migrations, str(folder)), _TABLE, _TABLE_SQL)


def complete_history(folder: Path, history: ForeignHistory) -> ForeignHistory:
    """Return a row for each revision that the table's heads imply: they and all their ancestors.

    Raises:
        MigrationFileInvalid: the folder cannot be read.
    """
    graph = _read_graph(folder)
    known = [head for head in history.heads if head in graph.revisions]
    applied = {name for head in known for name in find_ancestors(head, graph.parents)}
    rows = [
        ForeignRow(name, graph.revisions[name].title)
        for name in sort_revisions(graph)
        if name in applied
    ]
    rows += [_unknown_head(head) for head in history.heads if head not in graph.revisions]
    return replace(history, rows=tuple(rows), heads=())


def _unknown_head(head: str) -> ForeignRow:
    return ForeignRow(
        head,
        state=ForeignState.UNKNOWN,
        detail=(
            f"Alembic's table has the revision {head}, which no file defines: the database is ahead of"
            " this folder, or belongs to another project. Use the folder that was deployed last."
        ),
    )


def _read_graph(folder: Path) -> Graph:
    require_folder(folder)
    locations = find_locations(folder)
    paths = list(_list_revisions(folder, locations))
    if not paths:
        raise no_migrations(folder)
    graph = make_graph(try_each(paths, partial(_read_file, folder)))
    _refuse_continued(folder, graph, _list_passed_over(folder, locations, set(paths)))
    return graph


def _read_file(folder: Path, path: str) -> Revision:
    return read_revision(read_text(folder, path).removeprefix(_BOM), path)


def _list_revisions(folder: Path, locations: Locations) -> Iterator[str]:
    seen: set[str] = set()
    for path, is_below in _list_python(folder, locations):
        if path in seen:
            continue
        seen.add(path)
        if not is_below or locations.recursive:
            yield path
        elif not locations.is_configured and _REVISION.search(read_text(folder, path)):
            raise _in_subfolder(path)


def _list_passed_over(folder: Path, locations: Locations, taken: set[str]) -> list[str]:
    """Return files in subfolders that look like revisions and are not read."""
    below = (path for path, is_below in _list_python(folder, locations) if is_below)
    return [p for p in below if p not in taken and _REVISION.search(read_text(folder, p))]


def _list_python(folder: Path, locations: Locations) -> Iterator[tuple[str, bool]]:
    """Yield each Python file, and whether it is in a subfolder of its location."""
    for place in locations.folders:
        for name in list_files(folder / place, (".py",)):
            if name.endswith(".py"):
                yield name if place == "." else f"{place}/{name}", "/" in name


def _refuse_continued(folder: Path, graph: Graph, passed_over: list[str]) -> None:
    """Refuse to ignore a revision that builds on one that is read.

    Projects pass such folders to Alembic from their own programs (``version_locations``).
    """
    for path in passed_over:
        revision = _read_file(folder, path)
        if any(name in graph.revisions for name in (*revision.downs, *revision.depends)):
            raise _in_subfolder(path)


def _in_subfolder(path: str) -> MigrationFileInvalid:
    return unusable_file(
        path,
        "is a revision in a subfolder, which Alembic reads only if its configuration says so",
        "Set LOCKGATE_MIGRATIONS (or --dir) to the folder that has alembic.ini. If the project's own"
        " program names such folders, put an alembic.ini beside versions: [alembic],"
        " script_location = %(here)s, recursive_version_locations = true",
    )


def _make_migration(folder: Path, revision: Revision, missing: Obstacle | None) -> Migration:
    text = read_text(folder, revision.path).removeprefix(_BOM)

    def script(direction: Direction) -> Script:
        return Script(
            text=text,
            path=revision.path,
            first_line=1,
            language=Language.PYTHON,
            options=Options(transaction=False if direction in revision.ends_transaction else None),
            checksum=text_checksum(text),
            obstacle=revision.obstacle or revision.idle.get(direction) or missing,
            is_empty=direction is Direction.DOWN and revision.is_down_empty,
            origin=str((folder / revision.path).absolute()),
        )

    return Migration(
        Version((), revision.revision),
        revision.title,
        Kind.VERSIONED,
        script(Direction.UP),
        script(Direction.DOWN) if revision.has_down else None,
    )
