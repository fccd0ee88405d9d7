"""The checksum of a script's text. Golden vectors in the tests keep it from changing."""

from __future__ import annotations

import hashlib
import re

_LINE_END = re.compile(r"\r\n?")
_BOM = "\ufeff"


def text_checksum(text: str) -> str:
    """Return ``sha256:`` and the digest of the text.

    A byte order mark, the kind of line ending and trailing newlines do not count, so that a checkout
    on another system has the same checksum.
    """
    if "\r" in text:
        text = _LINE_END.sub("\n", text)
    normal = text.removeprefix(_BOM).rstrip("\n")
    return "sha256:" + hashlib.sha256(normal.encode()).hexdigest()
