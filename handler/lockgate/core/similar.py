"""Finds the known name that a mistyped one probably means."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def find_similar(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most like a name, or ``None`` if none is like it."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return near[0] if near else None
