"""The two digests of a script. Both algorithms are frozen by golden vectors in the tests."""

from __future__ import annotations

import hashlib
import re

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
    """
    # The lexer is for what is pending or was edited; most runs read text checksums alone.
    from lockgate.core.sql import token_stream  # noqa: PLC0415

    tokens = "".join(f"{token}\0" for token in token_stream(sql))
    return "sha256-tokens:" + hashlib.sha256(tokens.encode()).hexdigest()
