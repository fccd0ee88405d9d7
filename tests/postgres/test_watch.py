"""The watcher: what it queries, what it cancels, and that its own failures do not stop it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pytest
from tests.support.lambda_context import ManualClock
from tests.support.waiting import Background, is_asleep, wait_until

from lockgate.core.deadline import Deadline
from lockgate.core.failure import Blocker, ConnectionLost
from lockgate.errors import DatabaseUnreachable
from lockgate.postgres.server.statement_result import Result, StatementError
from lockgate.postgres.server.watch import Watch
from lockgate.report.log import log_to
from lockgate.report.report import Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.project import Project

    from lockgate.postgres.server.connection import Connection

RESERVE_MS = 2_000
ROW = (4711, "app", "", "active", 75.5, "SELECT 'hush', 12345 FROM t")
BLOCKER = Blocker(4711, "app", None, "active", 75.5, "SELECT ?, ? FROM t")


@dataclass(slots=True)
class Clock:
    """A manual clock in seconds, with the interface of the watcher's clock."""

    manual: ManualClock

    def monotonic(self) -> float:
        """Return the time that the test has advanced to."""
        return self.manual.now_ms / 1000

    def sleep(self, seconds: float) -> None:
        """Advance the clock immediately."""
        self.manual.advance(round(seconds * 1000))


@dataclass(slots=True)
class Line:
    """A connection that records calls and answers the watcher with ``rows``."""

    backend_pid: int = 7
    is_open: bool = True
    rows: tuple[tuple[Any, ...], ...] = ()
    progress: tuple[tuple[Any, ...], ...] = ()
    fails: Exception | None = None
    done: list[str] = field(default_factory=list)

    def cancel(self, seconds: float, is_wanted: Callable[[], bool]) -> None:
        """Record the call."""
        assert seconds > 0
        assert is_wanted()
        self.done.append("cancel")

    def sever(self) -> None:
        """Record the call."""
        self.done.append("sever")

    def close(self) -> None:
        """Record the call."""
        self.done.append("close")
        self.is_open = False

    def send(self, sql: str) -> list[Result]:
        """Record the query and answer it."""
        assert f"({self.backend_pid})" in sql or "(7)" in sql
        self.done.append("send")
        if self.fails is not None:
            raise self.fails
        return [Result("SELECT", self.rows), Result("SELECT", self.progress)]


@dataclass(slots=True)
class Scene:
    """A watcher that looks at a running message whenever the test says so."""

    clock: ManualClock = field(default_factory=ManualClock)
    deadline_ms: int = 100_000
    line: Line = field(default_factory=Line)
    observers: list[Line] = field(default_factory=list)
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    opened: int = 0

    def watch(self) -> Watch:
        """Return the watcher, not started."""
        deadline = Deadline(lambda: self.deadline_ms - self.clock.now_ms, RESERVE_MS)
        return Watch(
            deadline,
            Clock(self.clock),
            self.open_observer,
            log_to(lambda name, **fields: self.events.append((name, fields))),
            sample_after_ms=1_000,
        )

    def open_observer(self) -> Connection:
        """Return the next observer, repeating the last one."""
        found = self.observers[min(self.opened, len(self.observers) - 1)]
        self.opened += 1
        if isinstance(found.fails, DatabaseUnreachable):
            raise found.fails
        return cast("Connection", found)

    @property
    def connection(self) -> Connection:
        """The line, typed as a connection."""
        return cast("Connection", self.line)

    def look(self, watch: Watch, *at_ms: int) -> None:
        """Let the watcher look at these times while the message is running."""
        for moment in at_ms:
            self.clock.now_ms = moment
            watch.enforce(self.connection)
            watch.observe(self.connection)


def test_message_within_its_time_is_left_alone() -> None:
    """Nothing is done to the connection before the deadline."""
    scene = Scene(observers=[Line()])
    watch = scene.watch()
    with watch.under_way(scene.connection):
        scene.look(watch, 0, 50_000, 97_999)
    assert ([], False) == (scene.line.done, watch.has_cancelled)


def test_message_out_of_time_is_cancelled_once_a_second() -> None:
    """A cancel request may be lost, so it is repeated every second, but not at every look."""
    scene = Scene()
    watch = scene.watch()
    with watch.under_way(scene.connection):
        scene.look(watch, 98_000, 98_100, 98_900)
        assert ["cancel"] == scene.line.done
        scene.look(watch, 99_000)
    assert (["cancel", "cancel"], True) == (scene.line.done, watch.has_cancelled)


def test_connection_that_ignores_a_cancel_is_closed() -> None:
    """A connection that ignores the cancel is severed when half of the reserve is left."""
    scene = Scene()
    watch = scene.watch()
    with watch.under_way(scene.connection):
        scene.look(watch, 98_000, 99_001)
    assert (["cancel", "sever"], True) == (scene.line.done, watch.has_cancelled)


def test_interrupted_message_is_cancelled_without_a_deadline() -> None:
    """Without a deadline, Ctrl-C cancels the message but never severs the connection."""
    scene = Scene()
    deadline = Deadline(None, RESERVE_MS)
    watch = Watch(
        deadline,
        Clock(scene.clock),
        scene.open_observer,
        lambda _: None,
        sample_after_ms=10**9,
    )
    with watch.under_way(scene.connection):
        scene.look(watch, 5_000)
        deadline.interrupt("Ctrl-C")
        scene.look(watch, 5_100)
    assert ["cancel"] == scene.line.done


def test_next_message_is_not_cancelled_for_the_one_before() -> None:
    """A late watcher does not cancel the next message."""
    scene = Scene()
    watch = scene.watch()
    with watch.under_way(cast("Connection", Line())):
        scene.look(watch, 98_000)
    scene.look(watch, 99_000)
    assert [] == scene.line.done


def test_blockers_are_asked_for_after_a_while() -> None:
    """A long-running message is investigated at intervals over a second connection."""
    scene = Scene(observers=[Line(rows=(ROW,))])
    watch = scene.watch()
    with watch.under_way(scene.connection):
        scene.look(watch, 999)
        assert (0, ()) == (scene.opened, watch.blockers)
        scene.look(watch, 1_000, 1_500)
        assert (["send"], (BLOCKER,)) == (scene.observers[0].done, watch.blockers)
        scene.look(watch, 2_000)
    assert (1, ["send", "send"], []) == (scene.opened, scene.observers[0].done, scene.line.done)


def test_blockers_are_kept_when_they_are_gone() -> None:
    """A failure names the last blockers seen, and the next message starts without any."""
    scene = Scene(observers=[Line(rows=(ROW,))])
    watch = scene.watch()
    with watch.under_way(scene.connection):
        scene.look(watch, 1_000)
        scene.observers[0].rows = ()
        scene.look(watch, 2_000)
    kept = watch.blockers
    with watch.under_way(scene.connection):
        assert ((BLOCKER,), ()) == (kept, watch.blockers)


def test_long_query_of_a_blocker_is_cut() -> None:
    """The query of a blocker is cut after 200 characters."""
    row = (*ROW[:5], "SELECT " + "a, " * 200)
    scene = Scene(observers=[Line(rows=(row,))])
    watch = scene.watch()
    with watch.under_way(scene.connection):
        scene.look(watch, 1_000)
    assert watch.blockers[0].query is not None
    assert 200 == len(watch.blockers[0].query)


def test_progress_of_an_index_is_reported() -> None:
    """The progress of an index build is logged, with a percentage if the total is known."""
    progress = (("building index: scanning table", 25, 200), ("waiting for writers", 0, 0))
    scene = Scene(observers=[Line(progress=progress)])
    watch = scene.watch()
    with watch.under_way(scene.connection):
        scene.look(watch, 1_000)
    phases = [(name, fields["phase"], fields["percent"]) for name, fields in scene.events]
    assert [
        ("index_progress", "building index: scanning table", 12),
        ("index_progress", "waiting for writers", None),
    ] == phases


@pytest.mark.parametrize(
    "failure",
    [
        ConnectionLost("gone"),
        StatementError({"C": "42501", "M": "no"}, []),
        OSError("no route"),
    ],
)
def test_observer_that_fails_is_replaced(failure: Exception) -> None:
    """A failed query of the observer does not fail the run; the next one uses a new connection."""
    scene = Scene(observers=[Line(fails=failure), Line(rows=(ROW,))])
    watch = scene.watch()
    with watch.under_way(scene.connection):
        scene.look(watch, 1_000, 2_000)
    assert ["send", "close"] == scene.observers[0].done
    assert (BLOCKER,) == watch.blockers


def test_observer_that_cannot_connect_does_not_end_the_watch() -> None:
    """If no second connection can be opened, the deadline is still enforced."""
    scene = Scene(observers=[Line(fails=DatabaseUnreachable("too many connections"))])
    watch = scene.watch()
    with watch.under_way(scene.connection):
        scene.look(watch, 1_000, 98_000)
    assert ["cancel"] == scene.line.done


def test_observer_that_connects_while_the_watch_stops_is_closed() -> None:
    """An observer that connects after the watch has stopped is closed by the thread that opened it."""
    scene = Scene(observers=[Line()])
    watch = scene.watch()
    connect = watch._open_observer

    def connect_too_late() -> Connection:
        watch.stop()
        return connect()

    watch._open_observer = connect_too_late
    with watch.under_way(scene.connection):
        scene.look(watch, 1_000)
    assert ["close"] == scene.observers[0].done


def run_watch(scene: Scene, until: Callable[[], bool]) -> Watch:
    """Run a watcher's thread until a condition is true, then stop it."""
    watch = scene.watch()
    watch.start()
    with watch.under_way(scene.connection):
        wait_until(until, "what the watcher does")
    watch.stop()
    return watch


def test_stopped_watch_leaves_nothing_behind() -> None:
    """Afterwards the thread has ended and its connection is closed; a second stop is harmless."""
    scene = Scene(observers=[Line()])
    scene.clock.now_ms = 1
    scene.deadline_ms = 10**9

    def has_asked() -> bool:
        scene.clock.advance(500)
        return bool(scene.observers[0].done)

    watch = run_watch(scene, has_asked)
    watch.stop()
    assert ["send", "close"] == scene.observers[0].done
    assert not {"lockgate-deadline", "lockgate-observer"} & {
        thread.name for thread in threading.enumerate()
    }


def test_deadline_applies_to_a_role_with_one_connection(project: Project) -> None:
    """A role with a connection limit of one is cancelled in time like any other."""
    database = project.database
    role = f"single_{database.name}"
    database.run(
        f"CREATE ROLE {role} LOGIN PASSWORD 'x' CONNECTION LIMIT 1;"
        f' GRANT CREATE ON DATABASE "{database.name}" TO {role};'
        f" GRANT CREATE ON SCHEMA public TO {role}"
    )
    project.write({"1_slow.sql": "SELECT pg_sleep(600);"})
    project.settings |= {
        "LOCKGATE_DATABASE_URL": (
            f"postgresql://{role}:x@{database.host}:{database.port}/{database.name}"
        ),
        "LOCKGATE_LOCK_TIMEOUT": "400ms",
        "LOCKGATE_STATEMENT_TIMEOUT": "60s",
    }
    deadline = Deadline(None, RESERVE_MS)
    running = Background.start(lambda: project.run(deadline=deadline))
    wait_until(lambda: is_asleep(database), "a statement that sleeps")
    # Twice the time after which an observer is opened.
    threading.Event().wait(0.5)
    deadline.interrupt("Ctrl-C")
    report = running.result()
    database.run(f"DROP OWNED BY {role}; DROP ROLE {role}")
    assert Status.INCOMPLETE == report.status
