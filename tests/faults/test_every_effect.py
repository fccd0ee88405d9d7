"""Every message of a run is disturbed in turn, in every way; then the work is finished and compared.

`MIGRATIONS` has one of each kind. A fault strikes once at each chosen message, either before the
server receives it or after the server has answered. Whatever the disturbed run reports, a further
run must end where an undisturbed one ends: the same schema by pg_dump, the same data, each
migration once, the lock free, no invalid index, no pending detach, no run still marked as running,
no session left. All of it runs as a superuser, and at some messages also as a role that uses SET
ROLE.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING

import pytest
from tests.support.claim import Claims, read_contents
from tests.support.database import running_server, temporary_database
from tests.support.disturbed import (
    FAULT_STRIDE,
    IDS,
    MIGRATIONS,
    Outcome,
    act_as_another,
    choose_points,
    count_sessions,
    finish,
    kill,
    observe,
    run_disturbed,
    run_killed,
)
from tests.support.project import Project
from tests.support.proxy import Link, Moment, Proxy
from tests.support.shared import compute_once

from lockgate.core.deadline import Deadline
from lockgate.core.request import Action
from lockgate.postgres.server.connector import Connector
from lockgate.report.report import Status

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lockgate.local.server import EmbeddedServer

Strike = Callable[[Project, Deadline], Callable[[Link], None]]

# Shortens the wait for answers that cannot arrive.
IMPATIENT_SECONDS = 0.4
ANSWER_SECONDS = Connector._answer_seconds


class Role(StrEnum):
    """The role that migrates."""

    SUPERUSER = "superuser"
    ANOTHER = "acting as another"

    @property
    def stride(self) -> int:
        """Number of messages from one fault to the next."""
        return FAULT_STRIDE * (1 if self is Role.SUPERUSER else 9)


@contextmanager
def fresh_project(server: EmbeddedServer, folder: Path, role: Role) -> Iterator[Project]:
    """Return the mixed set of migrations with a new database."""
    with temporary_database(server) as database:
        project = Project(folder, database)
        if role is Role.ANOTHER:
            act_as_another(project)
        yield project


@pytest.fixture(scope="module")
def own_server(postgres_root: Path | None) -> Iterator[EmbeddedServer]:
    """Return a server that a test may restart."""
    with running_server(postgres_root) as running:
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the migrations."""
    folder = tmp_path_factory.mktemp("faults")
    for name, text in MIGRATIONS.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def undisturbed(
    own_server: EmbeddedServer, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[Role, tuple[int, Outcome]]:
    """Return the message count of an undisturbed run, and what it leaves."""
    return compute_once(
        tmp_path_factory, "undisturbed", lambda: find_undisturbed(own_server, folder)
    )


def find_undisturbed(own_server: EmbeddedServer, folder: Path) -> dict[Role, tuple[int, Outcome]]:
    """Run everything undisturbed, as each role."""
    found = {}
    for role in Role:
        with fresh_project(own_server, folder, role) as project:
            with Proxy(own_server.host, own_server.port) as proxy:
                report = run_disturbed(project, proxy, Deadline(None, 1_000))
            assert Status.APPLIED == report.status, report.error
            found[role] = (proxy.count, observe(project))
    return found


@pytest.fixture(scope="module")
def claims(
    own_server: EmbeddedServer, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[Role, Claims]:
    """Return the contents after each number of migrations, to check the claims of a failed run."""
    return compute_once(tmp_path_factory, "contents", lambda: read_claims(own_server, folder))


def read_claims(own_server: EmbeddedServer, folder: Path) -> dict[Role, Claims]:
    """Read the contents after each number of migrations, as each role."""
    found = {}
    for role in Role:
        with fresh_project(own_server, folder, role) as project:
            states = [read_contents(project.database)]
            for version in [*IDS, None]:
                assert project.do(Action.UP, target=version).is_success
                states.append(read_contents(project.database))
            # An up to the latest version runs everything, including the repeatable view.
            project.database.run("DROP VIEW emails")
            states[-2] = read_contents(project.database)
            found[role] = Claims(states)
    return found


def terminate(project: Project, _deadline: Deadline) -> Callable[[Link], None]:
    """End the session on the server."""

    def strike(link: Link) -> None:
        project.database.run("SELECT pg_terminate_backend(:pid, 60000)", pid=link.pid)

    return strike


def reset(_project: Project, _deadline: Deadline) -> Callable[[Link], None]:
    """Reset the connection."""
    return Link.reset


def interrupt(_project: Project, deadline: Deadline) -> Callable[[Link], None]:
    """Let the deadline expire."""
    return lambda _link: deadline.interrupt("the test")


def fall_silent(_project: Project, deadline: Deadline) -> Callable[[Link], None]:
    """Let the network fall silent and then the invocation run out of time."""

    def strike(link: Link) -> None:
        link.freeze()
        deadline.remaining = lambda: 100

    return strike


def fall_silent_for_good(_project: Project, deadline: Deadline) -> Callable[[Link], None]:
    """Do the same without the server ever learning that its client is gone."""

    def strike(link: Link) -> None:
        link.freeze(keeps_server=True)
        deadline.remaining = lambda: 100

    return strike


def restart_fast(project: Project, _deadline: Deadline) -> Callable[[Link], None]:
    """Restart the server as an operator does."""
    return lambda _link: project.database.server.restart("fast")


def restart_immediate(project: Project, _deadline: Deadline) -> Callable[[Link], None]:
    """Restart the server as after a crash."""
    return lambda _link: project.database.server.restart("immediate")


STRIKES = (
    terminate,
    reset,
    interrupt,
    fall_silent,
    fall_silent_for_good,
    restart_fast,
    restart_immediate,
)
# After these faults there is no time left to complete the work.
UNTIMELY = frozenset({interrupt, fall_silent, fall_silent_for_good})


def assert_whole(project: Project, expected: Outcome, where: str) -> None:
    """Finish the work undisturbed and compare the outcome."""
    finished = finish(project)
    assert finished.is_success, f"{where}, then {finished.error}"
    assert expected == observe(project), where


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("moment", list(Moment))
@pytest.mark.parametrize("fault", STRIKES)
def test_run_disturbed_at_every_message_ends_the_same(
    own_server: EmbeddedServer,
    folder: Path,
    undisturbed: dict[Role, tuple[int, Outcome]],
    claims: dict[Role, Claims],
    fault: Strike,
    moment: Moment,
    role: Role,
    record_property: Callable[[str, object], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After any fault at any message, a further run completes the work."""
    messages, expected = undisturbed[role]
    # A run that continues never heard the answer, which the server's state alone does not show.
    is_unheard = moment is Moment.AFTER and fault not in UNTIMELY
    stride = max(1, role.stride // 2) if is_unheard else role.stride
    points = choose_points(messages, moment, STRIKES.index(fault), stride)
    for at in points:
        with fresh_project(own_server, folder, role) as project:
            deadline = Deadline(lambda: 600_000, 1_000)
            strike = fault(project, deadline)
            with Proxy(
                own_server.host, own_server.port, at=at, moment=moment, fault=strike
            ) as proxy:
                if fault in {fall_silent, fall_silent_for_good}:
                    expect_silence(monkeypatch, proxy, at)
                disturbed = run_disturbed(project, proxy, deadline)
                where = (
                    f"message {at} of {messages}, {moment}: {disturbed.status} {disturbed.error}"
                )
                assert proxy.has_struck, where
                claims[role].check(disturbed, project.database, where)
                if fault not in UNTIMELY:
                    # The server comes back in time, so the run itself completes the work.
                    assert Status.APPLIED == disturbed.status, where
                # While the proxy still runs, so that an orphaned session is still at work.
                assert_whole(project, expected, where)
                assert 0 == count_sessions(project, at_work=True), where
            assert 0 == count_sessions(project), where
    record_property("points", len(points))


def expect_silence(monkeypatch: pytest.MonkeyPatch, proxy: Proxy, at: int) -> None:
    """Shorten the wait for the one message that gets no answer."""

    def wait_less(connector: Connector) -> float:
        is_next = proxy.count == at - 1
        return IMPATIENT_SECONDS if is_next else ANSWER_SECONDS(connector)

    monkeypatch.setattr(Connector, "_answer_seconds", wait_less)


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("moment", list(Moment))
def test_process_killed_at_every_message_ends_the_same(
    own_server: EmbeddedServer,
    folder: Path,
    undisturbed: dict[Role, tuple[int, Outcome]],
    moment: Moment,
    role: Role,
    record_property: Callable[[str, object], None],
) -> None:
    """After a kill at any message, the next run completes the work."""
    messages, expected = undisturbed[role]
    points = choose_points(messages, moment, stride=max(1, role.stride // 2))
    for at in points:
        with fresh_project(own_server, folder, role) as project:
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
            assert_whole(project, expected, where)
            assert 0 == count_sessions(project), where
    record_property("points", len(points))
