"""One file of formatted SQL to its changesets, line by line as Liquibase reads it.

Knows the comment lines that mean something. Knows no order of files and no catalog; what a changeset
may not have in Lockgate is refused here, with its line.
"""

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
# What happens if one fails; without one below it, nothing does.
_PRECONDITIONS = _line(r"\s*--\s*preconditions(.*)")
_PRECONDITION = _line(r"\s*--\s*precondition-[a-z0-9-]+(?: .*)?")
_TRUE = "true"
# No file has more lines; Python reads no number of thousands of digits.
_MOST_DIGITS = 12


@dataclass(slots=True)
class Changeset:
    """One changeset as it stands in its file.

    ``lines`` are those from its own on; one that means something to Liquibase, and is no SQL, is
    empty there, but for validCheckSum. ``sql_lines`` are the SQL alone. ``down_lines`` are the
    rollback's, ``down_line`` the line on which they begin.
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
        """Return an attribute's value; of several the last, as to Liquibase."""
        found = re.fullmatch(rf".*{name}:({value}).*", self.header, re.IGNORECASE)
        return None if found is None else found[1]

    def flag(self, name: str, *, default: bool) -> bool:
        """Return an attribute that is true or false; whatever is not true is false."""
        value = self.attribute(name)
        return default if value is None else value.lower() == _TRUE


def is_formatted(text: str) -> bool:
    """Tell whether a file's first line with anything on it says ``--liquibase formatted sql``."""
    lines = (line for line in _LINE_END.split(text.removeprefix(_BOM)) if line.strip())
    return FIRST_LINE.fullmatch(next(lines, "")) is not None


def read_changesets(text: str, path: str, parameters: Parameters) -> Iterator[Changeset]:
    """Yield the changesets of a file, each when the next one begins; read its properties on the way.

    A property counts for what ends below it. Raises `MigrationFileInvalid` for a line that Liquibase
    would not understand, or that Lockgate does not follow.
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
    """Match a changeset's line. A space behind the colon is one too many, for Liquibase too."""
    found = _CHANGESET.fullmatch(line)
    return None if found is None or found.end(1) + 1 != found.start(2) else found


def _add_line(
    changeset: Changeset, line: str, number: int, lines: Iterator[tuple[int, str]]
) -> None:
    rollback = _ROLLBACK.fullmatch(line)
    if _CHECKSUM.fullmatch(line):
        # A comment to the server; an adoption looks for it.
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
    """Leave empty lines for those that are no SQL, so that the others keep their numbers."""
    if changeset is not None:
        changeset.lines.extend([""] * count)


def _add_down(changeset: Changeset, number: int, content: str) -> None:
    if not changeset.down_lines:
        changeset.down_line = number
    missing = number - changeset.down_line - len(changeset.down_lines)
    changeset.down_lines.extend([""] * missing)
    changeset.down_lines.append(content)


def _read_block(changeset: Changeset, number: int, lines: Iterator[tuple[int, str]]) -> int:
    """Read a rollback block up to the line that ends it; return how many lines that were."""
    begun = number
    for inner, line in lines:
        number = inner
        content = line.rstrip()
        if content.endswith("*/"):
            _add_down(changeset, number, content.removesuffix("*/"))
            return number - begun
        _add_down(changeset, number, line)
    raise unusable_file(
        changeset.path, "begins a rollback block that does not end", "Close it with */.", line=begun
    )


def _pass_over(lines: Iterator[tuple[int, str]], what: str, path: str, begun: int) -> int:
    """Pass over the lines that are to be ignored; return how many that were."""
    if what.isdecimal():
        most = int(what) if len(what) <= _MOST_DIGITS else sys.maxsize
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
        path, f"has ignoreLines:{what}", "It takes a number of lines, start or end.", line=begun
    )


def _refuse_malformed(line: str, path: str, number: int) -> None:
    """Refuse what is meant as an instruction and would pass for a comment."""
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
