"""Changes a changeset's text as Liquibase does before it sends it: parameters, delimiters, comments.

Liquibase's lexer does not know dollar quotes. Line numbers stay the same.
"""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING

from lockgate.core.sql.script import TokenKind, tokenize
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Liquibase's tokens that decide where comments are. To it, a quotation mark in a dollar-quoted body
# opens a string, and so does a bracket that is not followed by a digit.
_LEXER = re.compile(
    r"""(?P<comment>--[^\r\n]*)
    |(?P<block>/\*)
    |'(?:''|\\.|[^\\'])*(?:'|\\')
    |"(?:""|\\.|[^\\"])*(?:"|\\")
    |"[^\n\r"]+"
    |`[^\n\r`]+`
    |(?P<bracket>\[[^0-9\]])""",
    re.VERBOSE | re.DOTALL,
)
_BRACKET_END = re.compile(r"[\n\r\]]|\Z")
_PARAMETER = re.compile(r"\$\{([^${}]*)\}")
# Patterns that only mean "at the beginning of a line", and delimiters that are not patterns.
_AT_LINE = re.compile(
    r"(?:\\r)?(?:\\n)+(?:\\s\*)?([A-Za-z]+|/)(?:\\s\*)?(?:\\n|\$)?", re.IGNORECASE
)
_PLAIN = re.compile(r"[A-Za-z]+|[/;~@#%!&]+")


@dataclass(frozen=True, slots=True)
class Delimiters:
    """The ends of statements besides semicolons, in lower case: at a line's beginning, or anywhere."""

    at_line: frozenset[str] = frozenset({"go", "/"})
    anywhere: frozenset[str] = frozenset()


class DelimiterUnusable(Exception):
    """A delimiter is a regular expression that Lockgate does not support."""


def fill_parameters(text: str, find: Callable[[str, int], str | None]) -> str:
    """Return a text with its parameters filled in; one without a value stays as it is.

    ``find`` gets the name and the offset of a parameter.
    """

    def value(match: re.Match[str]) -> str:
        found = find(match[1].strip(), match.start())
        return match[0] if found is None else found

    return _PARAMETER.sub(value, text)


def _find_comments(text: str) -> Iterator[tuple[int, int]]:
    """Yield the spans that are comments to Liquibase.

    Ends are found here rather than by the pattern, and remembered: a text may open thousands of comments
    and brackets and close none, which must not take quadratic time.
    """
    last_end = text.rfind("*/")
    position = bracket_end = 0
    while (found := _LEXER.search(text, position)) is not None:
        position = found.end()
        if found["comment"] is not None:
            yield found.span()
        elif found["block"] is not None and position <= last_end:
            position = text.index("*/", position) + 2
            yield found.start(), position
        elif found["bracket"] is not None:
            if bracket_end < position:
                end = _BRACKET_END.search(text, position)
                bracket_end = len(text) if end is None else end.start()
            is_closed = text.startswith("]", bracket_end)
            position = bracket_end + 1 if is_closed else found.start() + 1


def strip_body_comments(text: str) -> str:
    """Remove the comments from dollar-quoted bodies, where the server would store them.

    Elsewhere a comment makes no difference. Removed line breaks are added after the body.
    """
    if "$" not in text:
        return text
    comments = deque(_find_comments(text))
    pieces: list[str] = []
    position = 0
    for token in tokenize(text):
        if token.kind is not TokenKind.DOLLAR_STRING:
            continue
        body_lines = 0
        while comments and comments[0][0] < token.end:
            start, end = comments.popleft()
            if token.start < start and end < token.end:
                pieces.append(text[position:start])
                body_lines += text.count("\n", start, end)
                position = end
        pieces.append(text[position : token.end] + "\n" * body_lines)
        position = token.end
    return "".join(pieces) + text[position:]


def read_delimiters(pattern: str | None) -> Delimiters:
    """Return the delimiters of an ``endDelimiter``; without one they are GO and a slash.

    Raises:
        DelimiterUnusable: it is a regular expression that means more than "at a line's beginning".
    """
    if pattern is None:
        return Delimiters()
    at_line: set[str] = set()
    anywhere: set[str] = set()
    for part in filter(None, pattern.split("|")):
        own_line = _AT_LINE.fullmatch(part)
        if own_line is not None:
            at_line.add(own_line[1].lower())
        elif part == "/":
            at_line.add(part)
        elif _PLAIN.fullmatch(part):
            anywhere.add(part.lower())
        else:
            raise DelimiterUnusable(pattern)
    return Delimiters(frozenset(at_line), frozenset(anywhere - {";", ";;"}))


def replace_delimiters(text: str, delimiters: Delimiters) -> str:
    """Return a text in which a semicolon ends each statement; offsets stay the same."""
    out: list[str] | None = None
    for token in tokenize(text):
        word = text[token.start : token.end].lower()
        is_at_line = text[max(token.start - 1, 0) : token.start] in {"", "\n"}
        if word in delimiters.anywhere or (word in delimiters.at_line and is_at_line):
            out = out or list(text)
            out[token.start : token.end] = ";" + " " * (len(word) - 1)
    return text if out is None else "".join(out)
