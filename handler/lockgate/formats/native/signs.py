"""Recognises a folder of the native format by what no other tool's folder has."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lockgate.core.marker import find_markers
from lockgate.formats.shared.folder import list_files, read_text

if TYPE_CHECKING:
    from pathlib import Path

_VERSIONED = re.compile(r"[0-9]+(?:_.*)?\.(?:sql|py)", re.DOTALL)
_REPEATABLE = re.compile(r"R__.+\.sql", re.DOTALL)
_RUBY = re.compile(r"[0-9]+_.+\.rb")
_MARKER = re.compile(r"^[ \t]*--[ \t]*migrate:", re.MULTILINE | re.IGNORECASE)
# Markers and options that dbmate does not have; it reads the others like this format.
_OWN = re.compile(
    r"^[ \t]*--[ \t]*migrate:(?:env|verify|(?:up|down)[^\r\n]*_timeout:)[^\r\n]*", re.MULTILINE
)
# Comments of tools whose files have names like ours; in a native file they would be plain comments.
_OTHER = re.compile(
    r"^[ \t]*--[ \t]*(?:\+|!|depends:|no-transaction\b|liquibase\b"
    r"|add (?:up |down )?migration script here)",
    re.MULTILINE | re.IGNORECASE,
)
_OTHER_SUFFIXES = (".up.sql", ".down.sql", ".rollback.sql")


def find_native_sign(folder: Path) -> str | None:
    """Return the sign: a repeatable or Python migration, a native option, or a file without markers.

    Other tools have files without markers too; if a folder has no other sign, their formats recognise
    it as well. One file of another tool is enough for the folder not to be native.
    """
    if any(_RUBY.fullmatch(path.rpartition("/")[2]) for path in list_files(folder, (".rb",))):
        return None
    signs: list[str] = []
    for path in list_files(folder):
        name, text = path.rpartition("/")[2], read_text(folder, path)
        if _is_of_other_tool(name, text):
            return None
        sign = _find_sign(path, name, text)
        if sign is not None:
            signs.append(sign)
    return signs[0] if signs else None


def _is_of_other_tool(name: str, text: str) -> bool:
    if _VERSIONED.fullmatch(name) is None and _REPEATABLE.fullmatch(name) is None:
        return True
    if name.endswith(_OTHER_SUFFIXES):
        return True
    return name.endswith(".sql") and (_OTHER.search(text) is not None or has_foreign_marker(text))


def has_foreign_marker(text: str) -> bool:
    """Return whether a line looks like a marker but is not one of this format."""
    return any(_MARKER.match(one.text) is None for one in find_markers(text))


def _find_sign(path: str, name: str, text: str) -> str | None:
    if _REPEATABLE.fullmatch(name) is not None:
        return f"the repeatable {path}"
    if name.endswith(".py"):
        return f"up(connection) in {path}" if "def up(" in text else None
    own = _OWN.search(text)
    if own is not None:
        return f"{own[0].strip()} in {path}"
    return None if _MARKER.search(text) is not None else f"no marker in {path}"
