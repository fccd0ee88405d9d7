"""Characters that nobody sees in a message: written by their code points and names.

A no-break space, a zero-width space or a byte order mark inside of a file is a letter to PostgreSQL.
"""

from __future__ import annotations

_SEEN_SPACE = frozenset(" \t\n\r")
_CATEGORIES = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})
# Letters and marks by their category, and nothing to look at.
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")


def is_invisible(character: str) -> bool:
    """Tell whether a character shows nothing, and is not plain white space."""
    import unicodedata  # noqa: PLC0415 - for a text that is beyond ASCII, or odd

    if character in _SEEN_SPACE:
        return False
    return character in _BLANK or unicodedata.category(character) in _CATEGORIES


def name_invisible(text: str) -> str:
    """Return a text in which every invisible character is written as ``<U+00A0 NO-BREAK SPACE>``."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(f"<{name_character(c)}>" if is_invisible(c) else c for c in text)


def name_character(character: str) -> str:
    """Return the code point of a character, and its name if it has one."""
    import unicodedata  # noqa: PLC0415 - as above

    # Control characters have no name, and the byte order mark has another one.
    names = {"\ufeff": "BYTE ORDER MARK"}
    name = names.get(character) or unicodedata.name(character, "")
    return f"U+{ord(character):04X} {name}".rstrip()
