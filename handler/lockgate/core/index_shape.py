"""The shape of the index that a CREATE INDEX requests, for comparison with existing indexes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

_LONGEST_NAME_BYTES = 63


@dataclass(frozen=True, slots=True)
class IndexShape:
    """An index without its name. A key that is an expression is ``None``."""

    is_unique: bool
    method: str
    keys: tuple[str | None, ...]
    included: tuple[str | None, ...] = ()
    is_partial: bool = False


def fold_identifier(name: str) -> str:
    """Return the name that the server stores for an unqualified identifier."""
    if name.startswith('"'):
        value = name[1:-1].replace('""', '"')
    else:
        value = "".join(c.lower() if c.isascii() else c for c in name)
    return value.encode()[:_LONGEST_NAME_BYTES].decode(errors="ignore")


def read_shape(tokens: Sequence[str], place: int) -> IndexShape | None:
    """Return the shape that follows the table's name at ``place``, or ``None`` if it is not valid.

    ``tokens`` are those of a whole statement, unquoted words in upper case.
    """
    method = "btree"
    if tokens[place : place + 1] == ["USING"] and place + 1 < len(tokens):
        method, place = fold_identifier(tokens[place + 1]), place + 2
    keys, place = _read_list(tokens, place)
    if not keys:
        return None
    included: list[str | None] = []
    if tokens[place : place + 1] == ["INCLUDE"]:
        included, place = _read_list(tokens, place + 1)
    return IndexShape(
        is_unique=tokens[1:2] == ["UNIQUE"],
        method=method,
        keys=tuple(keys),
        included=tuple(included),
        is_partial="WHERE" in tokens[place:],
    )


def _read_list(tokens: Sequence[str], place: int) -> tuple[list[str | None], int]:
    """Read ``( … , … )``; return the column of each entry, and the place after it."""
    if tokens[place : place + 1] != ["("]:
        return [], place
    found: list[str | None] = []
    depth, begin = 0, place + 1
    for stop in range(place, len(tokens)):
        depth += (tokens[stop] == "(") - (tokens[stop] == ")")
        is_end = depth == 0
        if is_end or (depth == 1 and tokens[stop] == ","):
            found.append(_read_column(tokens[begin:stop]))
            begin = stop + 1
        if is_end:
            return found, stop + 1
    return [], place


def _read_column(entry: Sequence[str]) -> str | None:
    """Return the column that an entry is, or ``None`` for an expression."""
    is_name = bool(entry) and (entry[0][0].isalpha() or entry[0][0] in '_"' or entry[0][0] > "\x7f")
    if not is_name or entry[1:2] in (["("], ["."]):
        return None
    return fold_identifier(entry[0])
