r"""Makes the text that ``knex.raw`` sends, in which question marks are parameters."""

from __future__ import annotations

import re

from lockgate.core.migration import Obstacle
from lockgate.core.sql.script import TokenKind, tokenize
from lockgate.formats.shared.folder import line_of

_QUESTION = re.compile(r"(?<!\\)(\\*+)\?")


def as_raw_sends(text: str) -> tuple[str, Obstacle | None]:
    r"""Return the text that ``knex.raw`` sends, and the obstacle if Knex cannot send it.

    ``\?`` is sent as a question mark, ``?`` as ``$1``, ``$2`` and so on. In a string or a comment the
    server does not object, so that is what databases already have.
    """
    count = 0
    probe: list[str] = []
    pieces: list[str] = []
    position = 0
    for match in _QUESTION.finditer(text):
        between = text[position : match.start()]
        is_escaped = len(match[1]) % 2 == 1
        count += not is_escaped
        pieces += (between, "?" if is_escaped else f"${count}")
        probe += (between, "~" * len(match[1]), "~" if is_escaped else "?")
        position = match.end()
    obstacle = _find_parameter("".join([*probe, text[position:]]))
    return "".join([*pieces, text[position:]]), obstacle


def _find_parameter(probe: str) -> Obstacle | None:
    """Find a question mark in SQL: Knex would send a parameter without a value."""
    for token in tokenize(probe):
        if token.kind is TokenKind.OPERATOR and "?" in probe[token.start : token.end]:
            return Obstacle(
                "has a question mark that knex.raw reads as a parameter",
                r"Write \? for the operator, as knex.raw requires; Lockgate then sends ?.",
                line_of(probe, token.start),
            )
    return None
