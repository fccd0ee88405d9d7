"""Reads ``sqitch.conf``, in Git's configuration syntax: the locations of a project's plan and scripts.

The user's and the system's configuration are not read, since a deployed package does not have them.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from lockgate.fast_start.dataclass import dataclass
from lockgate.formats.shared.folder import has_file, line_of, read_text
from lockgate.formats.shared.scripts import unusable_file
from lockgate.formats.tool import TableName

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CONFIG = "sqitch.conf"
_PLAN = "sqitch.plan"
_ENGINE = "pg"
_SECTION = re.compile(r'[ \t]*\[([^\s\[\]"]+)(?:[ \t]*"((?:[^"\\\n]|\\.)*)")?\][ \t]*')
_ASSIGNMENT = re.compile(r"[ \t]*([^\[=\s#;](?:[^=\n]*[^=\n \t])?)[ \t]*(?:=[ \t]*(.*))?")
_COMMENT = re.compile(r"[ \t]*(?:[#;].*)?")
_PIECE = re.compile(r'"((?:[^"\\]|\\.)*)"|\\(.)|([ \t]+)|([#;].*)|([^\s"\\#;]+)')
_ESCAPES = {"n": "\n", "t": "\t", "b": "\b"}
_CONTINUED = re.compile(r"\\\r?\n")


@dataclass(frozen=True, slots=True)
class Layout:
    """The locations of plan and scripts, as paths in the project's folder.

    ``extension`` has no dot. ``reworked_deploy`` and ``reworked_revert`` contain the old scripts of
    changes that were reworked later.
    """

    plan: str = _PLAN
    deploy: str = "deploy"
    revert: str = "revert"
    reworked_deploy: str = "deploy"
    reworked_revert: str = "revert"
    extension: str = "sql"


def read_layout(folder: Path) -> Layout:
    """Return the layout of a project; Sqitch's defaults if it has no ``sqitch.conf``.

    Raises:
        MigrationFileInvalid: the file cannot be read, is for another database, or has a location
            outside of the folder.
    """
    if not has_file(folder, CONFIG):
        return Layout()
    values = _parse(read_text(folder, CONFIG))
    _refuse_other_engine(values)

    def find(key: str, default: str) -> str:
        target = values.get("core.target") or values.get(f"engine.{_ENGINE}.target") or ""
        places = (f"target.{target}.{key}", f"engine.{_ENGINE}.{key}", f"core.{key}")
        return next((values[place] for place in places if values.get(place)), default)

    def path(key: str, default: str) -> str:
        return _refuse_outside(posixpath.normpath(find(key, default)), key)

    top = path("top_dir", ".")
    reworked = path("reworked_dir", top)
    return Layout(
        plan=path("plan_file", posixpath.join(top, _PLAN)),
        deploy=path("deploy_dir", posixpath.join(top, "deploy")),
        revert=path("revert_dir", posixpath.join(top, "revert")),
        reworked_deploy=path("reworked_deploy_dir", posixpath.join(reworked, "deploy")),
        reworked_revert=path("reworked_revert_dir", posixpath.join(reworked, "revert")),
        extension=find("extension", "sql"),
    )


def find_table_name(folder: Path, _variables: Mapping[str, str]) -> TableName | None:
    """Return the table of changes in the registry that ``sqitch.conf`` names."""
    registry = read_registry(folder)
    return None if registry is None else TableName(f"{registry}.changes", "registry in sqitch.conf")


def read_registry(folder: Path) -> str | None:
    """Return the schema of Sqitch's tables; ``None`` if ``sqitch.conf`` does not set it."""
    if not (folder / CONFIG).is_file():
        return None
    values = _parse(read_text(folder, CONFIG))
    target = values.get("core.target") or values.get(f"engine.{_ENGINE}.target") or ""
    places = (f"target.{target}.registry", f"engine.{_ENGINE}.registry", "core.registry")
    return next((values[place] for place in places if values.get(place)), None)


def _refuse_other_engine(values: dict[str, str]) -> None:
    engine = values.get("core.engine", _ENGINE).strip()
    if engine != _ENGINE:
        raise unusable_file(
            CONFIG,
            f"is for the engine {engine}, and Lockgate only migrates PostgreSQL",
            "Set LOCKGATE_MIGRATIONS (or --dir) to the project of the PostgreSQL database.",
        )


def _refuse_outside(path: str, key: str) -> str:
    if path.startswith(("/", "../")) or path == "..":
        raise unusable_file(
            CONFIG,
            f"sets {key} to {path}, which is outside of the project's folder",
            "Move it into the packaged folder, and set its path relative to that.",
        )
    return path


def _parse(text: str) -> dict[str, str]:
    """Return the values by ``section.subsection.key``; the last value of a key counts."""
    values: dict[str, str] = {}
    section = ""
    plain = _CONTINUED.sub("", text.removeprefix("\ufeff"))
    position = 0
    for line in plain.split("\n"):
        rest = line.removesuffix("\r")
        head = _SECTION.match(rest)
        if head is not None:
            section = head[1].lower()
            if head[2]:
                section += "." + re.sub(r"\\(.)", r"\1", head[2])
            rest = rest[head.end() :]
        if _COMMENT.fullmatch(rest) is None:
            found = _ASSIGNMENT.fullmatch(rest)
            if found is None or not section:
                number = line_of(plain, position)
                raise unusable_file(
                    CONFIG,
                    "has a line that is not a setting",
                    "Write it as: key = value",
                    line=number,
                )
            values[f"{section}.{found[1].lower()}"] = _unquote(found[2] or "true")
        position += len(line) + 1
    return values


def _unquote(text: str) -> str:
    """Return a value without quotes, escapes, comment and surrounding spaces."""
    value = ""
    for piece in _PIECE.finditer(text):
        quoted, escaped, space, comment, plain = piece.groups()
        if comment is not None:
            break
        if quoted is not None:
            value += re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), quoted)
        elif escaped is not None:
            value += _ESCAPES.get(escaped, escaped)
        else:
            value += " " if space is not None else plain
    return value.strip()
