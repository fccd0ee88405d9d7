"""Show recorded runs on the terminal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from lockgate.core.request import Action
from lockgate.core.run_record import RunRecord
from lockgate.report.report import DatabaseInfo, Report, Status
from lockgate.terminal.report import describe_report

AT = datetime(2026, 11, 22, 10, 2, 11, tzinfo=UTC)
RUNS = (
    RunRecord("b2", "down", "running", AT, None, "direct", {}, "ada", "release 8 is taken back"),
    RunRecord(
        "a1",
        "up",
        "failed",
        AT - timedelta(hours=1),
        AT,
        "cloudformation",
        {"stack_id": "arn:aws:…", "request_id": "4f2c"},
        from_version="0011",
        to_version="0012",
        error_code="migration-failed",
    ),
)


def say(runs: tuple[RunRecord, ...]) -> str:
    """Return a report of runs as text."""
    database = DatabaseInfo("db.example.com", 5432, "shop", "18.6")
    report = Report(Status.UP_TO_DATE, Action.HISTORY, "c3", "terminal", database, runs=runs)
    lines = describe_report(report.to_json(), None)
    return "\n".join("".join(span.text for span in line) for line in lines)


def test_runs_are_listed_one_by_one() -> None:
    """Each run shows its time, outcome and versions, then its caller, then its reason."""
    expected = """\
✓ the last 2 runs, the newest first
  db.example.com:5432/shop, PostgreSQL 18.6, run c3

  • 2026-11-22 10:02:11Z  down: running
    direct, ada, run b2
    release 8 is taken back

  ✗ 2026-11-22 09:02:11Z  up: failed (migration-failed), 0011 → 0012
    cloudformation, run a1, stack_id arn:aws:…, request_id 4f2c"""
    assert expected == say(RUNS)


def test_empty_list_of_runs_is_one_sentence() -> None:
    """Without runs there is a headline but no list, and one run has the singular."""
    assert say(()).startswith("✓ no run is recorded\n")
    assert say(RUNS[:1]).startswith("✓ 1 run\n")
