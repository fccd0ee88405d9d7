"""A reason puts the most important information first, on one line."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lockgate.awslambda.callers.reason import make_reason
from lockgate.core.request import Action
from lockgate.core.state_after import StateAfter
from lockgate.errors import SettingInvalid
from lockgate.report.report import Entry, ErrorInfo, Report, Status

FIRST = Entry("0007", "add_orders", "versioned")
SECOND = Entry("0008", "fill_orders", "versioned")
FAILED = ErrorInfo(
    code="migration-failed",
    message='column "email"\n\talready exists',
    type="MigrationFailed",
    hint="Fix the file.",
    sqlstate="42701",
    migration="0009 add_email",
    state_after=StateAfter.ROLLED_BACK,
)


def report_of(status: Status, **more: Any) -> Report:
    """Return a report of an up."""
    return Report(status=status, action=Action.UP, run_id="run-1", **more)


BUSY = "Busy. Nothing was changed."
SAID = 'column "email" already exists Fix the file. Run run-1.'


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (
            report_of(Status.FAILED, error=FAILED, from_version="0006", to_version="0006"),
            (
                "Migration 0009 add_email failed (42701). No migration of this run stays;"
                f" the database is at version 0006. {SAID}"
            ),
        ),
        (
            report_of(
                Status.FAILED,
                error=FAILED,
                from_version="0006",
                to_version="0007",
                applied=(FIRST, SECOND),
                reverted=(SECOND,),
            ),
            (
                "Migration 0009 add_email failed (42701). 1 migration of this run stays;"
                f" the database is at version 0007. {SAID}"
            ),
        ),
        (
            report_of(
                Status.BUSY,
                from_version="0006",
                error=ErrorInfo(
                    "lock-busy", BUSY, "DatabaseBusy", state_after=StateAfter.UNCHANGED
                ),
            ),
            "Busy. Nothing was changed. Run run-1.",
        ),
        (
            report_of(
                Status.REFUSED,
                error=ErrorInfo(
                    code="drift-detected",
                    message="Migration 0007 was edited. Nothing was run.",
                    type="DriftDetected",
                    hint="Write one with: lockgate new NAME",
                    migration="0007",
                    state_after=StateAfter.UNCHANGED,
                ),
            ),
            (
                "Migration 0007 was edited. Nothing was run."
                " Write one with: lockgate new NAME. Run run-1."
            ),
        ),
        (
            report_of(
                Status.REFUSED,
                error=ErrorInfo(
                    "outcome-unknown",
                    "Unknown.",
                    "RequestRefused",
                    state_after=StateAfter.KEPT,
                ),
                applied=(FIRST,),
                to_version="0007",
            ),
            ("1 migration of this run stays; the database is at version 0007. Unknown. Run run-1."),
        ),
        (
            report_of(
                Status.REFUSED,
                error=ErrorInfo(
                    "x", f"{'x' * 600} Nothing was run.", "x", state_after=StateAfter.UNCHANGED
                ),
            ),
            f"Nothing was changed. {'x' * 600} Nothing was run. Run run-1.",
        ),
        (
            report_of(Status.FAILED, error=FAILED),
            (
                "Migration 0009 add_email failed (42701). No migration of this run stays;"
                f" the database has no version. {SAID}"
            ),
        ),
        (
            report_of(
                Status.FAILED,
                error=ErrorInfo(code="x", message="Gone.", type="DatabaseUnreachable"),
            ),
            "Gone. Run run-1.",
        ),
        (
            report_of(Status.FAILED, error=replace(FAILED, migration=None), applied=(FIRST,)),
            (
                "The run failed (42701). 1 migration of this run stays;"
                f" the database has no version. {SAID}"
            ),
        ),
        (
            report_of(Status.INCOMPLETE, from_version="0006", applied=(FIRST, SECOND)),
            (
                "The run ended incomplete. 2 migrations of this run stay;"
                " the database is at version 0006. Run run-1."
            ),
        ),
    ],
)
def test_reason_of_a_report(report: Report, expected: str) -> None:
    """A reason lists migration and SQLSTATE, the state, the message, the hint and the run."""
    assert expected == make_reason(report)


def test_reason_of_an_error_before_the_run() -> None:
    """The reason of an error without a report is its message and hint."""
    error = SettingInvalid("LOCKGATE_PORT is wrong.", hint="Correct it.")
    expected = "LOCKGATE_PORT is wrong. Correct it."
    assert expected == make_reason(error)


def test_reason_is_never_empty() -> None:
    """CloudFormation rejects a failure without a reason, so a reason is never empty."""
    expected = "The run failed without a message; see the function's log."
    assert expected == make_reason(SettingInvalid(" \n"))


def test_reason_holds_nothing_that_breaks_a_line_or_an_encoding() -> None:
    """Line breaks, control characters and lone surrogates are removed from the reason."""
    assert make_reason(SettingInvalid("a\r\nb\0c\x1b[0m\u202ed\ud800")) == "a b c [0m d?"
