"""The digest of a script's tokens: an edit of comments or layout does not change it.

Apart from `checksum`, since it takes the lexer, which a run with nothing to do has no use for.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

from lockgate.core.sql import SqlTextInvalid, spell_tokens


def token_checksum(sql: str) -> str:
    """Return ``sha256-tokens:`` and the digest of what the server would notice.

    Comments, white space and the case of keywords do not count; every token is followed by a NUL.

    Raises:
        SqlTextInvalid: the text cannot be split.
    """
    return "sha256-tokens:" + hashlib.sha256(spell_tokens(sql).encode()).hexdigest()


# The scripts of two messages: it is asked for again where they are recorded.
@lru_cache(maxsize=200)
def find_token_checksum(sql: str) -> str | None:
    """Return a text's `token_checksum`, or ``None`` for one that cannot be split.

    Such a text was never run, but another tool may have run it, and an applied file may become one.
    """
    try:
        return token_checksum(sql)
    except SqlTextInvalid:
        return None
