"""The digest of a script's tokens: an edit of comments or layout does not change it.

Apart from `checksum`, since it takes the lexer, which a run with nothing to do has no use for.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

from lockgate.core.sql.script import SqlTextInvalid, normalize_statement, split_statements


class TokenDigest:
    """The digests of a script's first statements. Going through all of them reads each token once."""

    def __init__(self, sql: str) -> None:
        self._sql = sql
        self._restart()

    def _restart(self) -> None:
        self._digest = hashlib.sha256()
        self._count = 0

    def after(self, count: int | None = None) -> str:
        """Return ``sha256-tokens:`` and the digest of the first ``count`` statements, or of all.

        COPY data counts. Comments, white space and the case of keywords do not; every token is
        followed by a NUL.

        Raises:
            SqlTextInvalid: the script cannot be split.
        """
        statements = split_statements(self._sql)
        stop = len(statements) if count is None else count
        if stop < self._count:
            self._restart()
        for statement in statements[self._count : stop]:
            for piece in normalize_statement(self._sql, statement):
                self._digest.update(piece.encode())
        self._count = stop
        return "sha256-tokens:" + self._digest.hexdigest()


def token_checksum(sql: str) -> str:
    """Return the digest of a whole script: of what the server would notice.

    Raises:
        SqlTextInvalid: the text cannot be split.
    """
    return TokenDigest(sql).after()


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
