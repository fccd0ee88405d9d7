"""Lists JavaScript migrations beside SQL files. Lockgate never runs them."""

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
# Declarations contain no code.
_DECLARATION = ".d.ts"
_EXPORTS_UP = re.compile(r"exports\.up\b|\bexport\s+(?:async\s+)?(?:function|const|let|var)\s+up\b")


def list_code(folder: Path) -> list[str]:
    """Return the names of the programs in the folder, sorted by their bytes; no subfolders."""
    return [name for name in list_names(folder, _CODE) if not name.endswith(_DECLARATION)]


def find_code(folder: Path, word: str) -> str | None:
    """Return the name of a program that exports ``up`` and contains ``word``, if there is one."""
    for name in list_code(folder):
        text = read_text(folder, name)
        if _EXPORTS_UP.search(text) and re.search(rf"\b{word}\b", text):
            return name
    return None


def make_code_script(path: str, tool: str) -> Script:
    """Return a program as a script that cannot run.

    Databases to which the tool has already applied it can still be migrated. The script has no text,
    because a program is not SQL.
    """
    obstacle = Obstacle(
        "is JavaScript or TypeScript, and Lockgate only runs SQL",
        f"Apply it with {tool}, and adopt afterwards. For new databases, replace it by a"
        " file with its SQL.",
        line=1,
    )
    return replace(make_script("", path), obstacle=obstacle)
