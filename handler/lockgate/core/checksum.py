"""The two digests of a script. Both algorithms are frozen by golden vectors in the tests."""

from __future__ import annotations

import hashlib
import re

from lockgate.core.sql import SqlTextInvalid, token_stream

_LINE_END = re.compile(r"\r\n?")
_BOM = "\ufeff"


def text_checksum(text: str) -> str:
    """Return ``sha256:`` and the digest of the text.

    A byte order mark, the kind of line ending and newlines at the end do not count, so that a
    checkout on another system has the same checksum.
    """
    if "\r" in text:
        text = _LINE_END.sub("\n", text)
    normal = text.removeprefix(_BOM).rstrip("\n")
    return "sha256:" + hashlib.sha256(normal.encode()).hexdigest()


def token_checksum(sql: str) -> str:
    """Return ``sha256-tokens:`` and the digest of what the server would notice.

    Comments, white space and the case of keywords do not count; every token is followed by a NUL.

    Raises:
        SqlTextInvalid: the text cannot be split.
    """
    digest = hashlib.sha256()
    for token in token_stream(sql):
        digest.update(token.encode() if isinstance(token, str) else token)
        digest.update(b"\0")
    return "sha256-tokens:" + digest.hexdigest()


def find_token_checksum(sql: str) -> str | None:
    """Return a text's `token_checksum`, or ``None`` for one that cannot be split.

    Such a text was never run, but another tool may have run it, and an applied file may become one.
    """
    try:
        return token_checksum(sql)
    except SqlTextInvalid:
        return None
