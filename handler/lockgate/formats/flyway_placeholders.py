"""Flyway's placeholders: ``${name}`` anywhere in a file, comments and strings included.

Knows which of Flyway's own (``${flyway:…}``) a file decides. Knows no environment.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lockgate.formats.folder import line_of
from lockgate.formats.scripts import unusable_file

if TYPE_CHECKING:
    from lockgate.formats.flyway_config import FlywayConfig

_NEWLINE = re.compile(r"[\r\n]")
_OWN = "flyway"


@dataclass(frozen=True, slots=True)
class Filled:
    """A text with its placeholders filled in, and the values that came from the project's settings."""

    text: str = field(repr=False)
    hidden: tuple[str, ...] = field(repr=False)


def fill_placeholders(text: str, path: str, config: FlywayConfig) -> Filled | None:
    """Return the text with its placeholders filled in, or ``None`` if it has none.

    Raises:
        MigrationFileInvalid: a placeholder has no value, which is an error to Flyway too; or it has
            one of several lines; or it is one of Flyway's own that only its run could tell.
    """
    if config.prefix not in text:
        return None
    pattern = re.compile(
        f"{re.escape(config.prefix)}(.*?)(?:{re.escape(config.suffix)}|\\Z)", re.DOTALL
    )
    hidden: set[str] = set()

    def value(match: re.Match[str]) -> str:
        line = line_of(text, match.start())
        own = f"{_OWN}{config.separator}"
        if match[1].startswith(own):
            return _find_own(match, match[1].removeprefix(own), path, line, config)
        found = _find(match, path, line, config)
        if found:
            hidden.add(found)
        return found

    return Filled(pattern.sub(value, text), tuple(sorted(hidden)))


def _find(match: re.Match[str], path: str, line: int, config: FlywayConfig) -> str:
    name = match[1]
    folded = {key.lower(): value for key, value in config.placeholders.items()}
    found = config.placeholders.get(name, folded.get(name.lower()))
    if found is None or not match[0].endswith(config.suffix):
        shown = match[0].partition("\n")[0].rstrip()
        raise unusable_file(
            path,
            f"has the placeholder {shown}, and no value is given for it",
            f"{_say_where(name)}If it is no placeholder, set FLYWAY_PLACEHOLDER_REPLACEMENT=false, or"
            f" placeholderReplacement=false in {path}.conf.",
            line=line,
        )
    if _NEWLINE.search(found):
        raise unusable_file(
            path,
            f"has the placeholder {match[0]}, whose value has several lines",
            "Give it a value of one line; lines of the file would not be found again.",
            line=line,
        )
    return found


def _say_where(name: str) -> str:
    if re.fullmatch(r"[\w.-]+", name) is None:
        return ""
    return f"Set FLYWAY_PLACEHOLDERS_{name.upper()}, or flyway.placeholders.{name} in flyway.conf. "


def _find_own(match: re.Match[str], name: str, path: str, line: int, config: FlywayConfig) -> str:
    known = {
        "filename": path.rpartition("/")[2],
        "table": config.table,
        "defaultSchema": config.default_schema,
    }
    found = known.get(name)
    if found is None:
        raise unusable_file(
            path,
            f"has the placeholder {match[0]}, which only Flyway could fill",
            _HINTS.get(name, "Write the value itself, or a placeholder of your own."),
            line=line,
        )
    return found


_HINTS = {
    "defaultSchema": "Set FLYWAY_DEFAULT_SCHEMA=public.",
    "user": "Write current_user, or a placeholder of your own.",
    "database": "Write current_database(), or a placeholder of your own.",
    "timestamp": "It made a repeatable migration run each time. Lockgate runs one when its text"
    " changes; take the placeholder out.",
}
