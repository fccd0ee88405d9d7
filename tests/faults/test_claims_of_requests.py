"""What requests other than an up claim when they fail, compared with the database.

The requests are a down, an automatic undo, a rollback by an older package, a run that creates
another tool's history table, and those that only write the history. For the latter, the history
itself is compared.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from tests.faults.test_claims import FAULTS, LOST, Fault
from tests.faults.test_undo_every_effect import DOWNS, UNDOABLE
from tests.support.claim import Claims, read_contents
from tests.support.database import temporary_database
from tests.support.disturbed import SLOW_STRIDE, choose_points, through
from tests.support.project import Project
from tests.support.proxy import Link, Moment, Proxy
from tests.support.shared import compute_once

from lockgate.core.deadline import Deadline
from lockgate.core.request import Action, Repair
from lockgate.report.report import Status

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lockgate.local.server import EmbeddedServer
    from lockgate.report.report import Report

OPERATOR: dict[str, Any] = {"reason": "test", "requested_by": "test"}
HISTORY = "SELECT migration_id, state, up_checksum FROM lockgate.migration_history ORDER BY 1"
STUB = {
    "1_a.sql": "-- migrate:up\nCREATE TABLE a (); DELETE FROM schema_migrations;\n",
    "2_b.sql": "-- migrate:up\nSELECT nothing;\n",
}
ROWS = {name: f"CREATE TABLE {name[2]} (i int);" for name in ("1_a.sql", "2_b.sql", "3_c.sql")}
BACK = {
    name: f"-- migrate:up\nCREATE TABLE {name[2]} (i int);\n-- migrate:down\nDROP TABLE {name[2]};\n"
    for name in ROWS
}


class Scenario:
    """A request to disturb. If it has a ``query``, the rows of that query are compared."""

    files: ClassVar[dict[str, str]] = ROWS
    start: ClassVar[int] = 0
    query: ClassVar[str | None] = None
    expected: ClassVar[frozenset[Status]] = frozenset({Status.APPLIED})

    def prepare(self, project: Project) -> None:
        """Prepare project and database for the request."""
        project.write(self.files)

    def send(self, project: Project, deadline: Deadline | None = None) -> Report:
        """Send the request."""
        return project.run(deadline=deadline)

    def read(self, project: Project) -> list[str]:
        """Return the contents after each number of migrations, starting with the initial contents."""
        states = [read_contents(project.database, query=self.query)]
        self.send(project)
        return [*states, read_contents(project.database, query=self.query)]


class Down(Scenario):
    """A down reverts everything."""

    files = DOWNS
    start = len(DOWNS)
    expected = frozenset({Status.ROLLED_BACK})

    def prepare(self, project: Project) -> None:
        """Prepare project and database for the request."""
        super().prepare(project)
        assert Status.APPLIED == project.run().status

    def send(self, project: Project, deadline: Deadline | None = None) -> Report:
        """Send the request."""
        return project.do(Action.DOWN, deadline=deadline, target="0", **OPERATOR)

    def read(self, project: Project) -> list[str]:
        """Return the contents after each number of migrations, starting with the initial contents."""
        states = [read_contents(project.database)]
        for _ in self.files:
            assert project.do(Action.DOWN, steps=1, **OPERATOR).is_success
            states.append(read_contents(project.database))
        return states[::-1]


class Undo(Scenario):
    """A failing run undoes its own migrations."""

    files: ClassVar[dict[str, str]] = {**UNDOABLE, "5_bad.sql": "SELECT nonsense;"}
    expected = frozenset({Status.FAILED})

    def prepare(self, project: Project) -> None:
        """Prepare project and database for the request."""
        project.database.run("CREATE TABLE effect (what text); INSERT INTO effect VALUES ('a')")
        super().prepare(project)

    def read(self, project: Project) -> list[str]:
        """Return the contents after each number of migrations, starting with the initial contents."""
        states = [read_contents(project.database)]
        for version in sorted(name[0] for name in UNDOABLE):
            assert project.do(Action.UP, target=version).is_success
            states.append(read_contents(project.database))
        return states


class Back(Down):
    """An older package undoes what a newer one applied, and then fails."""

    files = BACK
    start = len(BACK)
    expected = frozenset({Status.ROLLED_BACK})

    def prepare(self, project: Project) -> None:
        """Prepare project and database for the request."""
        project.settings["LOCKGATE_ROLLBACK"] = "deploy"
        project.write({"1_a.sql": BACK["1_a.sql"]})
        assert Status.APPLIED == project.run().status
        project.write(BACK)
        assert Status.APPLIED == project.run().status
        for name in ("2_b.sql", "3_c.sql"):
            project.remove(name)

    def send(self, project: Project, deadline: Deadline | None = None) -> Report:
        """Send the request."""
        return project.run(deadline=deadline)


class Stub(Scenario):
    """A first run creates another tool's history table, and fails."""

    files = STUB
    expected = frozenset({Status.FAILED})

    def prepare(self, project: Project) -> None:
        """Prepare project and database for the request."""
        project.settings["LOCKGATE_FORMAT"] = "dbmate"
        super().prepare(project)

    def read(self, project: Project) -> list[str]:
        """Return the contents after each number of migrations, starting with the initial contents."""
        states = [read_contents(project.database)]
        assert project.do(Action.UP, target="1").is_success
        return [*states, read_contents(project.database)]


class Baseline(Scenario):
    """History rows are written without running migrations."""

    query = HISTORY

    def prepare(self, project: Project) -> None:
        """Write the files, and prepare a history table without rows."""
        super().prepare(project)
        assert Status.APPLIED == project.do(Action.BASELINE, target="1", **OPERATOR).status
        project.database.run("DELETE FROM lockgate.migration_history")

    def send(self, project: Project, deadline: Deadline | None = None) -> Report:
        """Send the request."""
        return project.do(Action.BASELINE, deadline=deadline, target="3", **OPERATOR)


class Adopt(Baseline):
    """Another tool's history is adopted."""

    def prepare(self, project: Project) -> None:
        """Prepare project and database for the request."""
        project.database.run(
            "CREATE TABLE schema_migrations (version varchar PRIMARY KEY);"
            "INSERT INTO schema_migrations VALUES ('1'), ('2'), ('3')"
        )
        super().prepare(project)

    def send(self, project: Project, deadline: Deadline | None = None) -> Report:
        """Send the request."""
        return project.do(Action.ADOPT, deadline=deadline, **OPERATOR)


class Forget(Baseline):
    """A row is removed from the history."""

    def prepare(self, project: Project) -> None:
        """Prepare project and database for the request."""
        super().prepare(project)
        assert Status.APPLIED == project.do(Action.BASELINE, target="1", **OPERATOR).status

    def send(self, project: Project, deadline: Deadline | None = None) -> Report:
        """Send the request."""
        given = {**OPERATOR, "dry_run": False}
        return project.do(
            Action.REPAIR, deadline=deadline, repair=Repair.FORGET, version="1", **given
        )


class Mark(Forget):
    """A migration is marked as applied."""

    def send(self, project: Project, deadline: Deadline | None = None) -> Report:
        """Send the request."""
        given = {**OPERATOR, "dry_run": False}
        return project.do(
            Action.REPAIR, deadline=deadline, repair=Repair.MARK, version="2", **given
        )


SCENARIOS = (Down, Undo, Back, Stub, Baseline, Adopt, Forget, Mark)
NAMES = (
    "server gone",
    "connection broken again and again",
    "lock stolen",
    "lock stolen, connection broken",
    "deadline",
    "deadline, connection broken",
    "deadline, network silent",
)
BROKEN_ONCE = "connection broken"


def break_once(_project: Project, _proxy: Proxy, _deadline: Deadline, link: Link) -> None:
    """Break this connection."""
    link.reset()


CHOSEN = {**{name: FAULTS[name] for name in NAMES}, BROKEN_ONCE: Fault(break_once, LOST)}


@dataclass(frozen=True, slots=True)
class Known:
    """The message count of a request, and the contents that its claims are compared with."""

    count: int
    claims: Claims


@pytest.fixture(scope="module")
def look(
    server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[type[Scenario]], Known]:
    """Return a function that finds what an undisturbed request does, cached for all tests."""

    def find(kind: type[Scenario]) -> Known:
        name = f"requests-{kind.__name__}"
        folder = tmp_path_factory.mktemp(name)
        return compute_once(tmp_path_factory, name, lambda: find_known(server, folder, kind()))

    return find


def find_known(server: EmbeddedServer, folder: Path, scenario: Scenario) -> Known:
    """Run a request undisturbed, and read the contents that its claims are compared with."""
    with temporary_database(server) as database:
        project = Project(folder, database)
        scenario.prepare(project)
        with Proxy(server.host, server.port) as proxy:
            project.settings |= through(project, proxy)
            report = scenario.send(project)
            assert report.status in scenario.expected, report.error
    with temporary_database(server) as database:
        project = Project(folder, database)
        scenario.prepare(project)
        states = scenario.read(project)
    return Known(proxy.count, Claims(states, scenario.start, LOST, scenario.query))


@pytest.mark.parametrize("moment", list(Moment))
@pytest.mark.parametrize("name", CHOSEN)
@pytest.mark.parametrize("kind", SCENARIOS)
def test_claim_of_a_disturbed_request_is_true(
    server: EmbeddedServer,
    tmp_path: Path,
    look: Callable[[type[Scenario]], Known],
    kind: type[Scenario],
    name: str,
    moment: Moment,
    record_property: Callable[[str, object], None],
) -> None:
    """After any failure, what the report claims about the database is true."""
    scenario, fault = kind(), CHOSEN[name]
    known = look(kind)
    found: dict[str, int] = {}
    for at in choose_points(known.count, moment, 5 * list(CHOSEN).index(name), SLOW_STRIDE):
        with temporary_database(server) as database:
            project = Project(tmp_path, database)
            scenario.prepare(project)
            deadline = Deadline(lambda: 600_000, 1_000)
            proxy = Proxy(server.host, server.port, at=at, moment=moment)
            proxy.fault = partial(fault.strike, project, proxy, deadline)
            with proxy:
                project.settings |= {**through(project, proxy), "LOCKGATE_CONNECT_BUDGET": "1s"}
                report = scenario.send(project, deadline)
            known.claims.check(report, database, f"message {at} of {known.count}, {moment}")
            state = "none" if report.error is None else str(report.error.state_after)
            found[state] = found.get(state, 0) + 1
    record_property("claims", json.dumps(found))
