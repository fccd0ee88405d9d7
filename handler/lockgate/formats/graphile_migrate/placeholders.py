"""graphile-migrate's placeholders in a text: ``:NAME``, filled in before anything else reads it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lockgate.core.migration import Obstacle
from lockgate.formats.shared.folder import line_of

if TYPE_CHECKING:
    from lockgate.formats.graphile_migrate.gmrc import Placeholders

# What stands alone and in capitals behind a colon; times ('HH24:MI') and casts (::TEXT) do not.
_CANDIDATE = re.compile(r"(?<![:\w]):[A-Z][0-9A-Z_]+\b", re.ASCII)


def _pattern_of(placeholders: Placeholders) -> re.Pattern[str]:
    names = "|".join(map(re.escape, placeholders.values))
    return re.compile(rf"(?:{names})\b", re.ASCII)


def fill_placeholders(text: str, placeholders: Placeholders) -> str:
    """Return a text with its placeholders filled in: everywhere, strings and comments included."""
    return _pattern_of(placeholders).sub(lambda m: placeholders.values[m[0]] or "", text)


def find_obstacle(text: str, first_line: int, placeholders: Placeholders) -> Obstacle | None:
    """Find a placeholder that cannot be filled in, or what looks like one where no settings say so."""
    for match in _pattern_of(placeholders).finditer(text):
        found = _judge(match[0], placeholders.values[match[0]])
        if found is not None:
            return Obstacle(*found, first_line + line_of(text, match.start()) - 1)
    if placeholders.is_complete:
        return None
    for match in _CANDIDATE.finditer(text):
        if match[0] not in placeholders.values:
            return Obstacle(
                f"has {match[0]}, which may be a placeholder, and there is no .gmrc",
                "Put .gmrc into the folder of the migrations or beside it, and package it.",
                first_line + line_of(text, match.start()) - 1,
            )
    return None


def _judge(name: str, value: str | None) -> tuple[str, str] | None:
    if value is None:
        hint = f"Set {name[1:]} in the environment of Lockgate."
        return f"has {name}, and nothing says what it stands for", hint
    if "\n" in value or "\r" in value:
        hint = f"Give {name[1:]} a value of one line; lines of the file would not be found again."
        return f"has {name}, whose value has several lines", hint
    return None
