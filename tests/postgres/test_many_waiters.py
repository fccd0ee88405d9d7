"""Many runs waiting for one lock: their load on the server, and how soon they finish."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from tests.support.waiting import Background, wait_until

from lockgate.core.request import Action
from lockgate.report.report import Report, Status

if TYPE_CHECKING:
    from tests.support.project import Project

WAITERS = 50
MEASURED_SECONDS = 3.0
# At most 100 a second together, and some for the queries of the test.
MOST_A_SECOND = 110
# An idle machine needs 1 s and 3 s.
NEXT_SECONDS = 10.0
ALL_SECONDS = 30.0
HOLD = (
    "UPDATE lockgate.migration_lock SET owner = 'other', caller = 'test', token = token + 1,"
    " backend_pid = NULL, backend_start = NULL, taken_at = now(), expires_at = now() + '1 hour'"
)
RELEASE = "UPDATE lockgate.migration_lock SET owner = NULL, caller = NULL, expires_at = NULL"


def count_transactions(project: Project) -> int:
    """Return the number of transactions that ended in this database; sessions report every second."""
    rows = project.database.run(
        "SELECT xact_commit + xact_rollback FROM pg_stat_database"
        " WHERE datname = current_database()"
    )
    return int(rows[0][0])


def count_waiters(project: Project) -> int:
    """Return the number of connected runs."""
    rows = project.database.run(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name LIKE 'lockgate run=%'"
    )
    return int(rows[0][0])


def has_table(project: Project) -> bool:
    """Return whether the pending migration is applied."""
    return project.database.run("SELECT to_regclass('b') IS NOT NULL")[0][0] is True


@pytest.mark.one_major
def test_many_waiters_ask_seldom_and_are_done_soon(project: Project) -> None:
    """Waiting runs poll the lock in turn, and most runs that find the work done do not take the lock."""
    project.write({"1_a.sql": "SELECT 1;"})
    project.run()
    project.write({"2_b.sql": "CREATE TABLE b ();"})
    project.database.run(HOLD)
    waiting = [Background.start(project.run) for _ in range(WAITERS)]
    wait_until(lambda: count_waiters(project) == WAITERS, "every run waits")
    time.sleep(2)
    before, began = count_transactions(project), time.monotonic()
    time.sleep(MEASURED_SECONDS)
    a_second = (count_transactions(project) - before) / (time.monotonic() - began)
    project.database.run(RELEASE)
    released = time.monotonic()
    wait_until(lambda: has_table(project), "the next holder works")
    next_seconds = time.monotonic() - released
    reports: list[Report] = [one.result() for one in waiting]
    all_seconds = time.monotonic() - released
    assert (next_seconds <= NEXT_SECONDS, all_seconds <= ALL_SECONDS) == (True, True)
    assert a_second <= MOST_A_SECOND
    assert sorted([Status.APPLIED, *[Status.UP_TO_DATE] * (WAITERS - 1)]) == sorted(
        report.status for report in reports
    )
    # The first run and the one that applied; few others took the lock to look.
    assert 2 <= len(project.runs()) < WAITERS / 2
    assert Status.UP_TO_DATE == project.run(Action.UP).status
