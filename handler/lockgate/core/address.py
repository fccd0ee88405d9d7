"""Where the reader of a message sends a further command, as words to type. Knows no event."""

from __future__ import annotations

import shlex
from dataclasses import field
from typing import TYPE_CHECKING

from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

# In place of a function's name that nobody has told.
UNKNOWN_FUNCTION = "OPERATE_FUNCTION"


@dataclass(frozen=True, slots=True)
class Address:
    """A function for operators, or a terminal with the options that name database and folder.

    ``function`` is ``None`` for a terminal. ``options`` are the words that the reader typed.
    """

    function: str | None = None
    options: tuple[str, ...] = field(default=(), repr=False)

    def write(self, action: str, *words: str) -> str:
        """Return the command as the reader can paste it."""
        if self.function is None:
            return _join(("lockgate", action, *self.options, *words))
        return _join(("lockgate", "invoke", self.function, "--action", action, *words))

    def explain(self) -> str:
        """Return what a reader has to fill in, as a sentence behind a blank; empty if nothing."""
        if self.function is None:
            has_blank = any(":PASSWORD@" in option for option in self.options)
            return " (replace PASSWORD by the password)" if has_blank else ""
        if self.function != UNKNOWN_FUNCTION:
            return ""
        return (
            f" {UNKNOWN_FUNCTION} is the name of the function that may adopt: the stack's Operate, or"
            " one with LOCKGATE_ALLOWED_ACTIONS=adopt,baseline."
        )


def _join(words: Sequence[str]) -> str:
    return " ".join(map(shlex.quote, words))
