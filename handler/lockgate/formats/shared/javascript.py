"""JavaScript beside SQL: known by its name, never run."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from lockgate.core.migration import Obstacle, Script
from lockgate.formats.shared.folder import read_text
from lockgate.formats.shared.scripts import list_names, make_script

if TYPE_CHECKING:
    from pathlib import Path

_CODE = (".js", ".ts", ".cjs", ".mjs", ".cts", ".mts")
# Declarations hold no code.
_DECLARATION = ".d.ts"
_EXPORTS_UP = re.compile(r"exports\.up\b|\bexport\s+(?:async\s+)?(?:function|const|let|var)\s+up\b")


def list_code(folder: Path) -> list[str]:
    """Return the names of the programs in the folder itself, sorted by their bytes."""
    return [name for name in list_names(folder, _CODE) if not name.endswith(_DECLARATION)]


def find_code(folder: Path, word: str) -> str | None:
    """Return the name of a program that exports ``up`` and speaks of ``word``, if there is one."""
    for name in list_code(folder):
        text = read_text(folder, name)
        if _EXPORTS_UP.search(text) and re.search(rf"\b{word}\b", text):
            return name
    return None


def make_code_script(path: str, tool: str) -> Script:
    """Return a program as a script that cannot be run.

    A database that the tool has brought behind it already can be migrated on; its text is no SQL,
    and is not kept.
    """
    obstacle = Obstacle(
        "is JavaScript or TypeScript, and Lockgate runs SQL",
        f"Apply it with {tool}, and adopt after that; for new databases, freeze it as"
        f" docs/formats/{tool}.md says.",
        line=1,
    )
    return replace(make_script("", path), obstacle=obstacle)
