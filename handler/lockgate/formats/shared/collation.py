"""Sorts names as JavaScript's ``localeCompare`` does, as far as they are ASCII.

Node.js tools sort file names by Unicode's root collation: punctuation before digits, digits before
letters, and case last.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

_PUNCTUATION = " _-,;:!?.'\"()[]{}@*/\\&#%"
_SYMBOLS = "`^+<=>|~$"
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_RANKS = {c: rank for rank, c in enumerate(f"{_PUNCTUATION}{_SYMBOLS}0{_LETTERS}", start=1)}
_DIGIT_RANK = _RANKS["0"]
# After every character that has a rank. The order of two such characters is unknown here.
_FOREIGN = len(_RANKS) + 1
_PIECES = re.compile(r"[0-9]+|[^0-9]", re.DOTALL)
_DIGITS = re.compile(r"[0-9]", re.DOTALL)


@dataclass(frozen=True, slots=True, order=True)
class LocaleKey:
    """The sort key of a name: its characters, then their case."""

    ranks: tuple[tuple[int, int], ...]
    cases: tuple[bool, ...]


def plain_key(name: str) -> LocaleKey:
    """Return the key of ``a.localeCompare(b)``."""
    ranks = tuple((_DIGIT_RANK, int(c)) if _DIGITS.fullmatch(c) else _rank_of(c) for c in name)
    return LocaleKey(ranks, tuple(c.isupper() for c in name))


def numeric_key(name: str) -> LocaleKey:
    """Return the key of the options ``numeric`` and ``ignorePunctuation``: 9 comes before 10."""
    pieces = [piece for piece in _PIECES.findall(name) if piece not in _PUNCTUATION]
    ranks = tuple(
        (_DIGIT_RANK, int(piece)) if _DIGITS.match(piece) else _rank_of(piece) for piece in pieces
    )
    return LocaleKey(ranks, tuple(piece.isupper() for piece in pieces))


def find_undecided(keys: Iterable[LocaleKey]) -> int | None:
    """Return the place of the first of the sorted keys whose order to the next one is uncertain.

    The two are equal, or the first difference is a character beyond ASCII.
    """
    for place, (one, other) in enumerate(pairwise(keys)):
        pairs = zip(one.ranks, other.ranks, strict=False)
        first = next(((a, b) for a, b in pairs if a != b), None)
        if one == other or (first is not None and first[1][0] == _FOREIGN):
            return place
    return None


def _rank_of(character: str) -> tuple[int, int]:
    rank = _RANKS.get(character.lower())
    return (_FOREIGN, ord(character)) if rank is None else (rank, 0)
