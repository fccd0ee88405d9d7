"""Answers to CodePipeline respect its limits and put the most important information first."""

from __future__ import annotations

import json
from typing import Any

import botocore.session
import pytest
from tests.support.aws_api import find_flaws

from lockgate import errors
from lockgate.awslambda.callers.codepipeline import make_token, read_job, read_request
from lockgate.awslambda.callers.codepipeline_answer import (
    JobResult,
    make_continuation,
    make_result,
    measure_percent,
    summarise,
)
from lockgate.core.request import Action
from lockgate.core.state_after import NOT_BEGUN
from lockgate.errors import LockgateError
from lockgate.report.refusal import refuse_report
from lockgate.report.report import Entry, ErrorInfo, Report, Status
from lockgate.settings import Settings

JOB_ID = "11111111-abcd-1111-abcd-111111abcdef"
JOB = read_job({"CodePipeline.job": {"id": JOB_ID}}, now=1_790_000_000.5)
OPERATIONS = {
    "put_job_success_result": "PutJobSuccessResult",
    "put_job_failure_result": "PutJobFailureResult",
}
MODEL = botocore.session.get_session().get_service_model("codepipeline")


def report_of(status: Status, **more: Any) -> Report:
    """Return a report of an up."""
    return Report(status=status, action=Action.UP, run_id="run-1", **more)


def entries(count: int) -> tuple[Entry, ...]:
    """Return this many migrations."""
    return tuple(Entry(str(n), "add_orders", "versioned") for n in range(count))


def flaws_of(result: JobResult) -> list[str]:
    """Return what CodePipeline would reject."""
    model = MODEL.operation_model(OPERATIONS[result.operation])
    return find_flaws(model, result.arguments)


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (
            report_of(Status.APPLIED, applied=entries(2), to_version="12"),
            "Applied 2 migrations. The database is at 12.",
        ),
        (
            report_of(Status.UP_TO_DATE, to_version="12"),
            "Nothing was done. The database is at 12.",
        ),
        (report_of(Status.UP_TO_DATE), "Nothing was done. The database has no version."),
        (
            report_of(Status.PLANNED, pending=entries(1), to_version="12"),
            "1 migration pending. The database is at 12.",
        ),
        (
            report_of(Status.ROLLED_BACK, reverted=entries(1), to_version="11"),
            "Undid 1 migration. The database is at 11.",
        ),
        (
            report_of(Status.APPLIED, recorded=entries(2), forgotten=entries(1), to_version="1"),
            "Recorded 2 migrations. Forgot 1 migration. The database is at 1.",
        ),
        (
            report_of(Status.INCOMPLETE, applied=entries(1), pending=entries(1), to_version="1"),
            "Applied 1 migration. 1 migration still to do; the run continues. The database is at 1.",
        ),
    ],
)
def test_summary_says_what_was_done(report: Report, expected: str) -> None:
    """The summary has a sentence each for what was done, what is left, and the database's version."""
    assert expected == summarise(report)


def test_warnings_stand_behind_the_summary() -> None:
    """Warnings follow the summary, so that they are visible in the pipeline."""
    report = report_of(Status.UP_TO_DATE, warnings=("Migration 7 has no\nstatement.", "Beware."))
    details = make_result(JOB, report).arguments["executionDetails"]
    expected = (
        "Nothing was done. The database has no version. Migration 7 has no statement. Beware."
    )
    assert expected == details["summary"]


@pytest.mark.parametrize(
    ("before", "applied", "pending", "expected"),
    [(0, 0, 0, 0), (0, 0, 5, 0), (0, 1, 2, 33), (6, 1, 2, 77), (5, 0, 0, 99), (999, 0, 1, 99)],
)
def test_percent_counts_earlier_jobs(
    before: int, applied: int, pending: int, expected: int
) -> None:
    """A run that continues is never at 100 percent, and its percentage never decreases."""
    report = report_of(Status.INCOMPLETE, applied=entries(applied), pending=entries(pending))
    assert expected == measure_percent(before, report)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (errors.RequestInvalid("x"), "ConfigurationError"),
        (errors.SettingInvalid("x"), "ConfigurationError"),
        (errors.CredentialsRejected("x"), "PermissionError"),
        (errors.CertificateUntrusted("x"), "SystemUnavailable"),
        (errors.DatabaseUnreachable("x"), "SystemUnavailable"),
        (errors.MigrationFailed("x"), "JobFailed"),
        (errors.DriftDetected("x"), "JobFailed"),
        (errors.DatabaseBusy("x"), "JobFailed"),
        (errors.RunIncomplete("x"), "JobFailed"),
        (errors.UnexpectedFailure("x"), "JobFailed"),
    ],
)
def test_failure_has_codepipelines_own_type(error: LockgateError, expected: str) -> None:
    """Error and report get the same failure type, and only a report has a run id."""
    bare = make_result(JOB, error).arguments["failureDetails"]
    told = make_result(JOB, refuse_report("run-1", error, NOT_BEGUN)).arguments["failureDetails"]
    assert (expected, expected) == (bare["type"], told["type"])
    assert ("run-1", False) == (told["externalExecutionId"], "externalExecutionId" in bare)


@pytest.mark.parametrize("character", ["x", "é", "𝄞", '"', "\\", "\0"])
def test_everything_fits_whatever_a_run_says(character: str) -> None:
    """Texts of any length satisfy CodePipeline's own model."""
    text = character * 100_000
    failed = report_of(Status.FAILED, error=ErrorInfo("x", text, "MigrationFailed", hint=text))
    applied = report_of(
        Status.APPLIED, from_version=text, to_version=text, warnings=(text,), applied=entries(1)
    )
    job = read_job({"CodePipeline.job": {"id": JOB_ID}}, now=9e9)
    results = [
        make_result(JOB, failed),
        make_result(JOB, applied),
        make_result(JOB, LockgateError(text)),
        make_result(JOB, LockgateError("")),
        make_result(JOB, report_of(Status.BUSY)),
        make_continuation(JOB, applied, make_token(job, 10**9)),
    ]
    assert [[]] * len(results) == [flaws_of(result) for result in results]


def test_token_leads_the_next_job_on() -> None:
    """Start time, count and first job are carried from job to job."""
    second_id = "22222222-abcd-1111-abcd-111111abcdef"
    token = make_token(JOB, 7)
    data = {"continuationToken": token}
    second = read_job({"CodePipeline.job": {"id": second_id, "data": data}}, now=1_790_000_900.0)
    assert (1, 1_790_000_000.0) == (second.continuation.hop, second.continuation.began_at)
    assert (JOB_ID, 7) == (second.earlier.first_job_id, second.earlier.done)
    assert {"job_id": second_id} == second.reference
    data = {"continuationToken": make_token(second, 9)}
    third = read_job({"CodePipeline.job": {"id": JOB_ID, "data": data}}, now=1_790_001_800.0)
    assert (2, JOB_ID, 9) == (
        third.continuation.hop,
        third.earlier.first_job_id,
        third.earlier.done,
    )


GOOD_TOKEN = json.loads(make_token(JOB, 7))


@pytest.mark.parametrize(
    "token",
    [
        *(None, 7, "", "null", "{}", "[]"),
        *(
            json.dumps({**GOOD_TOKEN, **change})
            for change in (
                {"lockgate": 2},
                {"hop": 0},
                {"hop": -5},
                {"hop": 201},
                {"hop": "1"},
                {"began_at": 9e99},
                {"began_at": 2_790_000_000},
                {"job": "x"},
                {"job": None},
                {"done": -1},
                {"done": 10**30},
            )
        ),
        json.dumps({key: value for key, value in GOOD_TOKEN.items() if key != "done"}),
    ],
)
def test_token_that_is_not_ours_is_none(token: object) -> None:
    """A token of another tool or a later release, or a forged one, is ignored."""
    data = {"continuationToken": token}
    assert read_job({"CodePipeline.job": {"id": JOB_ID, "data": data}}, 1_790_000_000.5) == JOB


@pytest.mark.parametrize(
    "job", [None, [], {}, "x", {"id": 7}, {"id": "x"}, {"id": JOB_ID.upper()}, {"id": f"{JOB_ID}0"}]
)
def test_job_without_an_id_is_refused(job: object) -> None:
    """A job without a valid id is refused, since it could not be answered."""
    with pytest.raises(errors.RequestInvalid, match="has no id, so CodePipeline cannot be sent"):
        read_job({"CodePipeline.job": job}, 0.0)


@pytest.mark.parametrize("parameters", ["[]", "7", "null", '"up"', "{", 7, ["up"], {}])
def test_parameters_that_are_no_object_are_refused(parameters: object) -> None:
    """Parameters that are not a JSON object in a string are refused without running anything."""
    action = {"configuration": {"UserParameters": parameters}}
    event = {"CodePipeline.job": {"id": JOB_ID, "data": {"actionConfiguration": action}}}
    with pytest.raises(errors.RequestInvalid, match="The action's UserParameters are not a JSON"):
        read_request(read_job(event, 0.0), Settings())
