"""How often a run waits for the server: counted by a proxy, so that it can only change on purpose.

Connecting (startup, password) is not counted: it is the same for every client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.proxy import Proxy

from lockgate.report import Status

if TYPE_CHECKING:
    from tests.support.project import Project

    from lockgate.report import Report

LOOK, INSTALL, TAKE_LOCK, READ_HISTORY, FINISH = 1, 1, 1, 1, 1
# Of a run that finds a history: it is read once, unless somebody had the lock meanwhile.
AROUND = LOOK + READ_HISTORY + TAKE_LOCK + FINISH


def write(project: Project, count: int) -> None:
    """Write so many migrations."""
    project.write({f"{number}_x.sql": f"SELECT {number};" for number in range(1, count + 1)})


def run_counted(project: Project, *, atomicity: str = "auto") -> tuple[Report, int]:
    """Run through a proxy; return the report and the number of messages."""
    with Proxy(project.database.host, project.database.port) as proxy:
        address = f"{project.address(proxy.port)}?sslmode=disable"
        report = project.run(LOCKGATE_DATABASE_URL=address, LOCKGATE_ATOMICITY=atomicity)
    return report, proxy.count


def test_nothing_pending_is_one_message(project: Project) -> None:
    """A run with nothing to do asks once."""
    write(project, 3)
    project.run()
    report, count = run_counted(project)
    assert (Status.UP_TO_DATE, LOOK) == (report.status, count)


def test_one_pending_is_one_message_and_the_lock(project: Project) -> None:
    """A migration, its row, the fence and the commit travel together."""
    write(project, 3)
    project.run()
    write(project, 4)
    report, count = run_counted(project)
    assert (1, AROUND + 1) == (len(report.applied), count)


@pytest.mark.parametrize("migrations", [1, 2, 25])
def test_transaction_each_is_a_message_each(project: Project, migrations: int) -> None:
    """Beyond what every run needs, a migration in its own transaction costs one message."""
    write(project, 1)
    project.run()
    write(project, 1 + migrations)
    report, count = run_counted(project, atomicity="migration")
    assert (migrations, AROUND + migrations) == (len(report.applied), count)


@pytest.mark.parametrize(("migrations", "messages"), [(100, 1), (150, 2), (1_000, 10)])
def test_many_on_a_fresh_database_travel_by_the_hundred(
    project: Project, migrations: int, messages: int
) -> None:
    """A hundred go to a message, and their rows and the commit to one more."""
    write(project, migrations)
    report, count = run_counted(project)
    around = LOOK + INSTALL + TAKE_LOCK + READ_HISTORY + FINISH
    assert (migrations, around + messages + 1) == (len(report.applied), count)
