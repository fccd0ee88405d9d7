"""The emergency answer for a run that hangs, built from the events so far."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.deciding import CATALOG, PROBE
from tests.support.fake_server import NOW
from tests.support.waiting import LONGEST_SECONDS

from lockgate.awslambda.callers.delivery import Answer, SingleAnswer
from lockgate.awslambda.callers.emergency import start_emergency
from lockgate.core import events
from lockgate.core.deadline import Deadline
from lockgate.core.endpoint import Endpoint
from lockgate.core.event_log import EventLog
from lockgate.core.outcome import FinishedMigration
from lockgate.core.request import Action, Caller, Request
from lockgate.core.state_after import StateAfter

if TYPE_CHECKING:
    from lockgate.core.events import Event
    from lockgate.report.report import Report

STARTED = events.RunStarted("r", Request(Action.UP, Caller("cloudformation")), 0.0)
AT_WORK = (
    STARTED,
    events.ServerSeen(PROBE, Endpoint("db", 5432, "shop")),
    events.FilesRead(CATALOG),
    events.Applied(FinishedMigration("1", 5, NOW)),
)


class Listener:
    """A caller that records the reports it gets."""

    def __init__(self) -> None:
        self.reports: list[Report] = []

    def make_answer(self, report: Report) -> Answer:
        """Record the report and return an answer that delivers nothing."""
        self.reports.append(report)
        return Answer("FAILED", lambda: None)


def hang(*happened: Event) -> Report:
    """Return the second thread's report for a run with these events."""
    log, caller, answered = EventLog(lambda: 1.0), Listener(), threading.Event()
    log.add(*happened)
    told: Any = caller
    start_emergency(
        SingleAnswer(), told, Deadline(lambda: 0, 0), "r", log, lambda *_: answered.set()
    )
    assert answered.wait(LONGEST_SECONDS)
    return caller.reports[0]


@pytest.mark.parametrize(
    ("happened", "applied", "database"),
    [((), [], None), ((STARTED,), [], None), (AT_WORK, ["1"], "shop")],
)
def test_answer_shows_what_is_known(
    happened: tuple[Event, ...], applied: list[str], database: str | None
) -> None:
    """The outcome of running work is unknown; finished migrations are listed."""
    report = hang(*happened)
    assert report.error is not None
    assert ("run-incomplete", StateAfter.UNKNOWN) == (report.error.code, report.error.state_after)
    assert applied == [entry.version for entry in report.applied]
    assert database == (report.database and report.database.name)


def test_thread_that_waits_keeps_no_process_alive() -> None:
    """A process whose handler was interrupted ends without waiting for the deadline."""
    caller: Any = Listener()
    deadline = Deadline(lambda: 900_000, 0)
    log = EventLog(lambda: 1.0)
    timer = start_emergency(SingleAnswer(), caller, deadline, "r", log, lambda *_: None)
    is_daemon = timer.daemon
    timer.cancel()
    assert is_daemon
