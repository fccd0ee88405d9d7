r"""Plain statements: their ends are searched for, and all of their tokens are found at once.

Plain is what holds words, numbers, operators, parentheses and strings without a backslash, and nothing
else that could hide a semicolon. That is most of all SQL, and takes a third of the time of a look at
each token. Of the rest this module says ``None``; of what is plain it says what `sql_statement` and
`sql_text` would.
"""

from __future__ import annotations

import re

from lockgate.core.sql_token import (
    BITS,
    NUMBER,
    OPERATOR,
    PUNCTUATION,
    QUOTED_IDENTIFIER,
    SPACE,
    STANDARD_STRING,
    WORD,
)

# Enough for CREATE UNIQUE INDEX CONCURRENTLY IF; every rule looks at fewer.
MOST_WORDS = 5

_BLANKS = " \t\n\r\f\v"
# This and `_INSIDE` match everywhere, if only nothing.
_SPACE = re.compile(SPACE)
# Where a comment stands among the words, or a line of pg_dump's, the tokens have to be looked at.
_WORDS = re.compile(
    rf"(?>{WORD}(?:[{_BLANKS}]++{WORD}){{0,{MOST_WORDS - 1}}}+[{_BLANKS}]*+)(?!--|/\*|\\)"
)
# Where a string with a backslash in it ends, depends on its kind and on a setting.
_FLAT = r"""[^;()'"$\\/\-]++|'[^'\\]*+'|"[^"]*+"|-(?!-)|/(?!\*)"""
# All up to a semicolon, a comment, the end, or what is not plain; parentheses that hold more than one
# level of others are gone into.
_INSIDE = re.compile(rf"(?:{_FLAT}|\((?:{_FLAT}|\((?:{_FLAT})*+\))*+\))*+")

_QUOTES = frozenset("'\"")
_TOKEN = re.compile(
    rf"({WORD}|[(),]|{NUMBER}|{PUNCTUATION}|(?:[eE]|[uU]&)?+{STANDARD_STRING}"
    rf"|{QUOTED_IDENTIFIER}|{BITS}|{OPERATOR}|[^{_BLANKS}])[{_BLANKS}]*+(?:--[^\n\r]*+[{_BLANKS}]*+)*+"
)
# A number with a capital, and an operator that `split_operator` may have to cut.
_ODD = re.compile(r"\0(?:[0-9.][0-9a-z_.]*+[A-Z]|[~!@#^&|`?+\-*/%<>=]++(?<=[^\0][+\-])\0)")


def find_plain(sql: str, position: int) -> tuple[int, int, tuple[str, ...], int] | None:
    """Find the next statement, if it is plain.

    Return its start and end, its leading words, and where to go on, all as `sql_statement.Statement`
    has them; start and end are the same where there is no other statement.
    """
    start = _SPACE.match(sql, position).end()  # type: ignore[union-attr]
    while sql.startswith(";", start):
        start = _SPACE.match(sql, start + 1).end()  # type: ignore[union-attr]
    if start == len(sql):
        return start, start, (), start
    words = _WORDS.match(sql, start)
    end = None if words is None else _find_end(sql, start)
    if words is None or end is None or not words[0].isascii():
        return None
    stop, semicolon = end
    length = len(sql[start:stop].rstrip(_BLANKS))
    return start, start + length, tuple(words[0].upper().split()), semicolon + 1


def _find_end(sql: str, start: int) -> tuple[int, int] | None:
    """Return where a statement ends, with what space is behind it, and where its semicolon stands."""
    depth, place, last = 0, start, start
    while True:
        stop = _INSIDE.match(sql, place).end()  # type: ignore[union-attr]
        if stop > place:
            last = stop
        edge = sql[stop : stop + 1]
        if edge in {";", ""} and depth == 0:
            return last, stop
        if edge in {"(", ")", ";"}:
            depth += (edge == "(") - (edge == ")")
            last = place = stop + 1
            if depth < 0:
                return None
            continue
        place = _SPACE.match(sql, stop).end()  # type: ignore[union-attr]
        if place == stop:
            return None


def spell_plain(statement: str) -> str | None:
    """Return all tokens of a statement, if it is plain, each as `sql_text.spell_tokens` has it."""
    is_hiding = "$" in statement or "\\" in statement or "/*" in statement
    if is_hiding or not statement.isascii():
        return None
    tokens = _TOKEN.findall(statement)
    spelled = "\0".join(tokens)
    if _ODD.search(f"\0{spelled}\0") is not None:
        return None
    if "'" in statement or '"' in statement:
        spelled = "\0".join([t if t[-1] in _QUOTES else t.lower() for t in tokens])
    else:
        spelled = spelled.lower()
    return f"{spelled}\0"
