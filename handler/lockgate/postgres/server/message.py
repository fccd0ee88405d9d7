"""One message to the server, and what belongs to which migration in it.

A message is a text of many statements. Its pieces remember whose they are, so that an error's
position, or the number of statements that had finished, leads back to a migration's file.
Knows no connection.
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

# A server reads a message whole before it runs any of it; beyond this, time is lost, not won.
MOST_MIGRATIONS = 100
MOST_CHARACTERS = 1 << 20


class Part(StrEnum):
    """What a piece of a message is for."""

    CONTROL = "control"
    SCRIPT = "script"
    CHECK = "check"
    CHECK_ALL = "check_all"
    RECORD = "record"
    END_TIME = "mark"
    FENCE = "fence"
    FACTS = "facts"


# Each stands behind one migration.
_COUNTED = frozenset({Part.RECORD, Part.END_TIME})


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a message: where it begins, how many results it gives, whose it is.

    For a script's piece, ``script_offset`` is where it begins in the script, ``first`` the index of
    its first statement there, and ``statements`` those that it holds.
    """

    part: Part
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
    """A text to send, the COPY data that goes with it, and its pieces in order."""

    text: str
    copies: tuple[str, ...]
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Blame:
    """The piece at which a message failed, and for a script the statement and the offset in it."""

    piece: Piece
    statement: int | None = None
    offset: int | None = None


@dataclass(slots=True)
class MessageWriter:
    """Puts a message together, piece by piece."""

    _texts: list[str] = field(default_factory=list)
    _copies: list[str] = field(default_factory=list)
    _pieces: list[Piece] = field(default_factory=list)
    _length: int = 0
    _migrations: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing was added yet."""
        return not self._pieces

    @property
    def is_full(self) -> bool:
        """Whether it is time to send."""
        return self._migrations >= MOST_MIGRATIONS or self._length >= MOST_CHARACTERS

    def add(
        self, part: Part, sql: str, *, results: int = 1, migration: Migration | None = None
    ) -> None:
        """Add statements of ours; ``results`` is how many they are."""
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
        """Add the stretch ``span`` of a script verbatim.

        ``statements`` are those in the stretch and ``first`` the index of the first of them. COPY
        data is cut out of the text and kept beside it.
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
            position = min(data_end + 2, span[1])  # behind the \. that ends the data
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
            part=Part.SCRIPT,
            start=self._length,
            length=len(text),
            results=len(statements),
            migration=migration,
            script=script,
            script_offset=offset,
            first=first,
            statements=tuple(statements),
        )
        # The newline ends a comment, the semicolon a statement, that the script left open.
        self._append(text, "\n;\n", piece)

    def _append(self, text: str, end: str, piece: Piece) -> None:
        # Apart, for a text may be so long that another copy of it counts.
        self._texts += (text, end)
        self._pieces.append(piece)
        self._length += len(text) + len(end)

    def take(self) -> Message:
        """Return the message and begin anew."""
        message = Message("".join(self._texts), tuple(self._copies), tuple(self._pieces))
        self._texts, self._copies, self._pieces = [], [], []
        self._length = self._migrations = 0
        return message


def find_blame(message: Message, error: StatementError) -> Blame:
    """Return where a message failed: by the error's position, else by the statements finished."""
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
    """Return the first place of a character; it may also stand in a name, or in a down script."""
    for piece in message.pieces:
        offset = message.text.find(character, piece.start, piece.start + piece.length)
        if offset >= 0 and piece.part is Part.SCRIPT:
            # No statement's: it may stand in a comment.
            return Blame(piece, None, offset - piece.start + piece.script_offset)
        if offset >= 0:
            return Blame(piece)
    return Blame(message.pieces[-1])


def _blame_offset(piece: Piece, offset: int) -> Blame:
    if piece.part is not Part.SCRIPT:
        return Blame(piece)
    before = max(1, sum(statement.start <= offset for statement in piece.statements))
    if piece.statements:
        # The end of a script is placed behind it by the server, in what we added.
        offset = min(offset, piece.statements[before - 1].end)
    return Blame(piece, piece.first + before, offset)


def _blame_index(piece: Piece, index: int) -> Blame:
    if piece.part is not Part.SCRIPT:
        return Blame(piece)
    return Blame(piece, piece.first + index + 1, piece.statements[index].start)


def find_results(
    message: Message, results: Sequence[Result], part: Part
) -> list[tuple[Migration | None, Result]]:
    """Return what each piece for a purpose gave, with the migration that it belongs to."""
    found: list[tuple[Migration | None, Result]] = []
    position = 0
    for piece in message.pieces:
        if piece.part is part:
            found.append((piece.migration, results[position]))
        position += piece.results
    return found
