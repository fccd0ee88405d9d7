"""The protocol for guards, which run a transaction and check what it did before the commit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class Guard(Protocol):
    """Opens a transaction, runs the work in it, and leaves it open if that is safe."""

    def watch(self, label: str, begin: Callable[[], None], work: Callable[[], None]) -> None:
        """Call ``begin`` and ``work``. A refusal is reported for the migration ``label``."""
