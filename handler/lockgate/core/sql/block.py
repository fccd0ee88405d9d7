"""Find DO blocks that commit or roll back, which is not allowed inside a transaction block.

This covers PL/pgSQL, PL/Python, PL/Perl and PL/Tcl. Called procedures are not examined; a block that
calls one is reported, because the procedure may commit too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lockgate.core.sql.token import fold_tokens, lower_ascii

if TYPE_CHECKING:
    from collections.abc import Iterator

_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
# What precedes a statement in PL/pgSQL; elsewhere COMMIT and ROLLBACK are names.
_BEFORE_STATEMENT = frozenset({"", ";", "BEGIN", "THEN", "ELSE", "LOOP", ">>"})
_OTHER_LANGUAGES = re.compile(
    r"\bplpy\.(?:commit|rollback)\b|\bspi_(?:commit|rollback)\b"
    r"|^[^\S\n]*+(?:commit|rollback)[ \t]*+(?:;|$)",
    re.MULTILINE,
)


def ends_transaction(tokens: list[str]) -> bool:
    """Return whether a block ends the transaction; ``tokens`` are those after its DO."""
    language, body = _read_block(tokens)
    if language != "plpgsql":
        return _OTHER_LANGUAGES.search(body) is not None
    return any(
        word in {"COMMIT", "ROLLBACK"} and after in {";", "AND"}
        for word, after in _list_statements(body)
    )


def calls_procedure(tokens: list[str]) -> bool:
    """Return whether a block calls a procedure or runs a nested block, which may end the transaction.

    Only in PL/pgSQL can a called procedure do so; other languages call it from inside a statement.
    """
    language, body = _read_block(tokens)
    if language != "plpgsql":
        return False
    return any(word in {"CALL", "DO"} for word, _ in _list_statements(body))


def _read_block(tokens: list[str]) -> tuple[str, str]:
    language = tokens[tokens.index("LANGUAGE") + 1] if "LANGUAGE" in tokens[:-1] else "plpgsql"
    body = next((_unquote(token) for token in tokens if _is_string(token)), "")
    return lower_ascii(language.strip("'\"")), body


def _list_statements(body: str) -> Iterator[tuple[str, str]]:
    """Yield the first two words of each PL/pgSQL statement."""
    texts = ["", *fold_tokens(body), ""]
    for before, word, after in zip(texts, texts[1:], texts[2:], strict=False):
        if before in _BEFORE_STATEMENT:
            yield word, after


def _is_string(token: str) -> bool:
    """Return whether a token is a string; a name may end in a dollar sign, and one may stand alone."""
    return token.endswith("'") or (token.endswith("$") and token.startswith("$") and len(token) > 1)


def _unquote(literal: str) -> str:
    """Return the text of a string literal, accurate enough to search it for words."""
    if literal.startswith("$"):
        tag = literal.index("$", 1) + 1
        return literal[tag:-tag]
    quote = literal.index("'")
    body = literal[quote + 1 : -1].replace("''", "'")
    if quote:
        return _ESCAPE.sub(lambda match: " " if match[1] in "bfnrt" else match[1], body)
    return body
