"""Every message of a run disturbed in turn, in every way; then the work is finished and compared.

`MIGRATIONS` has one of each kind. For each message that the run sends, and for both moments of its
life (before the server hears it, after the server answered), a fault strikes once. Whatever the
disturbed run says, a further run must end where an undisturbed one ends: the same schema by pg_dump,
the same data, each migration once, the lock free, no invalid index, no detaching half done, no run
still marked as running, no session left.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from tests.support.database import temporary_database
from tests.support.disturbed import (
    FAULT_STRIDE,
    MIGRATIONS,
    Outcome,
    count_sessions,
    finish,
    kill,
    observe,
    run_disturbed,
    run_killed,
)
from tests.support.project import Project
from tests.support.proxy import Link, Moment, Proxy

from lockgate.core.deadline import Deadline
from lockgate.local.server import EmbeddedServer
from lockgate.postgres import connector
from lockgate.report import Status

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Strike = Callable[[Project, Deadline], Callable[[Link], None]]


@contextmanager
def fresh_project(server: EmbeddedServer, folder: Path) -> Iterator[Project]:
    """Give the mixed set beside a database of its own."""
    with temporary_database(server) as database:
        project = Project(folder, database)
        project.write(MIGRATIONS)
        yield project


def measure(server: EmbeddedServer, folder: Path) -> tuple[int, Outcome]:
    """Return how many messages an undisturbed run sends, and what it leaves."""
    with fresh_project(server, folder) as project:
        with Proxy(server.host, server.port) as proxy:
            report = run_disturbed(project, proxy, Deadline(None, 1_000))
        assert Status.APPLIED == report.status, report.error
        return proxy.count, observe(project)


@pytest.fixture(scope="module")
def own_server(postgres_root: Path | None) -> Iterator[EmbeddedServer]:
    """Give a server that a test may restart."""
    with EmbeddedServer(root=postgres_root) as running:
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder for the migrations."""
    return tmp_path_factory.mktemp("faults")


def terminate(project: Project, _deadline: Deadline) -> Callable[[Link], None]:
    """End the session on the server."""

    def strike(link: Link) -> None:
        project.database.run("SELECT pg_terminate_backend(:pid, 5000)", pid=link.pid)

    return strike


def reset(_project: Project, _deadline: Deadline) -> Callable[[Link], None]:
    """Break the connection off."""
    return Link.reset


def interrupt(_project: Project, deadline: Deadline) -> Callable[[Link], None]:
    """Let the deadline come."""
    return lambda _link: deadline.interrupt("the test")


def fall_silent(_project: Project, deadline: Deadline) -> Callable[[Link], None]:
    """Let the network fall silent, and then the time of the invocation come."""

    def strike(link: Link) -> None:
        link.freeze()
        deadline.remaining = lambda: 100

    return strike


def restart_fast(project: Project, _deadline: Deadline) -> Callable[[Link], None]:
    """Restart the server as an operator does."""
    return lambda _link: project.database.server.restart("fast")


def restart_immediate(project: Project, _deadline: Deadline) -> Callable[[Link], None]:
    """Restart the server as a crash does."""
    return lambda _link: project.database.server.restart("immediate")


@pytest.mark.parametrize("moment", list(Moment))
@pytest.mark.parametrize(
    "fault", [terminate, reset, interrupt, fall_silent, restart_fast, restart_immediate]
)
def test_run_disturbed_at_every_message_ends_the_same(
    own_server: EmbeddedServer,
    folder: Path,
    fault: Strike,
    moment: Moment,
    record_property: Callable[[str, object], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However one message of a run is disturbed, a further run makes it whole."""
    messages, expected = measure(own_server, folder)
    # A silence is not waited for as long as it would be in earnest.
    monkeypatch.setattr(connector, "ANSWER_SECONDS", 0.6)
    points = range(1, messages + 1, FAULT_STRIDE)
    for at in points:
        with fresh_project(own_server, folder) as project:
            deadline = Deadline(lambda: 600_000, 1_000)
            strike = fault(project, deadline)
            with Proxy(
                own_server.host, own_server.port, at=at, moment=moment, fault=strike
            ) as proxy:
                disturbed = run_disturbed(project, proxy, deadline)
            where = f"message {at} of {messages}, {moment}: {disturbed.status} {disturbed.error}"
            assert proxy.has_struck, where
            if fault not in {interrupt, fall_silent}:
                # The server comes back and there is time: the run itself makes it whole, and says so.
                assert Status.APPLIED == disturbed.status, where
            finished = finish(project)
            assert finished.is_success, f"{where}, then {finished.error}"
            assert expected == observe(project), where
            assert 0 == count_sessions(project), where
    record_property("points", len(points))


@pytest.mark.parametrize("moment", list(Moment))
def test_process_killed_at_every_message_ends_the_same(
    own_server: EmbeddedServer,
    folder: Path,
    moment: Moment,
    record_property: Callable[[str, object], None],
) -> None:
    """However far a run came before its process was killed, the next one makes it whole."""
    messages, expected = measure(own_server, folder)
    points = range(1, messages + 1, FAULT_STRIDE)
    for at in points:
        with fresh_project(own_server, folder) as project:
            victim: list[int] = []
            with Proxy(
                own_server.host,
                own_server.port,
                at=at,
                moment=moment,
                fault=lambda _link, victim=victim: kill(victim),  # type: ignore[misc]
            ) as proxy:
                status = run_killed(project, proxy, victim)
            where = f"message {at} of {messages}, {moment}, exit status {status}"
            assert -9 == status, where
            finished = finish(project)
            assert finished.is_success, f"{where}, then {finished.error}"
            assert expected == observe(project), where
            assert 0 == count_sessions(project), where
    record_property("points", len(points))
