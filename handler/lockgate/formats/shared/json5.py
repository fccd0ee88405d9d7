"""Reads JSON5 as far as settings use it: comments, trailing commas, single quotes, bare keys.

Other numbers and strings of JSON5 are refused.
"""

from __future__ import annotations

import json
import re

_TOKEN = re.compile(
    r"""(?P<space>[\s\ufeff]+|//[^\n\r]*|/\*.*?\*/)
    |(?P<double>"(?:[^"\\\n\r]|\\.)*")
    |(?P<single>'(?:[^'\\\n\r]|\\.)*')
    |(?P<mark>[{}\[\],:])
    |(?P<word>[A-Za-z_$][\w$]*)
    |(?P<number>-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_CONSTANTS = frozenset({"true", "false", "null"})


class Json5Invalid(ValueError):
    """The text cannot be read, at ``offset``."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


def read_json5(text: str) -> object:
    """Return the value of a text.

    Raises:
        Json5Invalid: it is not JSON5, or uses a part of it that is not supported.
    """
    pieces: list[str] = []
    places: list[int] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise Json5Invalid(f"{text[position]!r} is not understood", position)
        if match.lastgroup != "space":
            pieces.append(_to_json(match))
            places.append(position)
        position = match.end()
    return _load(pieces, places)


def _load(pieces: list[str], places: list[int]) -> object:
    """Read the pieces as JSON, without commas before closing brackets."""
    plain = [
        " " if piece == "," and following in {"}", "]"} else f"{piece} "
        for piece, following in zip(pieces, [*pieces[1:], ""], strict=False)
    ]
    try:
        value: object = json.loads("".join(plain))
    except json.JSONDecodeError as error:
        raise Json5Invalid(error.msg, _place_of(plain, places, error.pos)) from None
    except (ValueError, RecursionError, MemoryError) as error:
        what = str(error) if isinstance(error, ValueError) else "it is nested too deeply"
        raise Json5Invalid(what, 0) from None
    return value


def _place_of(pieces: list[str], places: list[int], offset: int) -> int:
    """Return the place in the text of the piece at an offset in the JSON made from it."""
    for piece, place in zip(pieces, places, strict=True):
        if offset < len(piece):
            return place
        offset -= len(piece)
    return places[-1] if places else 0


def _to_json(match: re.Match[str]) -> str:
    piece = match[0]
    if match.lastgroup == "single":
        # JSON has no \' and wants " escaped.
        inner = _ESCAPE.sub(lambda m: "'" if m[1] == "'" else m[0], piece[1:-1])
        return '"' + re.sub(r'(\\.)|"', lambda m: m[1] or '\\"', inner) + '"'
    if match.lastgroup == "word" and piece not in _CONSTANTS:
        return f'"{piece}"'
    return piece
