"""One message to the server, which may hold the statements of many migrations.

Its pieces record which migration they belong to, so that the position of an error, or the number of
finished statements, leads back to the file of a migration.
"""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum
from typing import TYPE_CHECKING

from lockgate.core.sql.script import Statement, sendable
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lockgate.core.migration import Migration, Script
    from lockgate.postgres.server.statement_result import Result, StatementError

# The server parses a whole message before it runs any of it; longer messages are slower.
MOST_MIGRATIONS = 100
MOST_CHARACTERS = 1 << 20


class MessagePart(StrEnum):
    """The purpose of a piece of a message."""

    CONTROL = "control"
    SCRIPT = "script"
    CHECK = "check"
    CHECK_ALL = "check_all"
    RECORD = "record"
    END_TIME = "mark"
    FENCE = "fence"
    FACTS = "facts"


# There is one of these per migration.
_COUNTED = frozenset({MessagePart.RECORD, MessagePart.END_TIME})


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a message: where it begins, how many results it has, whose it is.

    If it is from a script, ``script_offset`` is where it begins there, ``first`` the index of its first
    statement, and ``statements`` are the statements in it.
    """

    part: MessagePart
    start: int
    length: int
    results: int
    migration: Migration | None = None
    script: Script | None = None
    script_offset: int = 0
    first: int = 0
    statements: tuple[Statement, ...] = ()


@dataclass(frozen=True, slots=True)
class Message:
    """A text to send, its COPY data, and its pieces in order."""

    text: str
    copies: tuple[str, ...]
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Blame:
    """The piece in which a message failed; for a script, also the statement and the offset."""

    piece: Piece
    statement: int | None = None
    offset: int | None = None


@dataclass(slots=True)
class MessageWriter:
    """Builds a message piece by piece."""

    _texts: list[str] = field(default_factory=list)
    _copies: list[str] = field(default_factory=list)
    _pieces: list[Piece] = field(default_factory=list)
    _length: int = 0
    _migrations: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether the message has no pieces."""
        return not self._pieces

    @property
    def is_full(self) -> bool:
        """Whether the message should be sent before more is added."""
        return self._migrations >= MOST_MIGRATIONS or self._length >= MOST_CHARACTERS

    def add(
        self, part: MessagePart, sql: str, *, results: int = 1, migration: Migration | None = None
    ) -> None:
        """Add statements of Lockgate; ``results`` is their number."""
        self._migrations += migration is not None and part in _COUNTED
        self._append(sql, ";\n", Piece(part, self._length, len(sql), results, migration))

    def add_script(
        self,
        migration: Migration,
        script: Script,
        statements: Sequence[Statement],
        span: tuple[int, int],
        first: int = 0,
    ) -> None:
        """Add the part ``span`` of a script verbatim.

        ``statements`` are the statements in that part, ``first`` is the index of the first. COPY data is
        taken out of the text and sent separately.
        """
        text = sendable(script.sql)
        position = span[0]
        waiting: list[Statement] = []
        for index, statement in enumerate(statements):
            waiting.append(statement)
            if statement.copy_data is None:
                continue
            data_start, data_end = statement.copy_data
            begin = first + index + 1 - len(waiting)
            self._add_stretch(
                migration, script, text[position:data_start], position, waiting, begin
            )
            self._copies.append(script.sql[data_start:data_end])
            position = min(data_end + 2, span[1])  # after the \. that ends the data
            waiting = []
        begin = first + len(statements) - len(waiting)
        self._add_stretch(migration, script, text[position : span[1]], position, waiting, begin)

    def _add_stretch(
        self,
        migration: Migration,
        script: Script,
        text: str,
        offset: int,
        statements: list[Statement],
        first: int,
    ) -> None:
        piece = Piece(
            part=MessagePart.SCRIPT,
            start=self._length,
            length=len(text),
            results=len(statements),
            migration=migration,
            script=script,
            script_offset=offset,
            first=first,
            statements=tuple(statements),
        )
        # The newline ends a comment that the script left open, the semicolon a statement.
        self._append(text, "\n;\n", piece)

    def _append(self, text: str, end: str, piece: Piece) -> None:
        # Not concatenated: another copy of a long text would matter.
        self._texts += (text, end)
        self._pieces.append(piece)
        self._length += len(text) + len(end)

    def take(self) -> Message:
        """Return the message and start a new one."""
        message = Message("".join(self._texts), tuple(self._copies), tuple(self._pieces))
        self._texts, self._copies, self._pieces = [], [], []
        self._length = self._migrations = 0
        return message


def find_blame(message: Message, error: StatementError) -> Blame:
    """Return where a message failed: by the position of the error, else by the finished statements."""
    if error.untranslatable is not None:
        return _blame_character(message, error.untranslatable)
    if error.position is not None:
        for piece in reversed(message.pieces):
            if piece.start <= error.position:
                return _blame_offset(piece, error.position - piece.start + piece.script_offset)
    finished = len(error.results)
    for piece in message.pieces:
        if finished < piece.results:
            return _blame_index(piece, finished)
        finished -= piece.results
    return Blame(message.pieces[-1])


def _blame_character(message: Message, character: str) -> Blame:
    """Return the first occurrence of a character, which may be in a name or a down script too."""
    for piece in message.pieces:
        offset = message.text.find(character, piece.start, piece.start + piece.length)
        if offset >= 0 and piece.part is MessagePart.SCRIPT:
            # It may be in a comment, so no statement is named.
            return Blame(piece, None, offset - piece.start + piece.script_offset)
        if offset >= 0:
            return Blame(piece)
    return Blame(message.pieces[-1])


def _blame_offset(piece: Piece, offset: int) -> Blame:
    if piece.part is not MessagePart.SCRIPT:
        return Blame(piece)
    before = max(1, sum(statement.start <= offset for statement in piece.statements))
    if piece.statements:
        # For an error at the end of a script, the server gives a position in the text that we added.
        offset = min(offset, piece.statements[before - 1].end)
    return Blame(piece, piece.first + before, offset)


def _blame_index(piece: Piece, index: int) -> Blame:
    if piece.part is not MessagePart.SCRIPT:
        return Blame(piece)
    return Blame(piece, piece.first + index + 1, piece.statements[index].start)


def find_results(
    message: Message, results: Sequence[Result], part: MessagePart
) -> list[tuple[Migration | None, Result]]:
    """Return the results of all pieces with this purpose, each with its migration."""
    found: list[tuple[Migration | None, Result]] = []
    position = 0
    for piece in message.pieces:
        if piece.part is part:
            found.append((piece.migration, results[position]))
        position += piece.results
    return found
