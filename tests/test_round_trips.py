"""How often a run waits for the server: counted by a proxy, so that it can only change on purpose.

Connecting (startup, password) is not counted: it is the same for every client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.proxy import Proxy

from lockgate.report.report import Status

if TYPE_CHECKING:
    from tests.support.project import Project

    from lockgate.report.report import Report

LOOK, INSTALL, TAKE_LOCK, READ_HISTORY, FINISH = 1, 1, 1, 1, 1
# Of a run that finds the beginning of its folder applied: the first look tells that.
AROUND = LOOK + TAKE_LOCK + FINISH


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


def test_history_that_is_no_beginning_of_the_folder_is_read(project: Project) -> None:
    """A repeatable one has changed, or a down script: then it takes the rows to tell what to do."""
    write(project, 3)
    project.write({"R__view.sql": "SELECT 1;"})
    project.run()
    project.write({"R__view.sql": "SELECT 2;"})
    report, count = run_counted(project)
    assert (1, AROUND + READ_HISTORY + 1) == (len(report.applied), count)
    project.write({"5_x.sql": "-- migrate:up\nSELECT 5;\n-- migrate:down\nSELECT -5;"})
    project.run()
    project.write({"5_x.sql": "-- migrate:up\nSELECT 5;\n-- migrate:down\nSELECT 0;"})
    project.write({"6_x.sql": "SELECT 6;"})
    report, count = run_counted(project)
    assert (1, AROUND + READ_HISTORY + 1) == (len(report.applied), count)
    assert "down script" in report.warnings[0]


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
