"""Every message of a down, and of a failed run's undo, is disturbed in turn; then the work is finished.

Whatever the disturbed run reports, a further one must end where an undisturbed one ends: nothing is
undone twice or by half, and the lock is free.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from tests.support.claim import Claims, read_contents
from tests.support.database import temporary_database
from tests.support.disturbed import (
    choose_points,
    count_sessions,
    finish,
    kill,
    run_killed,
    through,
)
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
    from lockgate.report.report import Report

# `effect` has a row per undo, so a repeated or missing undo is visible.
DOWNS = {
    "1_tables.sql": """-- migrate:up
CREATE TABLE IF NOT EXISTS effect (what text);
CREATE TABLE account (id int, grp int);
-- migrate:down
INSERT INTO effect VALUES ('tables');
DROP TABLE account;
""",
    "2_index.sql": """-- migrate:up
CREATE INDEX CONCURRENTLY account_id ON account (id);
-- migrate:down
DROP INDEX CONCURRENTLY account_id;
""",
    "3_fill.py": """def up(connection):
    connection.exec_driver_sql("ALTER TABLE account ADD x int")

def down(connection):
    connection.exec_driver_sql("INSERT INTO effect VALUES ('fill')")
    connection.exec_driver_sql("ALTER TABLE account DROP COLUMN x")
""",
    "4_steps.sql": """-- migrate:up transaction:false
CREATE INDEX account_grp ON account (grp);
CREATE TYPE mood AS ENUM ('good');
-- migrate:down transaction:false
INSERT INTO effect VALUES ('steps');
DROP INDEX CONCURRENTLY account_grp;
BEGIN;
INSERT INTO effect VALUES ('block');
DROP TYPE mood;
COMMIT;
VACUUM effect;
""",
}
EFFECTS = "SELECT string_agg(what, ' ' ORDER BY what) FROM effect"
LEFT = """
SELECT (SELECT count(*) FROM lockgate.migration_history),
       (SELECT owner FROM lockgate.migration_lock),
       (SELECT count(*) FROM lockgate.migration_run WHERE status = 'running'),
       (SELECT count(*) FROM pg_class WHERE relname LIKE 'account%'),
       (SELECT count(*) FROM pg_type WHERE typname = 'mood')
"""
UNDONE = ["block fill steps tables", 0, None, 0, 0, 0]


@pytest.fixture(scope="module")
def deployed(server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Return `DOWNS`, applied to a database that tests copy and leave unchanged."""
    with temporary_database(server) as database:
        project = Project(tmp_path_factory.mktemp("deployed"), database)
        project.write(DOWNS)
        assert Status.APPLIED == project.run().status
        assert 0 == count_sessions(project)
        yield project


@contextmanager
def copy_of(deployed: Project) -> Iterator[Project]:
    """Return `DOWNS`, applied to a database of its own."""
    with temporary_database(deployed.database.server, deployed.database) as database:
        yield Project(deployed.folder, database)


def undo(project: Project, deadline: Deadline | None = None) -> Report:
    """Undo all migrations."""
    return project.do(
        Action.DOWN, deadline=deadline, target="0", reason="test", requested_by="test"
    )


def undo_through(project: Project, proxy: Proxy, deadline: Deadline) -> Report:
    """Undo all migrations through a proxy, and then remove the proxy from the settings."""
    project.settings |= through(project, proxy)
    try:
        return undo(project, deadline)
    finally:
        project.settings.clear()


def observe(project: Project) -> list[object]:
    """Return what is left in the database."""
    return [project.database.run(EFFECTS)[0][0], *project.database.run(LEFT)[0]]


def terminate(project: Project, _deadline: Deadline) -> Callable[[Link], None]:
    """End the session on the server."""

    def strike(link: Link) -> None:
        project.database.run("SELECT pg_terminate_backend(:pid, 5000)", pid=link.pid)

    return strike


def interrupt(_project: Project, deadline: Deadline) -> Callable[[Link], None]:
    """Let the deadline expire."""
    return lambda _link: deadline.interrupt("the test")


def read_claims_of_down(deployed: Project) -> Claims:
    """Return the contents after each number of migrations left by a down."""
    with copy_of(deployed) as project:
        states = [read_contents(project.database)]
        for _ in DOWNS:
            report = project.do(Action.DOWN, steps=1, reason="test", requested_by="test")
            assert Status.ROLLED_BACK == report.status, report.error
            states.append(read_contents(project.database))
    return Claims(states[::-1], start=len(DOWNS))


def count_messages(server: EmbeddedServer, deployed: Project) -> int:
    """Return the message count of an undisturbed down, after checking its result."""
    with copy_of(deployed) as project:
        with Proxy(server.host, server.port) as proxy:
            report = undo_through(project, proxy, Deadline(None, 1_000))
        assert Status.ROLLED_BACK == report.status, report.error
        assert UNDONE == observe(project)
        return proxy.count


@pytest.mark.parametrize("moment", list(Moment))
@pytest.mark.parametrize("fault", [terminate, interrupt])
def test_down_disturbed_at_every_message_ends_the_same(
    server: EmbeddedServer,
    deployed: Project,
    tmp_path_factory: pytest.TempPathFactory,
    fault: Callable[[Project, Deadline], Callable[[Link], None]],
    moment: Moment,
    record_property: Callable[[str, object], None],
) -> None:
    """After any fault at any message of a down, a further down completes it."""
    messages = count_messages(server, deployed)
    claims = compute_once(tmp_path_factory, "down", lambda: read_claims_of_down(deployed))
    points = choose_points(messages, moment, int(fault is interrupt))
    for at in points:
        with copy_of(deployed) as project:
            deadline = Deadline(lambda: 600_000, 1_000)
            strike = fault(project, deadline)
            with Proxy(server.host, server.port, at=at, moment=moment, fault=strike) as proxy:
                disturbed = undo_through(project, proxy, deadline)
            where = f"message {at} of {messages}, {moment}: {disturbed.status} {disturbed.error}"
            assert proxy.has_struck, where
            claims.check(disturbed, project.database, where)
            if fault is terminate:
                assert Status.ROLLED_BACK == disturbed.status, where
            again = undo(project)
            assert again.is_success, f"{where}, then {again.error}"
            assert UNDONE == observe(project), where
            assert 0 == count_sessions(project), where
    record_property("points", len(points))


@pytest.mark.parametrize("moment", list(Moment))
def test_down_killed_at_every_message_ends_the_same(
    server: EmbeddedServer,
    deployed: Project,
    moment: Moment,
    record_property: Callable[[str, object], None],
) -> None:
    """After a kill at any message of a down, the next down completes it."""
    messages = count_messages(server, deployed)
    points = choose_points(messages, moment)
    for at in points:
        with copy_of(deployed) as project:
            victim: list[int] = []
            with Proxy(
                server.host,
                server.port,
                at=at,
                moment=moment,
                fault=lambda _link, victim=victim: kill(victim),  # type: ignore[misc]
            ) as proxy:
                command = ("down", "--target", "0", "--reason", "test")
                status = run_killed(project, proxy, victim, command)
            where = f"message {at} of {messages}, {moment}, exit status {status}"
            assert -9 == status, where
            again = undo(project)
            assert again.is_success, f"{where}, then {again.error}"
            assert UNDONE == observe(project), where
            assert 0 == count_sessions(project), where
    record_property("points", len(points))


UNDOABLE = {
    "1_account.sql": """-- migrate:up
CREATE TABLE account (id int, grp int);
INSERT INTO account VALUES (1, 1);
-- migrate:down
DROP TABLE account;
""",
    "2_effect.sql": """-- migrate:up
ALTER TABLE effect ADD account_x text DEFAULT '-';
-- migrate:down
ALTER TABLE effect DROP account_x;
""",
    "3_index.sql": """-- migrate:up
CREATE INDEX account_effect ON effect (what);
-- migrate:down
DROP INDEX account_effect;
""",
    "4_mood.sql": """-- migrate:up
CREATE TYPE mood AS ENUM ('good');
-- migrate:down
DROP TYPE mood;
""",
}
KEPT = [4, None, 0, 2, 1]
ALL_UNDONE = [0, None, 0, 0, 0]


@contextmanager
def project_in_use(server: EmbeddedServer, folder: Path) -> Iterator[Project]:
    """Return `UNDOABLE` and a failing migration, before the first run on a database with rows."""
    with temporary_database(server) as database:
        database.run("CREATE TABLE effect (what text); INSERT INTO effect VALUES ('a'), ('b')")
        project = Project(folder, database)
        project.write({**UNDOABLE, "5_bad.sql": "SELECT nonsense;"})
        yield project


def count_undo_messages(server: EmbeddedServer, folder: Path) -> int:
    """Return the message count of a failed run and its undo, after checking the result."""
    with project_in_use(server, folder) as project, Proxy(server.host, server.port) as proxy:
        project.settings |= through(project, proxy)
        before = project.database.dump()
        assert ["4", "3", "2", "1"] == [entry.version for entry in project.run().reverted]
        assert (ALL_UNDONE, before) == (project.database.run(LEFT)[0], project.database.dump())
        return proxy.count


def read_claims_of_undo(server: EmbeddedServer, folder: Path) -> Claims:
    """Return the contents after each number of migrations left by a failed run."""
    with project_in_use(server, folder) as project:
        states = [read_contents(project.database)]
        for version in ["1", "2", "3", "4"]:
            assert project.do(Action.UP, target=version).is_success
            states.append(read_contents(project.database))
    return Claims(states)


@pytest.mark.parametrize("moment", list(Moment))
def test_undo_of_a_failed_run_killed_at_every_message_is_made_good(
    server: EmbeddedServer,
    tmp_path: Path,
    moment: Moment,
    record_property: Callable[[str, object], None],
) -> None:
    """After a kill at any message of a run and its undo, the corrected package is applied completely."""
    points = choose_points(count_undo_messages(server, tmp_path), moment)
    for at in points:
        with project_in_use(server, tmp_path) as project:
            victim: list[int] = []
            with Proxy(
                server.host,
                server.port,
                at=at,
                moment=moment,
                fault=lambda _link, victim=victim: kill(victim),  # type: ignore[misc]
            ) as proxy:
                run_killed(project, proxy, victim)
            project.write({"5_bad.sql": "SELECT 1;"})
            finished = finish(project)
            assert finished.is_success, f"message {at}, {moment}: {finished.error}"
            assert ["1", "2", "3", "4", "5"] == [row[0] for row in project.history()]
            assert [5, *KEPT[1:]] == project.database.run(LEFT)[0]
            assert [[2]] == project.database.run("SELECT count(*) FROM effect")
    record_property("points", len(points))


@pytest.mark.parametrize("moment", list(Moment))
def test_undo_of_a_failed_run_that_loses_its_session_is_whole_or_did_not_happen(
    server: EmbeddedServer,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    moment: Moment,
    record_property: Callable[[str, object], None],
) -> None:
    """After a lost session at any message, either all migrations are undone or none."""
    messages = count_undo_messages(server, tmp_path)
    # At the last message the undo is done, so it is always included.
    points = sorted({*choose_points(messages, moment), messages})
    claims = compute_once(tmp_path_factory, "undo", lambda: read_claims_of_undo(server, tmp_path))
    outcomes = set()
    for at in points:
        with project_in_use(server, tmp_path) as project:
            before = project.database.dump()
            deadline = Deadline(lambda: 600_000, 1_000)
            strike = terminate(project, deadline)
            with Proxy(server.host, server.port, at=at, moment=moment, fault=strike) as proxy:
                project.settings |= through(project, proxy)
                report = project.run(deadline=deadline)
                project.settings.clear()
            where = f"message {at}, {moment}: {report.status} {report.error} {report.warnings}"
            assert Status.FAILED == report.status, where
            left = project.database.run(LEFT)[0]
            claims.check(report, project.database, where)
            is_undone = bool(report.reverted)
            outcomes.add(is_undone)
            assert (ALL_UNDONE if is_undone else KEPT) == left, where
            if is_undone:
                assert before == project.database.dump(), where
            assert 0 == count_sessions(project), where
    assert True in outcomes
    record_property("points", len(points))
