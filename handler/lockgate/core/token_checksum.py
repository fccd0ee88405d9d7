"""The checksum of a script's tokens: editing comments or layout does not change it.

It is separate from `core.checksum` because it needs the lexer.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

from lockgate.core.sql.script import SqlTextInvalid, normalize_statement, split_statements


class TokenDigest:
    """Digests of a script's first statements. Increasing counts read each token once."""

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
    """Return the digest of a whole script, without comments and layout.

    Raises:
        SqlTextInvalid: the text cannot be split.
    """
    return TokenDigest(sql).after()


# The scripts of two messages: each checksum is needed again to record the script.
@lru_cache(maxsize=200)
def find_token_checksum(sql: str) -> str | None:
    """Return a text's `token_checksum`, or ``None`` if the text cannot be split.

    Lockgate never runs such a text, but another tool may have, or an applied file may be edited to it.
    """
    try:
        return token_checksum(sql)
    except SqlTextInvalid:
        return None
