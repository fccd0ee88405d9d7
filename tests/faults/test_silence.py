"""A function with little time on a silent network: it answers before it is killed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from tests.support.proxy import Moment, Proxy

from lockgate.core.deadline import Deadline
from lockgate.report.report import Status

if TYPE_CHECKING:
    from tests.support.project import Project

# The share of a short timeout that `app` reserves.
RESERVE_SHARE = 0.25
MIGRATIONS = {
    "1_t.sql": "CREATE TABLE t (i int);",
    "2_i.sql": "CREATE INDEX CONCURRENTLY t_i ON t (i);",
    "3_u.sql": "CREATE TABLE u (i int);",
}


def live(seconds: float) -> Deadline:
    """Return the deadline of a function that is killed after this many seconds of real time."""
    ends_at = time.monotonic() + seconds
    return Deadline(
        lambda: max(0, round((ends_at - time.monotonic()) * 1000)),
        round(seconds * 1000 * RESERVE_SHARE),
    )


@pytest.mark.one_major
@pytest.mark.parametrize("seconds", [4, 8])
@pytest.mark.parametrize("moment", Moment)
@pytest.mark.parametrize("at", [0, 1, 2, 3, 4, 6, 8])
def test_function_answers_before_its_end_though_the_network_is_silent(
    project: Project, at: int, moment: Moment, seconds: int
) -> None:
    """Every wait, for the server, a cancel or a new connection, is limited to a share of the time."""
    project.write(MIGRATIONS)
    with Proxy(
        project.database.host,
        project.database.port,
        at=at,
        moment=moment,
        fault=lambda _: proxy.fall_silent(),
    ) as proxy:
        if at == 0:
            proxy.fall_silent()
        address = f"{project.address(proxy.port)}?sslmode=disable"
        deadline = live(seconds)
        report = project.run(
            deadline=deadline, LOCKGATE_DATABASE_URL=address, LOCKGATE_ATOMICITY="migration"
        )
        left_ms = deadline.remaining_ms()
    assert report.status not in {Status.APPLIED, Status.UP_TO_DATE}
    assert left_ms is not None
    assert left_ms > 0
