"""What is measured: how many migrations are applied, how many pending, how far the server is."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.peer import Task


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of work. ``rounds`` is how often each peer does it unless the caller says otherwise."""

    name: str
    title: str
    applied: int
    pending: int
    rounds: int
    delay_ms: float = 0
    task: Task = Task.UP


# Fresh databases come first: what they end as is what later rows begin with.
NEAR = (
    Row("fresh-100", "100 pending, fresh database", 0, 100, 7),
    Row("fresh-1000", "1,000 pending, fresh database", 0, 1_000, 5),
    Row("fresh-10000", "10,000 pending, fresh database", 0, 10_000, 2),
    Row("nothing-1000", "nothing pending, 1,000 applied", 1_000, 0, 15),
    Row("one", "1 pending, 1,000 applied", 1_000, 1, 15),
    Row("nothing-10000", "nothing pending, 10,000 applied", 10_000, 0, 7),
    Row("check-10000", "10,000 read and checked, not applied", 0, 10_000, 5, task=Task.CHECK),
)
FAR = (
    Row("far-fresh-100", "100 pending, 1 ms away", 0, 100, 3, 1.0),
    Row("far-fresh-1000", "1,000 pending, 1 ms away", 0, 1_000, 2, 1.0),
    Row("far-fresh-10000", "10,000 pending, 1 ms away", 0, 10_000, 1, 1.0),
    Row("far-nothing-1000", "nothing pending, 1,000 applied, 1 ms away", 1_000, 0, 7, 1.0),
    Row("far-one", "1 pending, 1,000 applied, 1 ms away", 1_000, 1, 7, 1.0),
)
ROWS = (*NEAR, *FAR)
