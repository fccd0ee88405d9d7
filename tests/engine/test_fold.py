"""The report as a fold over events, after any prefix of a run and from another thread."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema  # type: ignore[import-untyped]  # ships no types
import pytest
from tests.support.deciding import CATALOG, PROBE
from tests.support.engine import FakeRun
from tests.support.fake_server import LOST, NOW, fail_with

from lockgate.core import events
from lockgate.core.endpoint import Endpoint
from lockgate.core.event_log import EventLog
from lockgate.core.outcome import FinishedMigration
from lockgate.core.request import Action, Caller, Request
from lockgate.core.state_after import StateAfter
from lockgate.errors import RunIncomplete
from lockgate.report.fold import fold
from lockgate.report.log import FORMS
from lockgate.report.make_report import make_report, report_so_far
from lockgate.report.report import Status

if TYPE_CHECKING:
    from lockgate.core.events import Event

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/report.schema.json").read_text("utf-8"))
OVER = RunIncomplete("The run did not stop in time.", hint="Look.")
AT_WORK = "the run is still at work"
STARTED = events.RunStarted("r", Request(Action.UP, Caller("test")), 0.0)
SEEN = events.ServerSeen(PROBE, Endpoint("db", 5432, "shop"))
READ = events.FilesRead(CATALOG)
TWO = {f"{n}_{n}.sql": "-- migrate:up\nSELECT 1;\n-- migrate:down\nSELECT 1;\n" for n in (1, 2)}


def make_log(*happened: Event) -> EventLog:
    """Return a log of these events at one second."""
    log = EventLog(lambda: 1.0)
    log.add(*happened)
    return log


def test_run_that_has_not_started_is_refused_with_what_is_known() -> None:
    """A run without events is reported as incomplete, without an action."""
    report = report_so_far(make_log(), "r", OVER, AT_WORK)
    assert (Status.INCOMPLETE, None) == (report.status, report.action)


def test_active_run_shows_what_is_done_and_claims_nothing_else() -> None:
    """A report of a run at work lists applied migrations; the state of the database is unknown."""
    log = make_log(STARTED, SEEN, READ, events.Applied(FinishedMigration("1", 5, NOW)))
    report = report_so_far(log, "r", OVER, AT_WORK)
    assert report.error is not None
    assert (["1"], "shop", 1000) == (
        [entry.version for entry in report.applied],
        report.database and report.database.name,
        report.duration_ms,
    )
    assert (StateAfter.UNKNOWN, "run-incomplete") == (report.error.state_after, report.error.code)
    assert "Look." == report.next_action


def test_events_of_a_phase_add_up() -> None:
    """Times of a repeated phase are added."""
    log = make_log(STARTED, events.PhaseEnded("connect", 3), events.PhaseEnded("connect", 4))
    assert {"connect": 7} == make_report(log, Status.UP_TO_DATE, None).timings


def test_snapshot_stays_unchanged() -> None:
    """A snapshot does not contain later events."""
    log = make_log(STARTED)
    snapshot = log.snapshot()
    log.add(events.Warned("late"))
    summary = fold(snapshot)
    assert summary is not None
    assert [] == summary.state.warnings


def test_reverted_migration_is_not_applied_any_more() -> None:
    """An undone migration is no longer among those applied."""
    done = FinishedMigration("1", 5, NOW)
    summary = fold((STARTED, READ, events.Applied(done), events.Undone(done)))
    assert summary is not None
    assert ({}, {"1": done}) == (summary.state.done, summary.state.reverted)


RUNS: dict[str, dict[str, Any]] = {
    "applied": {},
    "failed": {"apply": [None, fail_with("42601", "2 2")]},
    "retried": {"apply": [fail_with("55P03")]},
    "cut off": {"apply": [LOST], "finish": [LOST, LOST, LOST]},
    "unreachable": {"probe": [LOST] * 4},
}


@pytest.mark.parametrize("name", RUNS)
def test_every_beginning_of_a_run_has_a_report(tmp_path: Path, name: str) -> None:
    """After any event, the report of a second thread is valid and its state is unknown."""
    fake = FakeRun(tmp_path, TWO)
    fake.server.before |= RUNS[name]
    fake.run(LOCKGATE_ATOMICITY="migration")
    snapshot = fake.log.snapshot()
    for length in range(1, len(snapshot)):
        report = report_so_far(make_log(*snapshot[:length]), "r", OVER, AT_WORK)
        jsonschema.validate(report.to_json(), SCHEMA)
        assert report.error is not None
        assert StateAfter.UNKNOWN is report.error.state_after


@pytest.mark.parametrize("name", RUNS)
def test_engine_and_report_know_the_same(tmp_path: Path, name: str) -> None:
    """The engine's state equals the fold over all its events."""
    fake = FakeRun(tmp_path, TWO)
    fake.server.before |= RUNS[name]
    report = fake.run(LOCKGATE_ATOMICITY="migration")
    summary = fold(fake.log.snapshot())
    assert summary is not None
    assert [entry.version for entry in report.applied] == list(summary.state.done)
    assert report.error is None or summary.state.claim().state is report.error.state_after


def test_log_passes_on_what_has_a_form() -> None:
    """An event is logged with the name and fields of its form."""
    assert ("lock_taken", {"token": 3, "former_run": None}) == (
        FORMS[events.LockTaken][0],
        FORMS[events.LockTaken][1](events.LockTaken(3, None)),
    )
