"""JavaScript beside SQL: what is recognised, and refused. Runs none of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lockgate.formats.folder import read_text
from lockgate.formats.scripts import list_names, unusable_file

if TYPE_CHECKING:
    from pathlib import Path

    from lockgate.errors import MigrationFileInvalid

CODE = (".js", ".ts", ".cjs", ".mjs", ".cts", ".mts")
_EXPORTS_UP = re.compile(r"exports\.up\b|\bexport\s+(?:async\s+)?(?:function|const|let|var)\s+up\b")


def find_code(folder: Path, word: str) -> str | None:
    """Return the name of a script that exports ``up`` and speaks of ``word``, if there is one."""
    for name in list_names(folder, CODE):
        text = read_text(folder, name)
        if _EXPORTS_UP.search(text) and re.search(rf"\b{word}\b", text):
            return name
    return None


def code_refused(name: str, tool: str) -> MigrationFileInvalid:
    """Return the error of a migration that is a program."""
    return unusable_file(
        name,
        "is JavaScript or TypeScript, and Lockgate runs SQL",
        f"Freeze it: let {tool} finish everywhere, move its scripts out of the folder, and baseline"
        f" (docs/formats/{tool}.md).",
    )
