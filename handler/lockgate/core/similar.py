"""Find the known name that a mistyped name probably means."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def find_similar(name: str, known: Iterable[str]) -> str | None:
    """Return the known name most similar to a name, or ``None`` if none is similar."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return near[0] if near else None
