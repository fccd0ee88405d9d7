"""Fills in variables: ``${name}`` between ``-- migrate:env on`` and ``-- migrate:env off``.

Outside of these lines a script stays verbatim.
"""

from __future__ import annotations

import re
from dataclasses import field
from typing import TYPE_CHECKING

from lockgate.errors import MigrationFileInvalid
from lockgate.fast_start.dataclass import dataclass
from lockgate.formats.shared.unset_variable import describe_unset, is_withheld

if TYPE_CHECKING:
    from collections.abc import Mapping

_SWITCH = re.compile(
    r"(?:^|(?<=\r))[ \t]*--[ \t]*migrate:env[ \t]*([^\r\n]*)", re.MULTILINE | re.IGNORECASE
)
# A variable without a closing brace extends to the end of its line, and stays as it is.
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*+)(?::-([^}\r\n]*+))?(?:\}|(?P<open>))")
_NEWLINE = re.compile(r"[\r\n]")


@dataclass(frozen=True, slots=True)
class Substituted:
    """A text with its variables filled in, and the values that came from outside the file."""

    text: str = field(repr=False)
    hidden: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Source:
    """A script's text, its place in the file, and the values of its variables."""

    text: str
    path: str
    first_line: int
    variables: Mapping[str, str]

    def line_at(self, offset: int) -> int:
        before = self.text[:offset]
        return self.first_line + before.count("\n") + before.count("\r") - before.count("\r\n")


def substitute_variables(
    text: str, variables: Mapping[str, str], *, path: str, first_line: int
) -> Substituted:
    """Return the text with its variables filled in where ``-- migrate:env`` is on.

    ``${name:-default}`` falls back to the default if the variable is not set.

    Raises:
        MigrationFileInvalid: a variable is not set and has no default, or its value has several lines,
            which would shift the lines below; or the switch is neither on nor off.
    """
    source = _Source(text, path, first_line, variables)
    hidden: set[str] = set()
    pieces: list[str] = []
    position, is_on = 0, False
    for switch in _SWITCH.finditer(text):
        pieces.append(_read_piece(source, (position, switch.start()), hidden, is_on=is_on))
        is_on = _read_switch(source, switch)
        position = switch.start()
    pieces.append(_read_piece(source, (position, len(text)), hidden, is_on=is_on))
    return Substituted("".join(pieces), tuple(sorted(hidden)))


def _read_switch(source: _Source, switch: re.Match[str]) -> bool:
    word = switch[1].rstrip()
    if word not in {"on", "off"}:
        line = source.line_at(switch.start())
        raise MigrationFileInvalid(
            f'{source.path}:{line}: -- migrate:env takes on or off, not "{word}".',
            hint="Write -- migrate:env on.",
            file=source.path,
            line=line,
        )
    return word == "on"


def _read_piece(source: _Source, span: tuple[int, int], hidden: set[str], *, is_on: bool) -> str:
    """Return a piece, filled in if ``is_on``; add values from outside the file to ``hidden``."""
    piece = source.text[slice(*span)]
    if not is_on:
        return piece

    def value(match: re.Match[str]) -> str:
        name, default = match[1], match[2]
        if match["open"] is not None:
            return match[0]
        line = source.line_at(span[0] + match.start())
        found = source.variables.get(name)
        if found is None:
            return _read_default(source, line, name, default)
        if _NEWLINE.search(found):
            raise MigrationFileInvalid(
                f"{source.path}:{line}: the value of {name} has several lines.",
                hint=f"Give {name} a value without line breaks: they would shift the lines of the file.",
                file=source.path,
                line=line,
            )
        if found:
            hidden.add(found)
        return found

    return _VARIABLE.sub(value, piece)


def _read_default(source: _Source, line: int, name: str, default: str | None) -> str:
    if default is None:
        why, hint = describe_unset(name, f"${{{name}:-a default}}")
        raise MigrationFileInvalid(
            f"{source.path}:{line}: the variable {name} {why}.",
            hint=hint,
            file=source.path,
            line=line,
            variable=None if is_withheld(name) else name,
        )
    return default
