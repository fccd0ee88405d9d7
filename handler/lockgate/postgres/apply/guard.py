"""What runs a transaction under observation: the shape that the guards share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class Guard(Protocol):
    """Opens a transaction, lets the work run in it, and leaves it open if that is safe."""

    def watch(self, label: str, begin: Callable[[], None], work: Callable[[], None]) -> None:
        """Call ``begin`` and ``work``; ``label`` is the migration that a refusal is blamed on."""
