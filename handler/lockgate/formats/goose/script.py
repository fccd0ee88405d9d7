"""Divides one goose file into its scripts, line by line as goose does.

The end of a statement matters twice: an unfinished statement is refused, and variables in a comment
between statements are not filled in. Which statements run is decided by Lockgate's own lexer.
"""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum
from typing import TYPE_CHECKING

from lockgate.fast_start.dataclass import dataclass
from lockgate.formats.goose.variables import fill_line
from lockgate.formats.shared.scripts import make_script, unusable_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lockgate.core.migration import Script
    from lockgate.errors import MigrationFileInvalid

_BOM = "\ufeff"
_WORD = "+goose"


class _Section(StrEnum):
    """The section of a line."""

    HEADER = "header"
    UP = "Up"
    DOWN = "Down"


class _Annotation(StrEnum):
    UP = "up"
    DOWN = "down"
    BEGIN = "statementbegin"
    END = "statementend"
    NO_TRANSACTION = "no transaction"
    ENVSUB_ON = "envsub on"
    ENVSUB_OFF = "envsub off"


@dataclass(slots=True)
class _Part:
    """The lines of one direction: as written, and as sent to the server."""

    first_line: int
    lines: list[str] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Reader:
    """The state after some lines. ``unfinished`` is the line where an open statement began."""

    path: str
    variables: Mapping[str, str]
    section: _Section = _Section.HEADER
    parts: dict[_Section, _Part] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)
    has_transaction: bool = True
    is_filling: bool = False
    begun_at: int | None = None
    unfinished: int | None = None

    def read(self, line: str, number: int) -> None:
        """Read one line."""
        annotation = _find_annotation(line, self.path, number)
        if annotation is not None:
            self._annotate(annotation, line, number)
            return
        is_comment = line.strip().startswith("--") or not line.strip()
        if self.section is _Section.HEADER:
            if not is_comment:
                raise self._refuse(number, "has SQL above -- +goose Up", "Move it below.")
            return
        part = self.parts[self.section]
        part.lines.append(line)
        if self.unfinished is None and is_comment:
            part.sent.append(line)
            return
        sent = self._fill(line, number)
        part.sent.append(sent)
        self._follow_statement(sent, number)

    def finish(self, number: int) -> None:
        """Check that the file is complete."""
        if self.section is _Section.HEADER:
            raise self._refuse(number, "has no -- +goose Up", "Put it above the up script.")
        if self.begun_at is not None:
            raise self._refuse(
                self.begun_at,
                "has a -- +goose StatementBegin without a StatementEnd",
                "Put -- +goose StatementEnd after the statement.",
            )
        self._refuse_unfinished()

    def _fill(self, line: str, number: int) -> str:
        if not self.is_filling:
            return line
        filled = fill_line(line, self.variables, path=self.path, line=number)
        self.hidden |= filled.hidden
        return filled.text

    def _follow_statement(self, line: str, number: int) -> None:
        if self.unfinished is None:
            self.unfinished = number
        if self.begun_at is None and _ends_statement(line):
            self.unfinished = None

    def _annotate(self, annotation: _Annotation, line: str, number: int) -> None:
        match annotation:
            case _Annotation.UP | _Annotation.DOWN:
                self._open_section(annotation, number)
                return
            case _Annotation.BEGIN | _Annotation.END:
                self._bracket(annotation, number)
            case _Annotation.NO_TRANSACTION:
                self.has_transaction = False
            case _Annotation.ENVSUB_ON | _Annotation.ENVSUB_OFF:
                self.is_filling = annotation is _Annotation.ENVSUB_ON
        if self.section is not _Section.HEADER:
            part = self.parts[self.section]
            part.lines.append(line)
            # Inside a statement goose removes the line, and the server stores the text of functions.
            if self.unfinished is None:
                part.sent.append(line)

    def _open_section(self, annotation: _Annotation, number: int) -> None:
        section = _Section.UP if annotation is _Annotation.UP else _Section.DOWN
        before = _Section.HEADER if section is _Section.UP else _Section.UP
        if self.section is not before:
            raise self._refuse(
                number,
                f"has a -- +goose {section} in the wrong place",
                "Write one -- +goose Up and, after its script, at most one -- +goose Down.",
            )
        if self.begun_at is not None:
            raise self._refuse(
                number,
                f"has a -- +goose {section} inside a statement",
                "Put -- +goose StatementEnd above it.",
            )
        self._refuse_unfinished()
        self.section = section
        self.parts[section] = _Part(number, [""], [""])

    def _bracket(self, annotation: _Annotation, number: int) -> None:
        is_begin = annotation is _Annotation.BEGIN
        is_open = self.begun_at is not None
        if self.section is _Section.HEADER or is_begin is is_open:
            word = "StatementBegin" if is_begin else "StatementEnd"
            raise self._refuse(
                number,
                f"has a -- +goose {word} in the wrong place",
                "Write StatementBegin and StatementEnd alternately, below -- +goose Up or Down.",
            )
        self.begun_at = number if is_begin else None
        if not is_begin:
            self.unfinished = None

    def _refuse_unfinished(self) -> None:
        if self.unfinished is not None:
            raise self._refuse(
                self.unfinished,
                "has an unfinished statement, which goose refuses",
                "End its last line with a semicolon.",
            )

    def _refuse(self, number: int, why: str, hint: str) -> MigrationFileInvalid:
        return unusable_file(self.path, why, hint, line=number)


def read_scripts(
    text: str, path: str, variables: Mapping[str, str]
) -> tuple[Script, Script | None]:
    """Return the up script and, if the file has one, the down script.

    Raises:
        MigrationFileInvalid: an annotation is wrong or misplaced, a statement is unfinished, or a
            variable cannot be filled in.
    """
    # Like goose, drop a carriage return at the end of a line.
    lines = text.removeprefix(_BOM).replace("\r\n", "\n").split("\n")
    reader = _Reader(path, variables)
    for number, line in enumerate(lines, start=1):
        reader.read(line, number)
    reader.finish(len(lines))
    down = reader.parts.get(_Section.DOWN)
    return (
        _make_script(reader, reader.parts[_Section.UP]),
        None if down is None else _make_script(reader, down),
    )


def _make_script(reader: _Reader, part: _Part) -> Script:
    is_changed = part.sent != part.lines
    return make_script(
        "\n".join(part.lines),
        reader.path,
        first_line=part.first_line,
        transaction=None if reader.has_transaction else False,
        substituted="\n".join(part.sent) if is_changed else None,
        hidden=tuple(sorted(reader.hidden)) if is_changed else (),
    )


def _find_annotation(line: str, path: str, number: int) -> _Annotation | None:
    """Return the annotation of a line; every comment that contains +goose must be one.

    Raises:
        MigrationFileInvalid: goose does not know it, or it is indented.
    """
    if not line.strip().startswith("--") or _WORD not in line:
        return None
    words = line.replace("--", "").replace(_WORD, "", 1).strip()
    if line.startswith((" ", "\t")) or words.lower() not in set(_Annotation):
        raise unusable_file(
            path,
            f"has an annotation that goose does not know: {line.strip()}",
            "Valid are Up, Down, StatementBegin, StatementEnd, NO TRANSACTION, ENVSUB ON and"
            " ENVSUB OFF, at the start of a line.",
            line=number,
        )
    return _Annotation(words.lower())


def _ends_statement(line: str) -> bool:
    """Return whether the last word before a comment ends with a semicolon."""
    last = ""
    for word in line.split():
        if word.startswith("--"):
            break
        last = word
    return last.endswith(";")
