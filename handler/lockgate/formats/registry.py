"""Finds the format of a folder, and reads the folder as its tool defines.

The package of a tool is imported when the tool is needed, and no other.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, cast

from lockgate.core.catalog import with_outside_hint
from lockgate.core.empty_down import set_empty_downs_aside
from lockgate.core.listing import list_catalog
from lockgate.core.marker import find_markers
from lockgate.core.migration import NATIVE_OUTSIDE
from lockgate.errors import MigrationFileInvalid
from lockgate.formats.names import (
    AUTO_FORMAT,
    DEFAULT_FORMAT,
    list_formats,
    list_tools,
    module_of,
)
from lockgate.formats.shared.folder import (
    line_of,
    list_files,
    read_text,
    require_folder,
    show_name,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from lockgate.core.catalog import Catalog
    from lockgate.core.listing import Listing
    from lockgate.formats.tool import HistoryTable, TableName, Tool


def find_tool(name: str) -> Tool:
    """Return the definition of a tool, or of the native format, by the name of its format."""
    return cast("Tool", import_module(module_of(name)).TOOL)


def find_table(name: str) -> HistoryTable:
    """Return how a tool's history table is found and read; the native format has none."""
    table = find_tool(name).table
    assert table is not None
    return table


def find_table_name(name: str, folder: Path, variables: Mapping[str, str]) -> TableName | None:
    """Return the name that a tool's own settings give its history table; ``None`` if they give none.

    Raises:
        MigrationFileInvalid: a file of settings cannot be read.
    """
    find = find_table(name).find_name
    return None if find is None else find(folder, variables)


def list_folder(name: str, folder: Path, variables: Mapping[str, str]) -> Listing:
    """Read a folder in a format, or in the one that it is recognised as.

    Raises:
        MigrationFileInvalid: it cannot be read, or no format or several recognise it. If no format
            was named and the folder is another tool's, the hint names the tool.
    """
    found = choose_format(name, folder)
    tool = find_tool(found)
    if found == DEFAULT_FORMAT:
        with _hint_at_tool(folder):
            return list_catalog(_read(tool, folder, variables))
    return list_catalog(_read(tool, folder, variables))


def choose_format(name: str, folder: Path) -> str:
    """Return the format in which to read a folder: the given one, or with ``auto`` the recognised one.

    Raises:
        MigrationFileInvalid: there is no such folder, or it is not recognised.
    """
    require_folder(folder)
    return recognise_format(folder) if name == AUTO_FORMAT else name


def _read(tool: Tool, folder: Path, variables: Mapping[str, str]) -> Catalog:
    """Read a folder; set on its catalog what the tool defines for all its files."""
    catalog = set_empty_downs_aside(_read_files(tool, folder, variables))
    catalog = replace(catalog, session=tool.session, markers=tool.markers, has_downs=tool.has_downs)
    if tool.outside != NATIVE_OUTSIDE:
        catalog = with_outside_hint(catalog, tool.outside)
    return catalog


def _read_files(tool: Tool, folder: Path, variables: Mapping[str, str]) -> Catalog:
    """Read a folder; report what no reader expects of a file as an error of the folder."""
    try:
        return tool.read_folder(folder, variables)
    except OSError as error:
        why = f"{show_name(str(error.filename or folder))} cannot be read: {error.strerror}"
    except (RecursionError, MemoryError):
        why = f"A file in {show_name(str(folder))} is nested too deeply, or too large"
    raise MigrationFileInvalid(f"{why}.", hint="Correct the file, or move it out of the folder.")


def read_migrations(name: str, folder: Path, variables: Mapping[str, str]) -> Catalog:
    """Read a folder whole; raises what `list_folder` does."""
    return list_folder(name, folder, variables).read()


@contextmanager
def _hint_at_tool(folder: Path) -> Iterator[None]:
    try:
        yield
    except MigrationFileInvalid as error:
        hint = _name_tool(folder)
        if hint is not None:
            # The other files are that tool's too.
            error.hint, error.others = hint, ()
        raise


def _name_tool(folder: Path) -> str | None:
    """Return the hint for a folder of another tool that was read in the native format."""
    tools = (tool for tool in map(find_tool, list_tools()) if not tool.is_like_native)
    found = [(tool.name, sign) for tool in tools if (sign := _find_sign(tool, folder))]
    if len(found) != 1:
        return None
    ((name, sign),) = found
    return (
        f"The folder looks like {name}'s ({sign}): set LOCKGATE_FORMAT={name} (or --format {name})."
    )


def _find_sign(tool: Tool, folder: Path) -> str | None:
    try:
        return tool.recognise(folder)
    except MigrationFileInvalid:
        return None


def recognise_format(folder: Path) -> str:
    """Return the only format that recognises a folder.

    Raises:
        MigrationFileInvalid: none does, or several do.
    """
    signs = {name: find_tool(name).recognise(folder) for name in list_formats()}
    found = {name: sign for name, sign in signs.items() if sign is not None}
    if len(found) == 1:
        return next(iter(found))
    if found:
        what = "; ".join(f"{name} ({sign})" for name, sign in found.items())
        problem = f"The folder {folder} may belong to {len(found)} tools: {what}."
    else:
        problem = f"The folder {folder} is not recognised as any tool's{_name_marker(folder)}."
    tables = (f"{name} {find_tool(name).evidence}" for name in found)
    told = f" The table in the database tells them apart: {'; '.join(tables)}." if found else ""
    raise MigrationFileInvalid(
        problem,
        hint=f"Set LOCKGATE_FORMAT (or --format) to one of"
        f" {', '.join(found or list_formats())}.{told}",
    )


def _name_marker(folder: Path) -> str:
    """Return the first line that looks like a marker, as the probable reason."""
    for path in list_files(folder, (".sql",)):
        text = read_text(folder, path)
        for marker in find_markers(text):
            return f': {path}:{line_of(text, marker.offset)} has the line "{marker.text}"'
    return ""
