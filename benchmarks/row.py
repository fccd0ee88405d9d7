"""The rows of the benchmark: the numbers of applied and pending migrations, and the delay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.peer import Task
from benchmarks.workload import make_changes, make_long_change

if TYPE_CHECKING:
    from benchmarks.workload import Change


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of work. ``rounds`` is the default number of times that each peer does it.

    ``statements``: the one pending migration has this many, each committed separately.
    """

    name: str
    title: str
    applied: int
    pending: int
    rounds: int
    delay_ms: float = 0
    task: Task = Task.UP
    statements: int = 0

    def make_changes(self, count: int) -> list[Change]:
        """Return the first ``count`` migrations; with ``statements``, one of that many statements."""
        return [make_long_change(self.statements)] if self.statements else make_changes(count)


# Fresh databases come first, because later rows start with their final state.
NEAR = (
    Row("fresh-100", "100 pending, fresh database", 0, 100, 7),
    Row("fresh-1000", "1,000 pending, fresh database", 0, 1_000, 5),
    Row("fresh-10000", "10,000 pending, fresh database", 0, 10_000, 2),
    Row("nothing-1000", "nothing pending, 1,000 applied", 1_000, 0, 15),
    Row("one", "1 pending, 1,000 applied", 1_000, 1, 15),
    Row("nothing-10000", "nothing pending, 10,000 applied", 10_000, 0, 7),
    Row("check-10000", "10,000 read and checked, not applied", 0, 10_000, 5, task=Task.CHECK),
    Row("outside-500", "500 statements outside a transaction", 0, 1, 3, 0, Task.OUTSIDE, 500),
    Row("outside-4000", "4,000 statements outside a transaction", 0, 1, 3, 0, Task.OUTSIDE, 4_000),
)
FAR = (
    Row("far-fresh-100", "100 pending, 1 ms away", 0, 100, 3, 1.0),
    Row("far-fresh-1000", "1,000 pending, 1 ms away", 0, 1_000, 2, 1.0),
    Row("far-fresh-10000", "10,000 pending, 1 ms away", 0, 10_000, 1, 1.0),
    Row("far-nothing-1000", "nothing pending, 1,000 applied, 1 ms away", 1_000, 0, 7, 1.0),
    Row("far-one", "1 pending, 1,000 applied, 1 ms away", 1_000, 1, 7, 1.0),
)
ROWS = (*NEAR, *FAR)
