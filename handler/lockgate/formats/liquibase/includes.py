"""Lists the SQL files of a Liquibase folder in order, with the paths that Liquibase records.

It reads root changelogs and ``liquibase.properties``.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from lockgate.fast_start.dataclass import dataclass
from lockgate.formats.liquibase.changelog import (
    SUFFIXES,
    Item,
    is_changelog,
    read_changelog,
    refuse_unknown,
)
from lockgate.formats.liquibase.file import is_formatted
from lockgate.formats.liquibase.parameters import is_for_database, refuse_contexts
from lockgate.formats.liquibase.settings import LiquibaseSettings, read_settings
from lockgate.formats.liquibase.table import normalise_path
from lockgate.formats.shared.folder import list_files, read_text, require_folder
from lockgate.formats.shared.scripts import unusable_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from lockgate.formats.liquibase.parameters import Parameters


@dataclass(frozen=True, slots=True)
class Source:
    """An SQL file: its path in the folder, and the path that Liquibase records."""

    path: str
    changelog_path: str


@dataclass(slots=True)
class _Walk:
    """One walk through a root changelog. ``front`` is the prefix of Liquibase's paths, once known."""

    folder: Path
    parameters: Parameters
    front: str | None = None
    found: list[str] = field(default_factory=list)
    open_files: list[str] = field(default_factory=list)


def list_sources(
    folder: Path, variables: Mapping[str, str], parameters: Parameters
) -> list[Source]:
    """Return the SQL files in the order in which Liquibase reads them.

    Without a root changelog that is the order of their paths, and each must be formatted SQL.

    Raises:
        MigrationFileInvalid: the root changelog has more than includes, or names a missing file;
            several files may be the root; or an SQL file is not formatted.
    """
    require_folder(folder)
    settings = read_settings(folder, variables)
    for name, value in settings.parameters.items():
        parameters.set(name, value)
    changelogs = [path for path in list_files(folder, SUFFIXES) if is_changelog(folder, path)]
    if not changelogs:
        return [_plain_source(folder, path) for path in sorted(list_files(folder, (".sql",)))]
    walk = _Walk(folder, parameters)
    root = _find_root(walk, changelogs, settings)
    _read_changelog(walk, root)
    front = f"{walk.front}/" if walk.front else ""
    return [Source(path, front + path) for path in walk.found]


def _plain_source(folder: Path, path: str) -> Source:
    if not is_formatted(read_text(folder, path)):
        raise unusable_file(
            path,
            "does not begin with --liquibase formatted sql, and no root changelog includes it",
            "Add that line at its top and --changeset author:id below, or remove it from the folder.",
        )
    return Source(path, path)


def _find_root(walk: _Walk, changelogs: list[str], settings: LiquibaseSettings) -> str:
    """Return the changelog that the settings name, or the only one that no other includes."""
    if settings.changelog is not None:
        named = normalise_path(settings.changelog)
        for path in sorted(changelogs, key=len, reverse=True):
            if named == path or named.endswith(f"/{path}"):
                return path
    included = {
        path
        for changelog in changelogs
        for item in read_changelog(walk.folder, changelog)
        for path in _guess_included(walk, changelog, item)
    }
    roots = [path for path in changelogs if path not in included]
    if len(roots) != 1:
        raise unusable_file(
            (roots or changelogs)[0],
            f"is not the only changelog that may be the root: {', '.join(roots or changelogs)}",
            "Set the root as for Liquibase: LIQUIBASE_COMMAND_CHANGELOG_FILE, or changelogFile in"
            " liquibase.properties.",
        )
    return roots[0]


def _guess_included(walk: _Walk, changelog: str, item: Item) -> list[str]:
    probe = _Walk(walk.folder, walk.parameters)
    target = item.attributes.get("file") or item.attributes.get("path")
    if item.kind not in {"include", "includeAll"} or target is None:
        return []
    found = _locate(probe, changelog, item, target)
    return [] if found is None else _expand(probe, found, item)


def _read_changelog(walk: _Walk, path: str) -> None:
    if path in walk.open_files:
        raise unusable_file(path, "includes itself", "Remove the include.")
    walk.open_files.append(path)
    for item in read_changelog(walk.folder, path):
        refuse_unknown(item, path)
        contexts = item.attributes.get("contextFilter", item.attributes.get("context"))
        refuse_contexts(contexts, path, item.line)
        if item.kind == "property":
            _read_property(walk, path, item)
        elif item.attributes.get("ignore", "false").lower() != "true":
            for included in _resolve(walk, path, item):
                if included.endswith(SUFFIXES):
                    _read_changelog(walk, included)
                else:
                    walk.found.append(included)
    walk.open_files.pop()


def _read_property(walk: _Walk, path: str, item: Item) -> None:
    name, value = item.attributes.get("name"), item.attributes.get("value")
    is_global = item.attributes.get("global", "true").lower() == "true"
    if name is None or value is None or not is_global:
        raise unusable_file(
            path,
            "has a property that is not a global name and value",
            "Put it into the SQL file: --property name:NAME value:VALUE global:false.",
            line=item.line,
        )
    if is_for_database(item.attributes.get("dbms")):
        walk.parameters.set(walk.parameters.fill(name), walk.parameters.fill(value))


def _resolve(walk: _Walk, path: str, item: Item) -> list[str]:
    """Return the paths of the files that an entry includes."""
    target = item.attributes.get("file" if item.kind == "include" else "path")
    if target is None:
        raise unusable_file(
            path, f"has {item.kind} without a path", "Name the file or folder.", line=item.line
        )
    found = _locate(walk, path, item, walk.parameters.fill(target))
    files = [] if found is None else _expand(walk, found, item)
    optional = "errorIfMissing" if item.kind == "include" else "errorIfMissingOrEmpty"
    if not files and item.attributes.get(optional, "true").lower() == "true":
        raise unusable_file(
            path,
            f"includes {target}, which is not in {walk.folder}",
            "Set LOCKGATE_MIGRATIONS (or --dir) to a folder with the changelog and all it includes.",
            line=item.line,
        )
    return files


def _locate(walk: _Walk, path: str, item: Item, target: str) -> str | None:
    """Return an entry's path in the folder, or ``None`` if it is missing.

    A path that is not relative to the changelog is relative to where Liquibase was started, which may be
    a parent of the folder. The first such path determines the prefix for all.
    """
    target = normalise_path(target).rstrip("/")
    if item.attributes.get("relativeToChangelogFile", "false").lower() == "true":
        return _within(walk, f"{path.rpartition('/')[0]}/{target}")
    parts = target.split("/")
    for cut in range(len(parts)):
        front = "/".join(parts[:cut])
        if walk.front is not None and walk.front != front:
            continue
        found = _within(walk, "/".join(parts[cut:]))
        if found is not None:
            walk.front = front
            return found
    return None


def _within(walk: _Walk, path: str) -> str | None:
    """Return the normalized path if it exists in the folder, or ``None``."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == ".." and parts:
            parts.pop()
        elif part == "..":
            return None
        elif part not in {"", "."}:
            parts.append(part)
    found = "/".join(parts)
    return found if (walk.folder / found).exists() else None


def _expand(walk: _Walk, found: str, item: Item) -> list[str]:
    if item.kind == "include":
        return [found]
    return sorted(_list_below(walk.folder, found))


def _list_below(folder: Path, found: str) -> Iterator[str]:
    for path in list_files(folder / found, (".sql", *SUFFIXES)):
        yield f"{found}/{path}" if found else path
