"""The only place where tests access the engine's internals: its construction, and hooks into it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tests.support.fake_server import FakeServer

from lockgate.core.deadline import Deadline
from lockgate.core.event_log import EventLog
from lockgate.core.request import Action, Caller, Request
from lockgate.engine import before_lock
from lockgate.engine.commands import forward
from lockgate.postgres.database import Database
from lockgate.postgres.held_lock import HeldLock
from lockgate.report import make_report
from lockgate.report.log import log_to
from lockgate.settings import read_settings
from lockgate.wiring import SystemClock, make_run_id, make_runner

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from lockgate.core.segment import Segment
    from lockgate.engine.run import Runner
    from lockgate.report.report import Report
    from lockgate.settings import Settings

# Module and name of functions in which a defect can be planted.
DEFECTS: list[tuple[Any, str]] = [
    (forward, "plan_forward"),
    (before_lock, "lease_for"),
    (make_report, "fold"),
]


def make_engine(
    settings: Settings,
    *,
    deadline: Deadline | None = None,
    emit: Callable[..., None] = lambda *_, **__: None,
) -> Runner:
    """Return a new engine for one request; ``emit`` gets its events as they are logged."""
    events = EventLog(SystemClock().monotonic, log_to(emit))
    return make_runner(settings, deadline or Deadline(None, 0), events, run_id=make_run_id())


def run_request(settings: Settings, request: Request) -> Report:
    """Run one request to its end."""
    return make_engine(settings).run(request)


def open_database(engine: Runner) -> Database:
    """Return the engine's database, not yet connected."""
    database = engine.dependencies.database
    assert isinstance(database, Database)
    return database


def act_before_lock(
    monkeypatch: pytest.MonkeyPatch, act: Callable[[], object], *, is_once: bool = False
) -> None:
    """Call ``act`` whenever a run is about to request the lock."""
    take_lock = Database.take_lock

    def take_late(*given: Any, **named: Any) -> Any:
        if is_once:
            monkeypatch.setattr(Database, "take_lock", take_lock)
        act()
        return take_lock(*given, **named)

    monkeypatch.setattr(Database, "take_lock", take_late)


def act_before_segment(monkeypatch: pytest.MonkeyPatch, act: Callable[[Segment], object]) -> None:
    """Call ``act`` with each segment that a run is about to apply."""
    apply = HeldLock.apply

    def apply_late(held: HeldLock, segment: Segment, *given: Any, **named: Any) -> Any:
        act(segment)
        return apply(held, segment, *given, **named)

    monkeypatch.setattr(HeldLock, "apply", apply_late)


def act_before_install(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Call ``act`` whenever a run has looked and is about to make its tables."""
    install = Database.install

    def install_late(*given: Any, **named: Any) -> None:
        act()
        install(*given, **named)

    monkeypatch.setattr(Database, "install", install_late)


def act_before_amendment(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Call ``act`` whenever a run that holds the lock is about to write an amendment."""
    amend = HeldLock.amend

    def amend_late(*given: Any, **named: Any) -> None:
        act()
        amend(*given, **named)

    monkeypatch.setattr(HeldLock, "amend", amend_late)


def act_before_finish(
    monkeypatch: pytest.MonkeyPatch, act: Callable[[dict[str, str | None]], object]
) -> None:
    """Call ``act`` with the outcome whenever a run is about to record its end."""
    finish = HeldLock._finish

    def finish_late(held: HeldLock, outcome: dict[str, str | None]) -> None:
        act(outcome)
        finish(held, outcome)

    monkeypatch.setattr(HeldLock, "_finish", finish_late)


@dataclass(slots=True)
class BackupNotes:
    """What a backup reported to a run."""

    backup: dict[str, Any] | None = None
    warnings: list[str] = field(default_factory=list)

    def warn(self, text: str) -> None:
        """Record a warning."""
        self.warnings.append(text)


@dataclass(slots=True)
class FakeRun:
    """Runs of a folder on a server in memory. Time passes only while the run sleeps."""

    folder: Path
    files: dict[str, str]
    server: FakeServer = field(default_factory=FakeServer)
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    log: EventLog = field(default_factory=lambda: EventLog(lambda: 0.0))
    _interrupts: dict[str, str] = field(default_factory=dict)

    def interrupt_after(self, event: str, by: str) -> None:
        """Interrupt the run at its first event of that name."""
        self._interrupts[event] = by

    def run(self, action: Action = Action.UP, **given: Any) -> Report:
        """Run one request: upper-case arguments are settings, lower-case ones are request fields."""
        for name, text in self.files.items():
            (self.folder / name).write_text(text)
        environment = {
            "LOCKGATE_DATABASE_URL": "postgresql://app@db/shop",
            "LOCKGATE_MIGRATIONS": str(self.folder),
            "LOCKGATE_FIRST_RUN": "allow",
            **{name: value for name, value in given.items() if name.isupper()},
        }
        fields = {name: value for name, value in given.items() if not name.isupper()}
        deadline = Deadline(None, 0)
        engine = make_engine(
            read_settings(environment), deadline=deadline, emit=self._note(deadline)
        )
        engine.dependencies = replace(engine.dependencies, database=self.server, clock=StillClock())
        self.log = engine.dependencies.events
        return engine.run(Request(action, Caller("test"), **fields))

    def _note(self, deadline: Deadline) -> Callable[..., None]:
        def emit(name: str, **fields: Any) -> None:
            self.events.append((name, fields))
            by = self._interrupts.pop(name, None)
            if by is not None:
                deadline.interrupt(by)

        return emit

    def emitted(self, name: str) -> list[dict[str, Any]]:
        """Return the fields of every event of that name."""
        return [fields for event, fields in self.events if event == name]


class StillClock:
    """A clock that advances only by sleeping."""

    def __init__(self) -> None:
        self._elapsed = 0.0

    def monotonic(self) -> float:
        """Return the seconds slept."""
        return self._elapsed

    def sleep(self, seconds: float) -> None:
        """Advance the clock."""
        self._elapsed += seconds
