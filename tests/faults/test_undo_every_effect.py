"""Every message of a down, and of a failed run's undo, disturbed in turn; then it is finished.

Whatever the disturbed run says, a further one must end where an undisturbed one ends: nothing undone
twice, nothing half, the lock free.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
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

from lockgate.core.deadline import Deadline
from lockgate.core.request import Action
from lockgate.report import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lockgate.local.server import EmbeddedServer
    from lockgate.report import Report

# `effect` counts what was undone: twice or never would show.
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


@contextmanager
def deployed_project(server: EmbeddedServer, folder: Path) -> Iterator[Project]:
    """Give `DOWNS`, applied to a database of its own."""
    with temporary_database(server) as database:
        project = Project(folder, database)
        project.write(DOWNS)
        assert Status.APPLIED == project.run().status
        yield project


def undo(project: Project, deadline: Deadline | None = None) -> Report:
    """Undo all of it."""
    return project.do(
        Action.DOWN, deadline=deadline, target="0", reason="test", requested_by="test"
    )


def undo_through(project: Project, proxy: Proxy, deadline: Deadline) -> Report:
    """Undo all of it through a proxy, and go on without one."""
    project.settings |= through(project, proxy)
    try:
        return undo(project, deadline)
    finally:
        project.settings.clear()


def observe(project: Project) -> list[object]:
    """Return what is left."""
    return [project.database.run(EFFECTS)[0][0], *project.database.run(LEFT)[0]]


def terminate(project: Project, _deadline: Deadline) -> Callable[[Link], None]:
    """End the session on the server."""

    def strike(link: Link) -> None:
        project.database.run("SELECT pg_terminate_backend(:pid, 5000)", pid=link.pid)

    return strike


def interrupt(_project: Project, deadline: Deadline) -> Callable[[Link], None]:
    """Let the deadline come."""
    return lambda _link: deadline.interrupt("the test")


def count_messages(server: EmbeddedServer, folder: Path) -> int:
    """Return how many messages an undisturbed down sends, once it is known to be right."""
    with deployed_project(server, folder) as project:
        with Proxy(server.host, server.port) as proxy:
            report = undo_through(project, proxy, Deadline(None, 1_000))
        assert Status.ROLLED_BACK == report.status, report.error
        assert UNDONE == observe(project)
        return proxy.count


@pytest.mark.parametrize("moment", list(Moment))
@pytest.mark.parametrize("fault", [terminate, interrupt])
def test_down_disturbed_at_every_message_ends_the_same(
    server: EmbeddedServer,
    tmp_path: Path,
    fault: Callable[[Project, Deadline], Callable[[Link], None]],
    moment: Moment,
    record_property: Callable[[str, object], None],
) -> None:
    """However one message of a down is disturbed, a further down makes it whole."""
    messages = count_messages(server, tmp_path)
    points = choose_points(messages, moment, int(fault is interrupt))
    for at in points:
        with deployed_project(server, tmp_path) as project:
            deadline = Deadline(lambda: 600_000, 1_000)
            strike = fault(project, deadline)
            with Proxy(server.host, server.port, at=at, moment=moment, fault=strike) as proxy:
                disturbed = undo_through(project, proxy, deadline)
            where = f"message {at} of {messages}, {moment}: {disturbed.status} {disturbed.error}"
            assert proxy.has_struck, where
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
    tmp_path: Path,
    moment: Moment,
    record_property: Callable[[str, object], None],
) -> None:
    """However far a down came before its process was killed, the next one makes it whole."""
    messages = count_messages(server, tmp_path)
    points = choose_points(messages, moment)
    for at in points:
        with deployed_project(server, tmp_path) as project:
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


@pytest.mark.parametrize("moment", list(Moment))
def test_undo_of_a_failed_run_killed_at_every_message_is_made_good(
    server: EmbeddedServer,
    tmp_path: Path,
    moment: Moment,
    record_property: Callable[[str, object], None],
) -> None:
    """However far a failed run came with undoing itself, the mended package is applied whole."""
    (tmp_path / "5_bad.sql").write_text("SELECT nonsense;")

    @contextmanager
    def fresh() -> Iterator[Project]:
        with temporary_database(server) as database:
            database.run("CREATE TABLE effect (what text)")
            project = Project(tmp_path, database)
            project.write(DOWNS)
            yield project

    with fresh() as project, Proxy(server.host, server.port) as proxy:
        project.settings |= through(project, proxy)
        assert ["4", "3", "2", "1"] == [entry.version for entry in project.run().reverted]
        assert UNDONE == observe(project)
    points = choose_points(proxy.count, moment)
    for at in points:
        (tmp_path / "5_bad.sql").write_text("SELECT nonsense;")
        with fresh() as project:
            victim: list[int] = []
            with Proxy(
                server.host,
                server.port,
                at=at,
                moment=moment,
                fault=lambda _link, victim=victim: kill(victim),  # type: ignore[misc]
            ) as proxy:
                run_killed(project, proxy, victim)
            (tmp_path / "5_bad.sql").write_text("SELECT 1;")
            finished = finish(project)
            assert finished.is_success, f"message {at}, {moment}: {finished.error}"
            ids = [row[0] for row in project.history()]
            assert ["1", "2", "3", "4", "5"] == ids
            assert undo(project).error is not None
            project.write({"5_bad.sql": "-- migrate:up\nSELECT 1;\n-- migrate:down\nSELECT 1;"})
            mended = project.do(
                Action.REPAIR, mend="accept", version="5", reason="test", requested_by="test"
            )
            assert Status.APPLIED == mended.status, mended.error
            assert Status.ROLLED_BACK == undo(project).status
            project.remove("5_bad.sql")
    record_property("points", len(points))
