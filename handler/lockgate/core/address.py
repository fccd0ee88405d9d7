"""Commands in messages, written so that the reader can paste them."""

from __future__ import annotations

import shlex
from dataclasses import field
from typing import TYPE_CHECKING

from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

# Placeholder for an unknown function name.
UNKNOWN_FUNCTION = "OPERATE_FUNCTION"


@dataclass(frozen=True, slots=True)
class Address:
    """Where commands are to be run: a function for operators, or a terminal.

    ``function`` is ``None`` for a terminal. ``options`` are those that the reader typed to name
    database and folder.
    """

    function: str | None = None
    options: tuple[str, ...] = field(default=(), repr=False)

    def write(self, action: str, *words: str) -> str:
        """Return the command as the reader can paste it."""
        if self.function is None:
            return _join(("lockgate", action, *self.options, *words))
        return _join(("lockgate", "invoke", self.function, "--action", action, *words))

    def explain(self) -> str:
        """Return a sentence on what to fill in, with a leading space; empty if nothing."""
        if self.function is None:
            has_blank = any(":PASSWORD@" in option for option in self.options)
            return " (replace PASSWORD with the password)" if has_blank else ""
        if self.function != UNKNOWN_FUNCTION:
            return ""
        return (
            f" {UNKNOWN_FUNCTION} is the name of the function that may adopt: the stack's Operate, or"
            " one with LOCKGATE_ALLOWED_ACTIONS=adopt,baseline."
        )


def _join(words: Sequence[str]) -> str:
    return " ".join(map(shlex.quote, words))
