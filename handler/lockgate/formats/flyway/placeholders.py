"""Fills in Flyway's placeholders: ``${name}`` anywhere in a file, also in comments and strings."""

from __future__ import annotations

import re
from dataclasses import field
from typing import TYPE_CHECKING

from lockgate.core.migration import Obstacle
from lockgate.fast_start.dataclass import dataclass
from lockgate.formats.shared.folder import line_of

if TYPE_CHECKING:
    from lockgate.formats.flyway.config import FlywayConfig

_NEWLINE = re.compile(r"[\r\n]")
_OWN = "flyway"


@dataclass(frozen=True, slots=True)
class Filled:
    """A text with its placeholders filled in, and the values that came from the project's settings.

    ``obstacle`` is the first placeholder that could not be filled in; the text is then unchanged.
    """

    text: str = field(repr=False)
    hidden: tuple[str, ...] = field(repr=False)
    obstacle: Obstacle | None = None


class _Unfilled(Exception):
    """A placeholder without a usable value."""

    def __init__(self, why: str, hint: str, variable: str | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.hint = hint
        self.variable = variable


def fill_placeholders(text: str, path: str, config: FlywayConfig) -> Filled | None:
    """Return the text with its placeholders filled in, or ``None`` if it has none.

    A placeholder is an obstacle if it has no value (an error in Flyway too), if its value has several
    lines, or if it is one of Flyway's own whose value only Flyway knows.
    """
    if config.prefix not in text:
        return None
    prefix, suffix = re.escape(config.prefix), re.escape(config.suffix)
    hidden: set[str] = set()
    pieces: list[str] = []
    position = 0
    for match in re.finditer(f"{prefix}(.*?)(?:{suffix}|\\Z)", text, re.DOTALL):
        try:
            value, is_hidden = _find(match, path, config)
        except _Unfilled as unfilled:
            line = line_of(text, match.start())
            obstacle = Obstacle(unfilled.why, unfilled.hint, line, variable=unfilled.variable)
            return Filled(text, (), obstacle)
        if value and is_hidden:
            hidden.add(value)
        pieces += [text[position : match.start()], value]
        position = match.end()
    return Filled("".join(pieces) + text[position:], tuple(sorted(hidden)))


def _find(match: re.Match[str], path: str, config: FlywayConfig) -> tuple[str, bool]:
    """Return a placeholder's value, and whether to hide it in messages."""
    own = f"{_OWN}{config.separator}"
    name = match[1]
    if name.startswith(own):
        return _find_own(match[0], name.removeprefix(own), path, config), False
    folded = {key.lower(): value for key, value in config.placeholders.items()}
    found = config.placeholders.get(name, folded.get(name.lower()))
    if found is None or not match[0].endswith(config.suffix):
        shown = match[0].partition("\n")[0].rstrip()
        raise _Unfilled(
            f"has the placeholder {shown}, which has no value",
            f"{_hint_at(name)}If it is not a placeholder, set FLYWAY_PLACEHOLDER_REPLACEMENT=false, or"
            f" placeholderReplacement=false in {path}.conf.",
            _variable_of(name) if found is None else None,
        )
    if _NEWLINE.search(found):
        raise _Unfilled(
            f"has the placeholder {match[0]}, whose value has several lines",
            "Give it a value without line breaks: they would shift the lines of the file.",
        )
    return found, True


def _hint_at(name: str) -> str:
    variable = _variable_of(name)
    if variable is None:
        return ""
    return f"Set {variable}, or flyway.placeholders.{name} in flyway.conf. "


def _variable_of(name: str) -> str | None:
    """Return the environment variable for a placeholder, or ``None`` if the name is not one."""
    is_name = re.fullmatch(r"[\w.-]+", name) is not None
    return f"FLYWAY_PLACEHOLDERS_{name.upper()}" if is_name else None


def _find_own(shown: str, name: str, path: str, config: FlywayConfig) -> str:
    known = {
        "filename": path.rpartition("/")[2],
        "table": config.table,
        "defaultSchema": config.default_schema,
    }
    found = known.get(name)
    if found is None:
        raise _Unfilled(
            f"has the placeholder {shown}, whose value only Flyway knows",
            _HINTS.get(name, "Write the value itself, or a placeholder of your own."),
        )
    return found


_HINTS = {
    "defaultSchema": "Set FLYWAY_DEFAULT_SCHEMA=public.",
    "user": "Write current_user, or a placeholder of your own.",
    "database": "Write current_database(), or a placeholder of your own.",
    "timestamp": "Remove the placeholder. It makes Flyway run a repeatable migration each time; Lockgate"
    " runs one when its text changes.",
}
