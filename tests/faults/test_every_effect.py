"""Every message of a run disturbed in turn, in every way; then the work is finished and compared.

`MIGRATIONS` has one of each kind. At the messages that the run sends, and at both moments of their
life (before the server hears one, after the server answered), a fault strikes once. Whatever the
disturbed run says, a further run must end where an undisturbed one ends: the same schema by pg_dump,
the same data, each migration once, the lock free, no invalid index, no detaching half done, no run
still marked as running, no session left. All of it as a superuser, and at some messages as a role
that acts as another.
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

# Nobody waits long for an answer that cannot come.
IMPATIENT_SECONDS = 0.4
ANSWER_SECONDS = Connector._answer_seconds


class Role(StrEnum):
    """Who migrates."""

    SUPERUSER = "superuser"
    ANOTHER = "acting as another"

    @property
    def stride(self) -> int:
        """Every how many messages a fault strikes."""
        return FAULT_STRIDE * (1 if self is Role.SUPERUSER else 9)


@contextmanager
def fresh_project(server: EmbeddedServer, folder: Path, role: Role) -> Iterator[Project]:
    """Give the mixed set beside a database of its own."""
    with temporary_database(server) as database:
        project = Project(folder, database)
        if role is Role.ANOTHER:
            act_as_another(project)
        yield project


@pytest.fixture(scope="module")
def own_server(postgres_root: Path | None) -> Iterator[EmbeddedServer]:
    """Give a server that a test may restart."""
    with running_server(postgres_root) as running:
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of the migrations."""
    folder = tmp_path_factory.mktemp("faults")
    for name, text in MIGRATIONS.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def undisturbed(
    own_server: EmbeddedServer, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[Role, tuple[int, Outcome]]:
    """Give how many messages an undisturbed run sends, and what it leaves."""
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
    """Give the contents after each number of migrations, to compare what a failed run claims with."""
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
            # An up to the latest version is a whole one, the repeatable view included.
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


def fall_silent_for_good(_project: Project, deadline: Deadline) -> Callable[[Link], None]:
    """Do the same, and let the server never learn that its client is gone."""

    def strike(link: Link) -> None:
        link.freeze(keeps_server=True)
        deadline.remaining = lambda: 100

    return strike


def restart_fast(project: Project, _deadline: Deadline) -> Callable[[Link], None]:
    """Restart the server as an operator does."""
    return lambda _link: project.database.server.restart("fast")


def restart_immediate(project: Project, _deadline: Deadline) -> Callable[[Link], None]:
    """Restart the server as a crash does."""
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
# After these there is no time left to make it whole.
UNTIMELY = frozenset({interrupt, fall_silent, fall_silent_for_good})


def assert_whole(project: Project, expected: Outcome, where: str) -> None:
    """Finish the work, undisturbed, and compare."""
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
    """However one message of a run is disturbed, a further run makes it whole."""
    messages, expected = undisturbed[role]
    # A run that goes on has not heard of what it did: that is no state of the server's alone.
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
                    # The server comes back and there is time: the run itself makes it whole.
                    assert Status.APPLIED == disturbed.status, where
                # While the proxy stands: what a session that was left behind does is still done.
                assert_whole(project, expected, where)
                assert 0 == count_sessions(project, at_work=True), where
            assert 0 == count_sessions(project), where
    record_property("points", len(points))


def expect_silence(monkeypatch: pytest.MonkeyPatch, proxy: Proxy, at: int) -> None:
    """Let the message that is to get no answer wait for it less long than the others."""

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
    """However far a run came before its process was killed, the next one makes it whole."""
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
