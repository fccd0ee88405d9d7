"""What one statement of a message gave: its result, or the server's error."""

from __future__ import annotations

import re
from typing import Any

from lockgate.fast_start.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Result:
    """What one statement gave: its command tag and its rows, if it returns any."""

    tag: str
    rows: tuple[tuple[Any, ...], ...]


# Waiting has a context too, the row that was waited for; its message says nothing of it.
_WAITED = frozenset({"55P03", "40P01", "57014"})
OWN_BLOCK = "inline_code_block"


class StatementError(Exception):
    """The server refused a statement of a message.

    ``fields`` are the error's own (protocol manual, section 54.8): ``C`` SQLSTATE, ``M`` message,
    ``P`` position in characters from 1, ``H`` hint. ``results`` are those of the statements of the
    message that had finished. As text it is fit to be shown where the statement was ours: what a
    trigger said, which may quote rows, is left out.
    """

    def __init__(self, fields: dict[str, str], results: list[Result]) -> None:
        said = fields.get("M", "unknown error")
        super().__init__(_WORDLESS if _is_of_function(fields) else said)
        self.fields = fields
        self.results = results

    @property
    def sqlstate(self) -> str:
        """The five characters of the error's class."""
        return self.fields.get("C", "XX000")

    @property
    def position(self) -> int | None:
        """Where in the message, in characters from 0."""
        raw = self.fields.get("P")
        return None if raw is None else int(raw) - 1

    @property
    def untranslatable(self) -> str | None:
        """The character that the database's encoding lacks, if that is what was refused.

        The server translates a message whole, before it reads any of it, and gives no position.
        """
        found = _BYTES.search(self.fields.get("M", "")) if self.sqlstate == "22P05" else None
        return None if found is None else bytes.fromhex(found[0].replace("0x", "")).decode()


_BYTES = re.compile("0x[0-9a-f]{2}(?: 0x[0-9a-f]{2})*")
_WORDLESS = "a trigger or another function raised an error, whose words are left out"


def _is_of_function(fields: dict[str, str]) -> bool:
    """Tell whether the error came out of a function, which is no statement's of ours but one block's."""
    context = fields.get("W", "").splitlines()
    if not context or fields.get("C") in _WAITED:
        return False
    return len(context) > 1 or OWN_BLOCK not in context[0]
