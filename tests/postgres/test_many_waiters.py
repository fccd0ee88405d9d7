"""Many runs that wait for one: what they cost the server, and how soon they are done."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from tests.support.waiting import Background, wait_until

from lockgate.core.request import Action
from lockgate.report.report import Report, Status

if TYPE_CHECKING:
    from tests.support.project import Project

WAITERS = 20
MEASURED_SECONDS = 3.0
# A hundred for fifty, and as much again for what the test itself asks.
MOST_A_SECOND = 60
HOLD = (
    "UPDATE lockgate.migration_lock SET owner = 'other', caller = 'test', token = token + 1,"
    " backend_pid = NULL, backend_start = NULL, taken_at = now(), expires_at = now() + '1 hour'"
)
RELEASE = "UPDATE lockgate.migration_lock SET owner = NULL, caller = NULL, expires_at = NULL"


def count_transactions(project: Project) -> int:
    """Return how many transactions of this database have ended; sessions report theirs each second."""
    rows = project.database.run(
        "SELECT xact_commit + xact_rollback FROM pg_stat_database"
        " WHERE datname = current_database()"
    )
    return int(rows[0][0])


def count_waiters(project: Project) -> int:
    """Return how many runs are connected."""
    rows = project.database.run(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name LIKE 'lockgate run=%'"
    )
    return int(rows[0][0])


@pytest.mark.one_major
def test_many_waiters_ask_seldom_and_are_done_soon(project: Project) -> None:
    """They look at the lock in turns, and who finds the work done takes no lock for that."""
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
    reports: list[Report] = [one.result() for one in waiting]
    assert a_second <= MOST_A_SECOND
    assert sorted([Status.APPLIED, *[Status.UP_TO_DATE] * (WAITERS - 1)]) == sorted(
        report.status for report in reports
    )
    # The first and the one that applied; the others found the work done, or took the lock for a look.
    assert 2 <= len(project.runs()) < WAITERS / 2
    assert Status.UP_TO_DATE == project.run(Action.UP).status
