"""The number of round trips of a run, counted by a proxy so that a change is deliberate.

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
# For a run whose history is the beginning of its folder: the first look shows that.
AROUND = LOOK + TAKE_LOCK + FINISH


def write(project: Project, count: int) -> None:
    """Write this many migrations."""
    project.write({f"{number}_x.sql": f"SELECT {number};" for number in range(1, count + 1)})


def run_counted(project: Project, *, atomicity: str = "auto") -> tuple[Report, int]:
    """Run through a proxy; return the report and the number of messages."""
    with Proxy(project.database.host, project.database.port) as proxy:
        address = f"{project.address(proxy.port)}?sslmode=disable"
        report = project.run(LOCKGATE_DATABASE_URL=address, LOCKGATE_ATOMICITY=atomicity)
    return report, proxy.count


def test_nothing_pending_is_one_message(project: Project) -> None:
    """A run with nothing to do sends one message."""
    write(project, 3)
    project.run()
    report, count = run_counted(project)
    assert (Status.UP_TO_DATE, LOOK) == (report.status, count)


def test_one_pending_is_one_message_and_the_lock(project: Project) -> None:
    """A migration, its row, the fence and the commit are one message."""
    write(project, 3)
    project.run()
    write(project, 4)
    report, count = run_counted(project)
    assert (1, AROUND + 1) == (len(report.applied), count)


def test_history_that_is_not_the_start_of_the_folder_is_read(project: Project) -> None:
    """After a changed repeatable or down script, the history must be read with one more message."""
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
    """Each migration in its own transaction costs one more message."""
    write(project, 1)
    project.run()
    write(project, 1 + migrations)
    report, count = run_counted(project, atomicity="migration")
    assert (migrations, AROUND + migrations) == (len(report.applied), count)


@pytest.mark.parametrize(("migrations", "messages"), [(100, 1), (150, 2), (1_000, 10)])
def test_many_on_a_fresh_database_travel_by_the_hundred(
    project: Project, migrations: int, messages: int
) -> None:
    """On a fresh database, a hundred migrations are one message, and their rows and commit another."""
    write(project, migrations)
    report, count = run_counted(project)
    around = LOOK + INSTALL + TAKE_LOCK + READ_HISTORY + FINISH
    assert (migrations, around + messages + 1) == (len(report.applied), count)
