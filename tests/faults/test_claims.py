"""What a failed run claims about the database, compared with the database, for each message and fault.

The contents are read by `tests.support.claim`, which is independent of Lockgate. After `unchanged`
and `rolled_back` the contents must be as before; after `kept` they must be exactly what the listed
migrations made.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import pytest
from tests.support.claim import Claims, read_contents
from tests.support.database import running_server, temporary_database
from tests.support.disturbed import SLOW_STRIDE, choose_points, through
from tests.support.project import Project
from tests.support.proxy import Link, Moment, Proxy
from tests.support.shared import compute_once

from lockgate.core.deadline import Deadline
from lockgate.core.request import Action
from lockgate.report.report import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lockgate.local.server import EmbeddedServer

    Strike = Callable[[Project, Proxy, Deadline, Link], None]

MIGRATIONS = {
    "01_tables.sql": (
        "CREATE TABLE effect (what text); CREATE TABLE account (id int PRIMARY KEY, grp int);"
        " INSERT INTO account SELECT i, i FROM generate_series(1, 50) AS i;"
    ),
    "02_index.sql": "CREATE INDEX CONCURRENTLY account_grp ON account (grp);",
    "03_fill.py": (
        "def up(connection):\n"
        "    connection.exec_driver_sql(\"INSERT INTO effect VALUES ('python')\")\n"
        '    connection.exec_driver_sql("UPDATE account SET grp = grp + 1")\n'
    ),
    "04_steps.sql": (
        "-- migrate:up transaction:false\n"
        "INSERT INTO effect VALUES ('first');\n"
        "CREATE INDEX CONCURRENTLY account_id ON account (id, grp);\n"
        "INSERT INTO effect VALUES ('last');\n"
    ),
    "05_end.sql": "INSERT INTO effect VALUES ('end'); ALTER TABLE account ADD x int;",
}
VERSIONS = sorted(name[:2] for name in MIGRATIONS)
LOGIN = "claimant"
STEAL = """
DO $$ BEGIN
    IF to_regclass('lockgate.migration_lock') IS NOT NULL THEN
        SET LOCAL lock_timeout = '3s';
        UPDATE lockgate.migration_lock SET token = token + 1, owner = 'other';
    END IF;
END $$
"""
LOST = frozenset({"partly_applied", "unknown"})
PART = frozenset({"partly_applied"})


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault, and the states without a claim that a run may end in after it."""

    strike: Strike
    may_be: frozenset[str]


def end_session(project: Project, link: Link) -> None:
    """End the run's session on the server."""
    project.database.run("SELECT pg_terminate_backend(:pid, 60000)", pid=link.pid)


def change_password(project: Project, _proxy: Proxy, _deadline: Deadline, link: Link) -> None:
    """End the session and change its password."""
    project.database.run(f"ALTER ROLE {LOGIN} PASSWORD 'other'")
    end_session(project, link)


def close_database(project: Project, _proxy: Proxy, _deadline: Deadline, link: Link) -> None:
    """End the session and revoke CONNECT from everyone except superusers."""
    project.database.run(f'REVOKE CONNECT ON DATABASE "{project.database.name}" FROM PUBLIC')
    end_session(project, link)


def vanish(project: Project, proxy: Proxy, _deadline: Deadline, link: Link) -> None:
    """End the session and refuse all further connections."""
    proxy.refuse_more()
    end_session(project, link)


def break_again_and_again(_project: Project, proxy: Proxy, _deadline: Deadline, link: Link) -> None:
    """Break this connection, and every later one at its first message."""
    proxy.break_all = True
    link.reset()


def steal_lock(project: Project, _proxy: Proxy, _deadline: Deadline, _link: Link) -> None:
    """Let another run take the lock."""
    project.database.run(STEAL)


def steal_lock_and_break(project: Project, _proxy: Proxy, _deadline: Deadline, link: Link) -> None:
    """Let another run take the lock while the connection is broken."""
    end_session(project, link)
    project.database.run(STEAL)


def stop(_project: Project, _proxy: Proxy, deadline: Deadline, _link: Link) -> None:
    """Let the deadline expire."""
    deadline.interrupt("the test")


def stop_and_break(_project: Project, _proxy: Proxy, deadline: Deadline, link: Link) -> None:
    """Let the deadline expire and break the connection."""
    deadline.interrupt("the test")
    link.reset()


def end_silently(_project: Project, _proxy: Proxy, deadline: Deadline, link: Link) -> None:
    """Let the network fall silent and the invocation run out of time."""
    deadline.remaining = lambda: 100
    link.freeze()


FAULTS = {
    "password changed": Fault(change_password, LOST),
    "database closed": Fault(close_database, LOST),
    "server gone": Fault(vanish, LOST),
    "connection broken again and again": Fault(break_again_and_again, LOST),
    "lock stolen": Fault(steal_lock, PART),
    "lock stolen, connection broken": Fault(steal_lock_and_break, LOST),
    "deadline": Fault(stop, PART),
    "deadline, connection broken": Fault(stop_and_break, LOST),
    "deadline, network silent": Fault(end_silently, LOST),
}


@pytest.fixture(scope="module")
def own_server(postgres_root: Path | None) -> Iterator[EmbeddedServer]:
    """Return a server whose roles a test may change."""
    with running_server(postgres_root) as running:
        with temporary_database(running) as database:
            database.run(f"CREATE ROLE {LOGIN} LOGIN")
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the migrations."""
    folder = tmp_path_factory.mktemp("claims")
    for name, text in MIGRATIONS.items():
        (folder / name).write_text(text)
    return folder


def open_to(project: Project) -> Project:
    """Let the project connect as a role that does not own anything yet."""
    database = project.database
    database.run(
        f"ALTER ROLE {LOGIN} PASSWORD 'x';"
        f' GRANT CREATE ON DATABASE "{database.name}" TO {LOGIN};'
        f" GRANT USAGE, CREATE ON SCHEMA public TO {LOGIN}"
    )
    project.login = (LOGIN, "x")
    project.settings["LOCKGATE_DATABASE_URL"] = project.address()
    return project


@pytest.fixture(scope="module")
def undisturbed(
    own_server: EmbeddedServer, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[int, list[str]]:
    """Return the message count of a run, and the contents after each number of migrations."""
    return compute_once(tmp_path_factory, "claims", lambda: find_undisturbed(own_server, folder))


def find_undisturbed(own_server: EmbeddedServer, folder: Path) -> tuple[int, list[str]]:
    """Run everything without a fault, first at once and then one migration at a time."""
    with temporary_database(own_server) as database:
        project = open_to(Project(folder, database))
        with Proxy(own_server.host, own_server.port) as proxy:
            project.settings |= through(project, proxy)
            assert Status.APPLIED == project.run().status
            count = proxy.count
    with temporary_database(own_server) as database:
        project = open_to(Project(folder, database))
        states = [read_contents(database)]
        for version in VERSIONS:
            assert Status.APPLIED == project.do(Action.UP, target=version).status
            states.append(read_contents(database))
    return count, states


@pytest.mark.parametrize("moment", list(Moment))
@pytest.mark.parametrize("name", list(FAULTS))
def test_claim_of_a_disturbed_run_is_true(
    own_server: EmbeddedServer,
    folder: Path,
    undisturbed: tuple[int, list[str]],
    name: str,
    moment: Moment,
    record_property: Callable[[str, object], None],
) -> None:
    """After any failure, what the report claims about the database is true."""
    count, states = undisturbed
    fault = FAULTS[name]
    found: dict[str, int] = {}
    for at in choose_points(count, moment, 5 * list(FAULTS).index(name), SLOW_STRIDE):
        with temporary_database(own_server) as database:
            project = open_to(Project(folder, database))
            deadline = Deadline(lambda: 600_000, 1_000)
            proxy = Proxy(own_server.host, own_server.port, at=at, moment=moment)
            proxy.fault = partial(fault.strike, project, proxy, deadline)
            with proxy:
                project.settings |= {**through(project, proxy), "LOCKGATE_CONNECT_BUDGET": "1s"}
                report = project.run(deadline=deadline)
            if report.error is None:
                continue
            state = report.error.state_after
            found[state] = found.get(state, 0) + 1
            claims = Claims(states, may_be=fault.may_be)
            claims.check(report, database, f"message {at}, {moment}")
    record_property("claims", json.dumps(found))
