"""Fills in graphile-migrate's placeholders ``:NAME``, before the text is interpreted as SQL."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lockgate.core.migration import Obstacle
from lockgate.formats.shared.folder import line_of

if TYPE_CHECKING:
    from lockgate.formats.graphile_migrate.gmrc import Placeholders

# A word in capitals after a single colon; not times ('HH24:MI') and casts (::TEXT).
_CANDIDATE = re.compile(r"(?<![:\w]):[A-Z][0-9A-Z_]+\b", re.ASCII)


def _pattern_of(placeholders: Placeholders) -> re.Pattern[str]:
    names = "|".join(map(re.escape, placeholders.values))
    return re.compile(rf"(?:{names})\b", re.ASCII)


def fill_placeholders(text: str, placeholders: Placeholders) -> str:
    """Return a text with its placeholders filled in, also in strings and comments."""
    return _pattern_of(placeholders).sub(lambda m: placeholders.values[m[0]] or "", text)


def find_obstacle(text: str, first_line: int, placeholders: Placeholders) -> Obstacle | None:
    """Find a placeholder that cannot be filled in; without settings, anything that looks like one."""
    for match in _pattern_of(placeholders).finditer(text):
        value = placeholders.values[match[0]]
        found = _judge(match[0], value)
        if found is not None:
            line = first_line + line_of(text, match.start()) - 1
            return Obstacle(*found, line, variable=match[0][1:] if value is None else None)
    if placeholders.is_complete:
        return None
    for match in _CANDIDATE.finditer(text):
        if match[0] not in placeholders.values:
            return Obstacle(
                f"has {match[0]}, which may be a placeholder, and there is no .gmrc",
                "Put .gmrc into the folder of the migrations or its parent, and package it.",
                first_line + line_of(text, match.start()) - 1,
            )
    return None


def _judge(name: str, value: str | None) -> tuple[str, str] | None:
    if value is None:
        hint = f"Set {name[1:]} in the environment of Lockgate."
        return f"has {name}, whose value is unknown", hint
    if "\n" in value or "\r" in value:
        hint = (
            f"Give {name[1:]} a value without line breaks: they would shift the lines of the file."
        )
        return f"has {name}, whose value has several lines", hint
    return None
