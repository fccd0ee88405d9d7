"""Reads Java property files (``key=value``)."""

from __future__ import annotations

import re
from dataclasses import field
from typing import TYPE_CHECKING

from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

_LINE_END = re.compile(r"\r\n|\r|\n")
_ENTRY = re.compile(r"([^=:\s]+)[ \t\f]*(?:[=:][ \t\f]*|[ \t\f]+|\Z)(.*)", re.DOTALL)
_BOM = "\ufeff"


@dataclass(frozen=True, slots=True)
class Property:
    """One setting and its place. ``file`` is a path, or the name of a variable."""

    key: str
    value: str = field(repr=False)
    file: str
    line: int | None

    @property
    def place(self) -> str:
        """File and line, for a message."""
        return self.file if self.line is None else f"{self.file}:{self.line}"


def read_properties(text: str, file: str) -> list[Property]:
    """Return the settings of a file in order. A backslash at the end of a line continues it."""
    return [
        Property(match[1], match[2].rstrip(), file, line)
        for line, content in _join_lines(text.removeprefix(_BOM))
        if (match := _ENTRY.fullmatch(content)) is not None
    ]


def _join_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield logical lines with their first line number, without comments and empty lines."""
    begun: tuple[int, str] | None = None
    for number, raw in enumerate(_LINE_END.split(text), start=1):
        content = raw.lstrip()
        if begun is None and (not content or content[0] in "#!"):
            continue
        line, before = begun or (number, "")
        if content.endswith("\\") and not content.endswith("\\\\"):
            begun = (line, before + content[:-1])
            continue
        begun = None
        yield line, before + content
    if begun is not None:
        yield begun
