"""Replace invisible characters in messages by their code points and names.

To PostgreSQL, a no-break space, a zero-width space or a byte order mark inside a file is a letter.
"""

from __future__ import annotations

import unicodedata

_SEEN_SPACE = frozenset(" \t\n\r")
_CATEGORIES = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})
# Letters and marks by category that are displayed as nothing.
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")


def is_invisible(character: str) -> bool:
    """Return whether a character is invisible and not ordinary white space."""
    if character in _SEEN_SPACE:
        return False
    return character in _BLANK or unicodedata.category(character) in _CATEGORIES


def name_invisible(text: str) -> str:
    """Return a text with every invisible character written like ``<U+00A0 NO-BREAK SPACE>``."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(f"<{name_character(c)}>" if is_invisible(c) else c for c in text)


def name_character(character: str) -> str:
    """Return a character's code point, and its name if it has one."""
    # Unicode gives control characters no name, and the byte order mark a misleading one.
    names = {"\ufeff": "BYTE ORDER MARK"}
    name = names.get(character) or unicodedata.name(character, "")
    return f"U+{ord(character):04X} {name}".rstrip()
