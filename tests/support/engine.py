"""The one place where tests reach into the engine: how it is made, and where a test can step in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lockgate.core.deadline import Deadline
from lockgate.engine import task
from lockgate.postgres.database import Database
from lockgate.postgres.held_lock import HeldLock
from lockgate.wiring import make_run_id, make_runner

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from lockgate.core.request import Request
    from lockgate.engine.run import Runner
    from lockgate.report.report import Report
    from lockgate.settings import Settings

# Module and name of functions of the engine in which a defect can be planted.
DEFECTS: list[tuple[Any, str]] = [(task, "plan_forward"), (task, "lease_for")]


def make_engine(
    settings: Settings,
    *,
    deadline: Deadline | None = None,
    emit: Callable[..., None] = lambda *_, **__: None,
) -> Runner:
    """Return what carries out one request, and has done nothing yet."""
    return make_runner(settings, deadline or Deadline(None, 0), emit, run_id=make_run_id())


def run_request(settings: Settings, request: Request) -> Report:
    """Run one request to its end."""
    return make_engine(settings).run(request)


def open_database(engine: Runner) -> Database:
    """Return the server as an engine sees it, not yet connected."""
    database = engine.means.database
    assert isinstance(database, Database)
    return database


def act_before_lock(
    monkeypatch: pytest.MonkeyPatch, act: Callable[[], object], *, is_once: bool = False
) -> None:
    """Call ``act`` whenever a run is about to ask for the lock."""
    take_lock = Database.take_lock

    def take_late(*given: Any, **named: Any) -> Any:
        if is_once:
            monkeypatch.setattr(Database, "take_lock", take_lock)
        act()
        return take_lock(*given, **named)

    monkeypatch.setattr(Database, "take_lock", take_late)


def act_before_amendment(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Call ``act`` whenever a run that has the lock is about to write in the history by itself."""
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
    """What a backup has told a run."""

    backup: dict[str, Any] | None = None
    warnings: list[str] = field(default_factory=list)

    def warn(self, text: str) -> None:
        """Note a warning."""
        self.warnings.append(text)
