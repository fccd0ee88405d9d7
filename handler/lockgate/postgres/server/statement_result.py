"""The result of one statement in a message, or the error of the server."""

from __future__ import annotations

import re
from typing import Any

from lockgate.core.sqlstate import WAITED
from lockgate.fast_start.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Result:
    """The command tag of a statement, and its rows if it returns any."""

    tag: str
    rows: tuple[tuple[Any, ...], ...]


OWN_BLOCK = "inline_code_block"


class StatementError(Exception):
    """The server refused a statement of a message.

    ``fields`` are those of the protocol manual, section 54.8: ``C`` SQLSTATE, ``M`` message, ``P``
    position in characters from 1, ``H`` hint. ``results`` are those of the statements that had finished.
    The text of the exception may be shown for Lockgate's own statements: the words of a trigger, which
    may quote rows, are left out.
    """

    def __init__(self, fields: dict[str, str], results: list[Result]) -> None:
        message = fields.get("M", "unknown error")
        super().__init__(_WORDLESS if _is_of_function(fields) else message)
        self.fields = fields
        self.results = results

    @property
    def sqlstate(self) -> str:
        """The five characters of the SQLSTATE."""
        return self.fields.get("C", "XX000")

    @property
    def position(self) -> int | None:
        """The position in the message, in characters from 0."""
        raw = self.fields.get("P")
        return None if raw is None else int(raw) - 1

    @property
    def untranslatable(self) -> str | None:
        """The character that the database's encoding lacks, if that was the error.

        The server converts the whole message before it parses it, so there is no position.
        """
        found = _BYTES.search(self.fields.get("M", "")) if self.sqlstate == "22P05" else None
        return None if found is None else bytes.fromhex(found[0].replace("0x", "")).decode()


_BYTES = re.compile("0x[0-9a-f]{2}(?: 0x[0-9a-f]{2})*")
_WORDLESS = "a trigger or another function raised an error; its text is not shown"


def _is_of_function(fields: dict[str, str]) -> bool:
    """Return whether a trigger or function raised the error, rather than Lockgate's own DO block."""
    context = fields.get("W", "").splitlines()
    # Those have a context too (the row waited for), but their message contains no row data.
    if not context or fields.get("C") in WAITED:
        return False
    return len(context) > 1 or OWN_BLOCK not in context[0]
