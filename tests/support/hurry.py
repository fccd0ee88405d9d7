"""An invocation whose time runs out while one of its statements sleeps on the server."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.support.waiting import Background, is_asleep, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.lambda_context import ManualClock
    from tests.support.project import Project

SLEEPS = "SELECT pg_sleep(100);"
LIVES_MS = 900_000
# Less than the reserve, and enough to cancel, record and answer.
LEFT_MS = 19_000


def count_runs(project: Project) -> int:
    """Return the number of connected runs."""
    rows = project.database.run(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name LIKE 'lockgate run=%'"
    )
    return int(rows[0][0])


@contextmanager
def hurried(project: Project, clock: ManualClock, milliseconds: int) -> Iterator[None]:
    """Advance the clock as soon as a statement sleeps."""
    is_over: list[bool] = []

    def hurry() -> None:
        wait_until(
            lambda: is_over or is_asleep(project.database), "a statement that sleeps, or the end"
        )
        if not is_over:
            clock.advance(milliseconds)

    hurrying = Background.start(hurry)
    try:
        yield
    finally:
        is_over.append(True)
        hurrying.result()
