"""Divides one file of formatted SQL into its changesets, line by line like Liquibase."""

from __future__ import annotations

import re
import sys
from dataclasses import field
from typing import TYPE_CHECKING

from lockgate.core.sql.script import tokenize
from lockgate.fast_start.dataclass import dataclass
from lockgate.formats.shared.scripts import unusable_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lockgate.formats.liquibase.parameters import Parameters

_LINE_END = re.compile(r"\r\n|\r|\n")
_BOM = "\ufeff"


def _line(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


FIRST_LINE = _line(r"\s*--\s*liquibase\s*formatted.*")
_CHANGESET = _line(r"""\s*--\s*changeset\s+("[^"]+"|[^:]+):\s*("[^"]+"|\S+).*""")
_CHANGESET_LIKE = _line(r"\s*--\s*changeset\b.*|-\s*changeset\s.*")
_PROPERTY = _line(r"\s*--\s*property\s+(.*:.*)\s+(.*:.*).*")
_PROPERTY_LIKE = _line(r"\s*-+\s*property\s.*")
_IGNORE_LINES = _line(r"--\s*ignoreLines:(\w+)")
_COMMENT = _line(r"--\s*comment:? (.*)")
_CHECKSUM = _line(r"--\s*validCheckSum:? (.*)")
_ROLLBACK = _line(r"\s*--\s*rollback (.*)")
_ROLLBACK_LIKE = _line(r"\s*-+\s*rollback\s.*")
_ROLLBACK_BLOCK = _line(r"\s*/\*\s*liquibase\s*rollback\s*")
# This line sets what happens if a precondition fails; alone it has no effect.
_PRECONDITIONS = _line(r"\s*--\s*preconditions(.*)")
_PRECONDITION = _line(r"\s*--\s*precondition-[a-z0-9-]+(?: .*)?")
_TRUE = "true"
# No file has more lines; Python cannot parse numbers with thousands of digits.
_MAX_DIGITS = 12


@dataclass(slots=True)
class Changeset:
    """One changeset of a file.

    ``lines`` begin with its own line; instructions to Liquibase are empty lines there, except for
    validCheckSum. ``sql_lines`` are only the SQL. ``down_lines`` are the rollback's, which begins at
    ``down_line``.
    """

    author: str
    changeset_id: str
    header: str
    first_line: int
    path: str
    lines: list[str] = field(default_factory=list)
    sql_lines: list[str] = field(default_factory=list)
    down_lines: list[str] = field(default_factory=list)
    down_line: int = 0
    precondition_line: int | None = None

    def attribute(self, name: str, value: str = r"\w+") -> str | None:
        """Return an attribute's value; the last one if there are several, like Liquibase."""
        found = re.fullmatch(rf".*{name}:({value}).*", self.header, re.IGNORECASE)
        return None if found is None else found[1]

    def flag(self, name: str, *, default: bool) -> bool:
        """Return an attribute that is true or false; anything but true is false."""
        value = self.attribute(name)
        return default if value is None else value.lower() == _TRUE


def is_formatted(text: str) -> bool:
    """Return whether a file's first line that is not blank is ``--liquibase formatted sql``."""
    lines = (line for line in _LINE_END.split(text.removeprefix(_BOM)) if line.strip())
    return FIRST_LINE.fullmatch(next(lines, "")) is not None


def read_changesets(text: str, path: str, parameters: Parameters) -> Iterator[Changeset]:
    """Yield the changesets of a file, each when the next one begins; read its properties meanwhile.

    A property applies to changesets that end below it.

    Raises:
        MigrationFileInvalid: a line is not valid in Liquibase, or not supported.
    """
    current: Changeset | None = None
    lines = iter(enumerate(_LINE_END.split(text.removeprefix(_BOM)), start=1))
    for number, line in lines:
        if _PROPERTY.fullmatch(line):
            parameters.read_property(line, path)
            _skip(current, 1)
        elif (ignored := _IGNORE_LINES.fullmatch(line)) is not None:
            _skip(current, 1 + _pass_over(lines, ignored[1], path, number))
        elif (found := _match_changeset(line)) is not None:
            if current is not None:
                yield current
            author, changeset_id = (parameters.fill(_unquote(part)) for part in found.groups())
            current = Changeset(author, changeset_id, line, number, path, [line])
        elif current is None:
            _refuse_malformed(line, path, number)
            _refuse_lost(line, path, number)
        else:
            _add_line(current, line, number, lines)
    if current is not None:
        yield current


def _match_changeset(line: str) -> re.Match[str] | None:
    """Match the first line of a changeset; like for Liquibase, no space may follow the colon."""
    found = _CHANGESET.fullmatch(line)
    return None if found is None or found.end(1) + 1 != found.start(2) else found


def _add_line(
    changeset: Changeset, line: str, number: int, lines: Iterator[tuple[int, str]]
) -> None:
    rollback = _ROLLBACK.fullmatch(line)
    if _CHECKSUM.fullmatch(line):
        # A comment to the server, but an adoption needs it.
        changeset.lines.append(line)
    elif _COMMENT.fullmatch(line) or _PRECONDITIONS.fullmatch(line):
        _skip(changeset, 1)
    elif _PRECONDITION.fullmatch(line):
        changeset.precondition_line = changeset.precondition_line or number
        _skip(changeset, 1)
    elif rollback is not None:
        _add_down(changeset, number, " " * rollback.start(1) + rollback[1])
        _skip(changeset, 1)
    elif _ROLLBACK_BLOCK.fullmatch(line):
        _skip(changeset, 1 + _read_block(changeset, number, lines))
    else:
        _refuse_malformed(line, changeset.path, number)
        changeset.lines.append(line)
        changeset.sql_lines.append(line)


def _skip(changeset: Changeset | None, count: int) -> None:
    """Add empty lines instead of instructions, so that other lines keep their numbers."""
    if changeset is not None:
        changeset.lines.extend([""] * count)


def _add_down(changeset: Changeset, number: int, content: str) -> None:
    if not changeset.down_lines:
        changeset.down_line = number
    missing = number - changeset.down_line - len(changeset.down_lines)
    changeset.down_lines.extend([""] * missing)
    changeset.down_lines.append(content)


def _read_block(changeset: Changeset, number: int, lines: Iterator[tuple[int, str]]) -> int:
    """Read a rollback block up to its last line; return the number of lines."""
    begun = number
    for inner, line in lines:
        number = inner
        content = line.rstrip()
        if content.endswith("*/"):
            _add_down(changeset, number, content.removesuffix("*/"))
            return number - begun
        _add_down(changeset, number, line)
    raise unusable_file(
        changeset.path, "has a rollback block without an end", "Close it with */.", line=begun
    )


def _pass_over(lines: Iterator[tuple[int, str]], what: str, path: str, begun: int) -> int:
    """Skip the lines to ignore; return their number."""
    if what.isdecimal():
        most = int(what) if len(what) <= _MAX_DIGITS else sys.maxsize
        return sum(1 for _ in zip(range(most), lines, strict=False))
    if what == "start":
        count = 0
        for _, line in lines:
            count += 1
            found = _IGNORE_LINES.fullmatch(line)
            if found is not None and found[1] == "end":
                break
        return count
    raise unusable_file(
        path, f"has ignoreLines:{what}", "Write a number of lines, start or end.", line=begun
    )


def _refuse_malformed(line: str, path: str, number: int) -> None:
    """Refuse a line that is meant as an instruction but would be a comment."""
    for like, hint in (
        (_CHANGESET_LIKE, "Write --changeset author:id."),
        (_ROLLBACK_LIKE, "Write --rollback, one space, and the statement."),
        (_PROPERTY_LIKE, "Write --property name:NAME value:VALUE."),
    ):
        if like.fullmatch(line):
            raise unusable_file(path, "is a line that Liquibase refuses", hint, line=number)


def _refuse_lost(line: str, path: str, number: int) -> None:
    """Refuse SQL above the first changeset: Liquibase reads over it."""
    if FIRST_LINE.fullmatch(line) is None and next(tokenize(line), None) is not None:
        if line.lstrip().startswith(("/*", "*")):
            return
        raise unusable_file(
            path,
            "has SQL above the first changeset, which Liquibase would not run",
            "Put --changeset author:id above it.",
            line=number,
        )


def _unquote(text: str) -> str:
    is_quoted = len(text) > 1 and text[0] == text[-1] == '"'
    return text[1:-1] if is_quoted else text
