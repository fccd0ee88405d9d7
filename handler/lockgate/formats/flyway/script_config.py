"""Reads script configuration files: ``V1__x.sql.conf`` beside ``V1__x.sql``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lockgate.errors import MigrationFileInvalid
from lockgate.fast_start.dataclass import dataclass
from lockgate.formats.flyway.placeholders import fill_placeholders
from lockgate.formats.shared.folder import has_file, read_text
from lockgate.formats.shared.properties import Property, read_properties
from lockgate.formats.shared.scripts import refuse, unusable_file

if TYPE_CHECKING:
    from pathlib import Path

    from lockgate.formats.flyway.config import FlywayConfig

_FLAGS = {"true": True, "false": False}
_COMPARISON = re.compile(r"([^=!&|()]*)(==|!=)([^=!&|()]*)")


@dataclass(frozen=True, slots=True)
class ScriptConfig:
    """The configuration of one script. ``transaction`` is ``None`` if it is not set."""

    transaction: bool | None = None
    replaces: bool = True
    should_execute: bool = True


def read_script_config(folder: Path, path: str, config: FlywayConfig) -> ScriptConfig:
    """Return the configuration of a script; the defaults if it has no file.

    Raises:
        MigrationFileInvalid: a key or a value is not one of Flyway's.
    """
    beside = f"{path}.conf"
    if not has_file(folder, beside):
        return ScriptConfig()
    text = read_text(folder, beside)
    filled = fill_placeholders(text, beside, config) if config.replaces else None
    if filled is not None and filled.obstacle is not None:
        raise refuse(beside, filled.obstacle)
    found = ScriptConfig()
    for entry in read_properties(text if filled is None else filled.text, beside):
        found = _with_entry(found, entry)
    return found


def _with_entry(found: ScriptConfig, entry: Property) -> ScriptConfig:
    match entry.key:
        case "executeInTransaction":
            return ScriptConfig(_flag(entry), found.replaces, found.should_execute)
        case "placeholderReplacement":
            # To Flyway, anything but true is false.
            return ScriptConfig(
                found.transaction, entry.value.lower() == "true", found.should_execute
            )
        case "shouldExecute":
            return ScriptConfig(found.transaction, found.replaces, _evaluate(entry))
        case "encoding" if entry.value.lower() in {"utf-8", "utf8"}:
            return found
        case "encoding":
            raise unusable_file(
                entry.file, "sets an encoding other than UTF-8", "Save the script as UTF-8.",
                line=entry.line,
            )  # fmt: skip
        case _:
            raise unusable_file(
                entry.file,
                f"has the key {entry.key}, which Flyway does not know",
                "Valid keys: executeInTransaction, placeholderReplacement, encoding, shouldExecute.",
                line=entry.line,
            )


def _flag(entry: Property) -> bool:
    if entry.value not in _FLAGS:
        raise MigrationFileInvalid(
            f'{entry.place}: {entry.key} cannot be "{entry.value}"; it takes true or false.',
            hint="Correct the file.",
            file=entry.file,
            line=entry.line,
        )
    return _FLAGS[entry.value]


def _evaluate(entry: Property) -> bool:
    """Evaluate true, false, A==B or A!=B, with placeholders already filled in."""
    value = entry.value.strip()
    if value.lower() in _FLAGS:
        return _FLAGS[value.lower()]
    comparison = _COMPARISON.fullmatch(value)
    if comparison is None:
        raise unusable_file(
            entry.file,
            "has a condition in shouldExecute that Lockgate does not evaluate",
            "Write true, false, A==B or A!=B, or put the condition into the script itself.",
            line=entry.line,
        )
    left, operator, right = comparison.groups()
    return (left.strip() == right.strip()) is (operator == "==")
