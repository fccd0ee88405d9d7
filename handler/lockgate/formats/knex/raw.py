r"""What ``knex.raw`` sends of a text: question marks are its parameters. Knows no file."""

from __future__ import annotations

import re

from lockgate.core.migration import Obstacle
from lockgate.core.sql.script import TokenKind, tokenize
from lockgate.formats.shared.folder import line_of

_QUESTION = re.compile(r"(?<!\\)(\\*+)\?")


def as_raw_sends(text: str) -> tuple[str, Obstacle | None]:
    r"""Return what ``knex.raw`` makes of a text, and what of it Knex cannot send.

    ``\?`` is sent as a question mark, ``?`` as ``$1``, ``$2`` and so on. In a string or a comment that
    goes unnoticed, and is what Knex has sent ever since.
    """
    count = 0
    probe: list[str] = []
    pieces: list[str] = []
    behind = 0
    for match in _QUESTION.finditer(text):
        between = text[behind : match.start()]
        is_escaped = len(match[1]) % 2 == 1
        count += not is_escaped
        pieces += (between, "?" if is_escaped else f"${count}")
        probe += (between, "~" * len(match[1]), "~" if is_escaped else "?")
        behind = match.end()
    obstacle = _find_parameter("".join([*probe, text[behind:]]))
    return "".join([*pieces, text[behind:]]), obstacle


def _find_parameter(probe: str) -> Obstacle | None:
    """Find a question mark that stands as SQL: Knex would send a parameter without its value."""
    for token in tokenize(probe):
        if token.kind is TokenKind.OPERATOR and "?" in probe[token.start : token.end]:
            return Obstacle(
                "has a question mark that knex.raw takes for a parameter",
                r"Write \? for the operator, as knex.raw wants it; Lockgate sends ? then.",
                line_of(probe, token.start),
            )
    return None
