"""Split a script into statements where psql and the server would split it.

Parentheses, ``BEGIN ATOMIC … END`` and COPY data are taken into account. Places are offsets in the text.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

from lockgate.core.sql.setting import SETTING_COMMANDS, string_setting_after
from lockgate.core.sql.token import match_tokens, mentions, upper_ascii
from lockgate.errors import MigrationFileInvalid
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lockgate.core.sql.token import Skip

# Enough for CREATE UNIQUE INDEX CONCURRENTLY IF; every rule looks at fewer.
_MOST_WORDS = 5
# PostgreSQL truncates longer names.
_LONGEST_NAME = 63
_NEWLINE = re.compile(r"\r\n|\n|\r")
_ATOMIC = re.compile("atomic", re.IGNORECASE)
_SETTERS = SETTING_COMMANDS | {"SELECT"}
_ROUTINES = (("FUNCTION",), ("PROCEDURE",))
# The tokens that end a statement, a parenthesis or the whole text.
_EDGES = frozenset({"semicolon", "open", "close", "end", "comment", "unfinished", "meta_command"})
_DESCRIPTIONS = {"/*": "unterminated /* comment", ")": "unbalanced parenthesis"}
_NOTHING = " \t\n\r\f\v;"
_STRING_SETTING = ("standard_conforming_strings",)
_REST_OF_COPY_LINE = re.compile(r"[ \t\f\v]*+(?:--[^\n\r]*+)?+(?:\r\n|\n|\r|\Z)")
# It begins with its two fixed characters, so that megabytes of data are searched at full speed.
_END_OF_COPY_DATA = re.compile(r"\\\.(?<=[\n\r]\\\.)(?=[\n\r]|\Z)")


class SqlTextInvalid(MigrationFileInvalid):
    """The text cannot be sent as SQL: it ends too early, or contains a psql command.

    ``offset``, ``line`` and ``column`` are places in the text; the caller adds where that text begins
    in its file.
    """

    def __init__(self, message: str, *, sql: str, offset: int) -> None:
        line, column = line_and_column(sql, offset)
        super().__init__(message, line=line, column=column)
        self.offset = offset


@dataclass(frozen=True, slots=True)
class Statement:
    r"""The place of a statement in a text.

    ``start`` and ``end`` are the character offsets of its first token and after its last one, without
    the semicolon and without space or comments around it. ``words`` are its leading unquoted words in
    upper case, at most five, up to the first token of another kind. ``copy_data`` are the offsets of
    the COPY data lines after it, without the ``\.`` line. ``standard_conforming_strings`` is how its
    strings were read. If the script itself turns the setting off, later statements must not be in the
    same message, because the server parses a whole message with the setting from before it.
    """

    start: int
    end: int
    copy_data: tuple[int, int] | None
    words: tuple[str, ...]
    standard_conforming_strings: bool = True


def line_and_column(sql: str, offset: int) -> tuple[int, int]:
    """Return line and column of ``offset``, both from 1; the column counts characters."""
    line, begin = 1, 0
    for newline in _NEWLINE.finditer(sql):
        if newline.end() > offset:
            break
        line, begin = line + 1, newline.end()
    return line, offset - begin + 1


# A script is split for each plan, and again for its token checksum.
@lru_cache(maxsize=1 << 15)
def split_statements(
    sql: str, *, standard_conforming_strings: bool = True
) -> tuple[Statement, ...]:
    r"""Return the statements of ``sql`` in order, without empty ones.

    Raises:
        SqlTextInvalid: The text ends inside a quoted token, a comment, a parenthesis, a routine's
            ``BEGIN ATOMIC`` or COPY data; or it holds a psql meta-command other than ``\restrict``
            and ``\unrestrict``, or a NUL character.
    """
    return tuple(iterate_statements(sql, standard_conforming_strings=standard_conforming_strings))


def iterate_statements(
    sql: str, *, standard_conforming_strings: bool = True, skip: Skip | None = None
) -> Iterator[Statement]:
    """Yield the statements that `split_statements` returns; raise its errors when they are reached.

    ``skip`` is called at each backslash command and returns where to continue after it, or ``None``.
    """
    nul = sql.find("\0")
    if nul >= 0:
        raise SqlTextInvalid("NUL character", sql=sql, offset=nul)
    before = strings = standard_conforming_strings
    follow = mentions(sql, _STRING_SETTING)
    position, last = 0, len(sql.rstrip(_NOTHING))
    while position < last:
        statement, position = _read_part(sql, position, strings=strings, skip=skip)
        if statement is None:
            return
        if _is_routine(statement) and _ATOMIC.search(sql, statement.start, statement.end):
            statement, position = _read_body(sql, statement, position)
        if statement.words[:1] == ("COPY",) and _reads_client_data(sql, statement):
            statement, position = _read_copy_data(sql, statement, position)
        yield statement
        if follow and not _SETTERS.isdisjoint(statement.words[:1]):
            text = sql[statement.start : statement.end]
            strings = string_setting_after(text, now=strings, before=before)


def _read_part(
    sql: str, position: int, *, strings: bool, skip: Skip | None = None
) -> tuple[Statement | None, int]:
    """Read up to the next semicolon outside parentheses; return the statement and where to continue.

    Empty statements are skipped.
    """
    first = last = None
    words: list[str] = []
    in_words = True
    open_at: list[int] = []
    # This loop runs for every token of every migration, so it avoids calls.
    for match in match_tokens(sql, position, standard_conforming_strings=strings, skip=skip):
        kind = match.lastgroup
        if kind in _EDGES:
            if kind == "end" or (kind == "semicolon" and not open_at):
                if last is not None or kind == "end":
                    break
                continue
            _follow_parentheses(sql, match, open_at)
        if first is None:
            first = match
        last = match
        if in_words:
            in_words = kind == "word" and len(words) < _MOST_WORDS
            if in_words:
                words.append(upper_ascii(match["word"]))
    if open_at:
        raise SqlTextInvalid("unbalanced parenthesis", sql=sql, offset=open_at[-1])
    if first is None or last is None:
        return None, len(sql)
    start = first.start(first.lastgroup or 0)
    return Statement(start, last.end(), None, _share(tuple(words)), strings), match.end()


# Many statements begin with the same words, which then share one tuple.
@lru_cache(maxsize=1 << 10)
def _share(words: tuple[str, ...]) -> tuple[str, ...]:
    return words


def _follow_parentheses(sql: str, match: re.Match[str], open_at: list[int]) -> None:
    """Track the offsets of open parentheses; refuse a token after which the text cannot continue.

    Raises:
        SqlTextInvalid: A parenthesis closes that was not opened, a quoted token or a comment does
            not end, or this is a psql meta-command.
    """
    kind = match.lastgroup
    if kind == "open":
        open_at.append(match.start(kind))
    elif kind == "close" and open_at:
        open_at.pop()
    elif kind != "semicolon":
        place = match.start(kind or 0)
        raise SqlTextInvalid(_describe(match[kind or 0]), sql=sql, offset=place)


def _describe(text: str) -> str:
    """Describe why the text cannot continue at this token."""
    if text.startswith("\\"):
        return f"psql meta-command {text[:_LONGEST_NAME]} is not SQL"
    if text.startswith("$"):
        return f"unterminated dollar-quoted string {text[:_LONGEST_NAME]}"
    if text.endswith('"'):
        return "unterminated quoted identifier"
    return _DESCRIPTIONS.get(text, "unterminated quoted string")


def _is_routine(statement: Statement) -> bool:
    words = statement.words
    return words[:1] == ("CREATE",) and (
        words[1:2] in _ROUTINES or (words[1:3] == ("OR", "REPLACE") and words[3:4] in _ROUTINES)
    )


def _read_body(sql: str, head: Statement, position: int) -> tuple[Statement, int]:
    """If ``head`` opened a body with BEGIN ATOMIC, read on to its END.

    That END follows a semicolon or ATOMIC itself: the END of a CASE, or a column called "end", never
    does.
    """
    opened_at = _find_open_body(sql, head)
    while opened_at is not None:
        part, position = _read_part(sql, position, strings=head.standard_conforming_strings)
        if part is None:
            raise SqlTextInvalid("BEGIN ATOMIC without END", sql=sql, offset=opened_at)
        head = replace(head, end=part.end)
        if part.words[:1] == ("END",):
            break
    return head, position


def _find_open_body(sql: str, head: Statement) -> int | None:
    """Return the offset of BEGIN ATOMIC, unless END follows immediately."""
    tokens = list(_top_words(sql, head))
    words = [word for word, _ in tokens]
    for place, pair in enumerate(pairwise(words)):
        if pair == ("BEGIN", "ATOMIC"):
            is_empty = words[place + 2 : place + 3] == ["END"]
            return None if is_empty else tokens[place][1]
    return None


def _reads_client_data(sql: str, statement: Statement) -> bool:
    """Return whether a COPY reads lines from the client; the server treats FROM STDOUT the same way."""
    words = [word for word, _ in _top_words(sql, statement)]
    return ("FROM", "STDIN") in pairwise(words) or ("FROM", "STDOUT") in pairwise(words)


def _top_words(sql: str, statement: Statement) -> Iterator[tuple[str, int]]:
    """Yield the tokens outside parentheses: a word in upper case, "" for others, and its offset."""
    depth = 0
    strings = statement.standard_conforming_strings
    for match in match_tokens(
        sql, statement.start, statement.end, standard_conforming_strings=strings
    ):
        kind = match.lastgroup
        depth += (kind == "open") - (kind == "close")
        if depth == 0:
            text = upper_ascii(match["word"]) if kind == "word" else ""
            yield text, match.start(kind or 0)


def _read_copy_data(sql: str, statement: Statement, position: int) -> tuple[Statement, int]:
    r"""Add the lines between the statement and ``\.`` to it as its data."""
    line_end = _REST_OF_COPY_LINE.match(sql, position)
    if line_end is None:
        message = "COPY data must begin on the line after the statement"
        raise SqlTextInvalid(message, sql=sql, offset=position)
    data_end = _END_OF_COPY_DATA.search(sql, line_end.end())
    if data_end is None:
        raise SqlTextInvalid("COPY data without \\.", sql=sql, offset=statement.start)
    return replace(statement, copy_data=(line_end.end(), data_end.start())), data_end.end()
