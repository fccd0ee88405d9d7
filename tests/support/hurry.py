"""An invocation whose time runs out while a statement sleeps on the server, or Python code hangs."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.support.waiting import Background, is_asleep, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.lambda_context import ManualClock
    from tests.support.project import Project

SLEEPS = "SELECT pg_sleep(100);"
# A Python migration that hangs until a file exists.
HANGS = """
import pathlib
import time


def up(connection):
    pathlib.Path({begun!r}).touch()
    while not pathlib.Path({mark!r}).exists():
        time.sleep(0.01)
    connection.exec_driver_sql("CREATE TABLE never (id int)")
"""
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


def hurry_timer(
    begun: Path, mark: Path, clock: ManualClock, project: Project
) -> Callable[[float, Callable[[], None]], threading.Timer]:
    """Return a replacement of ``threading.Timer`` for a migration of `HANGS`.

    The first timer fires as soon as the migration hangs. It lets the migration continue only after the
    run's session has ended.
    """
    make_timer, made = threading.Timer, []

    def make_hurried(seconds: float, answer: Callable[[], None]) -> threading.Timer:
        def run() -> None:
            try:
                wait_until(begun.exists, "a migration that hangs")
                clock.advance(round(seconds * 1_000))
                answer()
                wait_until(lambda: not count_runs(project), "the end of the session")
            finally:
                mark.touch()

        made.append(seconds)
        return make_timer(0, run) if len(made) == 1 else make_timer(seconds, answer)

    return make_hurried
