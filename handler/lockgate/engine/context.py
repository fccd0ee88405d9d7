"""What the steps of one run share."""

from __future__ import annotations

from collections import Counter
from dataclasses import field
from typing import TYPE_CHECKING

from lockgate.engine.retry import Phase
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from lockgate.core.request import Request
    from lockgate.core.run_state import RunState
    from lockgate.engine.dependencies import RunDependencies


@dataclass(slots=True)
class RunContext:
    """One run: what it works with, what it knows, and how often it was interrupted.

    ``losses`` counts broken connections by phase, ``tries`` retries by migration.
    """

    dependencies: RunDependencies
    request: Request
    state: RunState
    losses: Counter[Phase] = field(default_factory=Counter)
    tries: Counter[str] = field(default_factory=Counter)

    @property
    def is_over(self) -> bool:
        """Whether no further work may start."""
        return self.dependencies.deadline.is_over

    def begin_stage(self) -> None:
        """Count from zero for another stage of the work under the lock."""
        self.losses[Phase.HELD] = 0
        self.tries.clear()
