"""The lexer: split SQL text into tokens by the rules of PostgreSQL's own ``scan.l``.

`lockgate.core.sql.statement` decides where a statement ends.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Final

from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

# Takes the start of a backslash command and returns its end, or None if it is not to be skipped.
Skip = Callable[[int], int | None]


class TokenKind(StrEnum):
    r"""The kind of a token. Space, comments and ``\restrict`` lines are not tokens."""

    WORD = "word"
    """A keyword or an unquoted identifier."""
    QUOTED_IDENTIFIER = "quoted_identifier"
    STRING = "string"
    """``'…'``, ``E'…'`` or ``U&'…'``, with every piece that continues it on later lines."""
    BITS = "bits"
    """``B'…'`` or ``X'…'``."""
    DOLLAR_STRING = "dollar_string"
    NUMBER = "number"
    PARAMETER = "parameter"
    OPERATOR = "operator"
    OPEN = "open"
    CLOSE = "close"
    SEMICOLON = "semicolon"
    PUNCTUATION = "punctuation"
    META_COMMAND = "meta_command"
    """A backslash outside anything quoted, with the word after it."""
    OTHER = "other"
    """A character with which no SQL token begins; the server will refuse it."""
    UNFINISHED = "unfinished"
    """A quoted token or comment that is still open at the end of the text."""


LITERAL_KINDS: Final = frozenset(
    {TokenKind.STRING, TokenKind.BITS, TokenKind.DOLLAR_STRING, TokenKind.NUMBER}
)


@dataclass(frozen=True, slots=True)
class Token:
    """A token: its kind and its character offsets in the text."""

    kind: TokenKind
    start: int
    end: int


# PostgreSQL treats every character beyond ASCII as a letter, even U+00A0 and U+2028. The class lists the
# excluded characters: a class of those beyond ASCII takes twenty times as long to compile.
_LETTER = r"[^\x00-@\[-\^`{-\x7f]"
_LETTER_OR_DIGIT = r"[^\x00-/:-@\[-\^`{-\x7f]"
_WORD = rf"(?![eEbBxX]'|[uU]&['\"]){_LETTER}[^\x00-#%-/:-@\[-\^`{{-\x7f]*+"
_LINE_COMMENT = r"--[^\n\r]*+"
# A nested comment falls through to `comment` and `_end_of_comment`.
_FLAT_COMMENT = r"/\*[^*/]*+(?:(?:\*(?!/)|/(?!\*))[^*/]*+)*+\*/"
# pg_dump frames its output with these lines; their token changes with every dump.
RESTRICT: Final = r"(?<![^\n\r\ufeff])\\(?:un)?restrict[ \t]++[^\s\\]++[ \t]*+(?=[\n\r]|\Z)"
_SPACE = rf"(?:[ \t\n\r\f\v]++|{_LINE_COMMENT}|{_FLAT_COMMENT}|{RESTRICT}|\A\ufeff)*+"
# A string continues in the next pair of quotes if there is a line break between the two.
_NEXT_LINE = rf"(?:[ \t\f\v]++|{_LINE_COMMENT})*+[\n\r](?:[ \t\n\r\f\v]++|{_LINE_COMMENT}[\n\r])*+"
_STANDARD_BODY = r"[^']*+(?:''[^']*+)*+"
_ESCAPE_BODY = r"[^'\\]*+(?:(?:''|\\.)[^'\\]*+)*+"
_TAG = rf"(?:{_LETTER}{_LETTER_OR_DIGIT}*+)?+"
_DIGITS = r"[0-9](?:_?[0-9])*+"
_PUNCTUATION = r",|\.(?![0-9.])|\.\.|::|:=|[:\[\]]"
_OPERATOR = r"(?:(?!--|/\*)[~!@\#^&|`?+\-*/%<>=])++"
_NUMBER = (
    r"0[xX](?:_?[0-9A-Fa-f])++|0[oO](?:_?[0-7])++|0[bB](?:_?[01])++"
    rf"|(?:{_DIGITS}(?:\.(?!\.)(?:{_DIGITS})?+)?+|\.{_DIGITS})(?:[eE][+\-]?+{_DIGITS})?+"
)
_QUOTED_IDENTIFIER = r'(?:[uU]&)?+"[^"]*+(?:""[^"]*+)*+"'


def _quoted(body: str) -> str:
    return f"'{body}'(?:{_NEXT_LINE}'{body}')*+"


_STANDARD_STRING = _quoted(_STANDARD_BODY)
_BITS = "[bBxX]" + _quoted(r"[^']*+")


@cache
def _grammar_of(*, standard_conforming_strings: bool) -> re.Pattern[str]:
    """Return the pattern of "space, then one token", which matches at every offset.

    Every repetition is possessive, so that no text, however broken, causes backtracking.
    """
    plain_body = _STANDARD_BODY if standard_conforming_strings else _ESCAPE_BODY
    return re.compile(
        rf"""{_SPACE}(?:
          (?P<word>{_WORD})
        | (?P<punctuation>{_PUNCTUATION})
        | (?P<open>\()
        | (?P<close>\))
        | (?P<semicolon>;)
        | (?P<string>{_quoted(plain_body)}
            |[eE]{_quoted(_ESCAPE_BODY)}
            |[uU]&{_STANDARD_STRING})
        | (?P<operator>{_OPERATOR})
        | (?P<number>{_NUMBER})
        | (?P<quoted_identifier>{_QUOTED_IDENTIFIER})
        | (?P<dollar_string>\$(?P<tag>{_TAG})\$(?:[^$]++|\$(?!(?P=tag)\$))*+\$(?P=tag)\$)
        | (?P<bits>{_BITS})
        | (?P<comment>/\*)
        | (?P<unfinished>(?:[eEbBxX]|[uU]&)?+'|(?:[uU]&)?+"|\${_TAG}\$)
        | (?P<parameter>\$[0-9]++)
        | (?P<meta_command>\\(?:[A-Za-z_]++|\S)?+)
        | (?P<end>\Z)
        | (?P<other>.)
        )""",
        re.VERBOSE | re.DOTALL,
    )


_LOWER: Final = {ord(capital): capital.lower() for capital in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
_UPPER: Final = {ord(small): chr(capital) for capital, small in _LOWER.items()}
_KINDS: Final = {kind.value: kind for kind in TokenKind}
_LAST: Final = frozenset({"end", "comment", "unfinished"})
_MAY_BE_SPACE: Final = frozenset({"comment", "meta_command"})
_COMMENT_EDGE = re.compile(r"/\*|\*/")
# In PostgreSQL an operator may end in + or - only if it contains one of these.
_FREE_OPERATOR = re.compile(r"[~!@#^&|`?%]")


def match_tokens(
    sql: str,
    start: int = 0,
    end: int | None = None,
    *,
    standard_conforming_strings: bool = True,
    skip: Skip | None = None,
) -> Iterator[re.Match[str]]:
    """Yield one match per token: ``lastgroup`` is its kind, and the group of that name its place.

    `tokenize` and `split_statements` are based on this loop, which builds no value per token. The last
    match is ``comment`` if the text ends in an open comment, ``unfinished`` if it ends in an open quote,
    otherwise ``end``. ``skip`` is called at each backslash command and returns where to continue.
    """
    grammar = _grammar_of(standard_conforming_strings=standard_conforming_strings)
    stop = len(sql) if end is None else end
    while True:
        for match in grammar.finditer(sql, start, stop):
            if match.lastgroup in _MAY_BE_SPACE:
                after = _find_end_of_space(sql, match, stop, skip)
                if after is not None:
                    start = after
                    break
            yield match
            if match.lastgroup in _LAST:
                return


def tokenize(
    sql: str,
    start: int = 0,
    end: int | None = None,
    *,
    standard_conforming_strings: bool = True,
) -> Iterator[Token]:
    """Yield the tokens between two offsets, without space and comments; never raise.

    A text that ends inside quotes or a comment ends in an ``UNFINISHED`` token. The data lines of
    ``COPY … FROM STDIN`` are not SQL: leave them out (`Statement.copy_data`).
    """
    strings = standard_conforming_strings
    for match in match_tokens(sql, start, end, standard_conforming_strings=strings):
        name = match.lastgroup or "end"
        first, last = match.span(name)
        if name == "end":
            return
        if name in {"comment", "unfinished"}:
            yield Token(TokenKind.UNFINISHED, first, len(sql) if end is None else end)
            return
        if name == "operator":
            for text in split_operator(match[name]):
                yield Token(TokenKind.OPERATOR, first, first + len(text))
                first += len(text)
        else:
            yield Token(_KINDS[name], first, last)


def fold_tokens(
    sql: str,
    start: int = 0,
    end: int | None = None,
    *,
    standard_conforming_strings: bool = True,
) -> list[str]:
    """Return the texts of the tokens, unquoted words in upper case, everything else verbatim."""
    strings = standard_conforming_strings
    return [
        upper_ascii(sql[token.start : token.end])
        if token.kind is TokenKind.WORD
        else sql[token.start : token.end]
        for token in tokenize(sql, start, end, standard_conforming_strings=strings)
    ]


def upper_ascii(word: str) -> str:
    """Return ``word`` with ASCII letters in upper case, as in the server's keyword search."""
    return word.upper() if word.isascii() else word.translate(_UPPER)


def mentions(sql: str, words: tuple[str, ...]) -> bool:
    """Return whether a text contains one of some lower-case ASCII words, in any case.

    For ASCII text this is fifteen times as fast as a case-insensitive search; lower-casing other text
    would take a dozen times its size in memory.
    """
    if sql.isascii():
        lowered = sql.lower()
        for word in words:  # noqa: SIM110 - of every script; a generator takes three times as long
            if word in lowered:
                return True
        return False
    return re.search("|".join(words), sql, re.IGNORECASE) is not None


def lower_ascii(word: str) -> str:
    """Return ``word`` in lower case, as the server folds names in a UTF-8 database."""
    return word.lower() if word.isascii() else word.translate(_LOWER)


def split_operator(text: str) -> list[str]:
    """Split trailing signs off an operator as the server does: ``=-`` is ``=`` and ``-``."""
    if text[-1] not in "+-" or _FREE_OPERATOR.search(text):
        return [text]
    stop = max(1, len(text.rstrip("+-")))
    return [text[:stop], *text[stop:]]


def _find_end_of_space(sql: str, match: re.Match[str], stop: int, skip: Skip | None) -> int | None:
    """Return the end of a nested comment or of a skipped command."""
    if match.lastgroup == "comment":
        return _end_of_comment(sql, match.end(), stop)
    return None if skip is None else skip(match.start("meta_command"))


def _end_of_comment(sql: str, position: int, stop: int) -> int | None:
    """Return the end of the comment that was opened before ``position``, with all nested comments."""
    depth = 1
    for edge in _COMMENT_EDGE.finditer(sql, position, stop):
        depth += 1 if edge.group() == "/*" else -1
        if depth == 0:
            return edge.end()
    return None
