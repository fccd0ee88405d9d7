"""What to do next, with commands for the reader: typed in a terminal, or sent to a function."""

from __future__ import annotations

from typing import Self

from lockgate.core.address import Address, Command

_TERMINAL = Address()


class Hint(str):  # noqa: SLOT000 - a str cannot have slots with values
    """A text with commands.

    As a `str`, it is the text for a terminal. `write_hint` writes it for another reader. Formatting it
    into another string keeps only the text; to add to it, make a `Hint` of both.
    """

    parts: tuple[str | Command, ...]

    def __new__(cls, *parts: str | Command) -> Self:
        """Return the text made of these parts."""
        flat: list[str | Command] = []
        for part in parts:
            flat += part.parts if isinstance(part, Hint) else (part,)
        hint = super().__new__(cls, _write(flat, _TERMINAL))
        hint.parts = tuple(flat)
        return hint


def join_hints(*hints: str | None) -> Hint:
    """Return hints one after another, without those that are empty."""
    parts: list[str | Command] = []
    for hint in filter(None, hints):
        parts += (" ", hint) if parts else (hint,)
    return Hint(*parts)


def write_hint(hint: str, address: Address) -> str:
    """Return a hint with its commands written for one reader."""
    if not isinstance(hint, Hint):
        return hint
    text = _write(hint.parts, address)
    return f"{text}{address.explain(text)}"


def _write(parts: list[str | Command] | tuple[str | Command, ...], address: Address) -> str:
    return "".join(
        address.write(part) if isinstance(part, Command) else str(part) for part in parts
    )
