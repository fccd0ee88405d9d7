"""Makes the results for CodePipeline, within the limits of its API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lockgate import errors
from lockgate.awslambda.callers.cloudformation_answer import make_data
from lockgate.awslambda.callers.direct_answer import to_exception
from lockgate.awslambda.callers.reason import fit_bytes, make_reason, to_one_line
from lockgate.errors import LockgateError, public_class
from lockgate.fast_start.dataclass import dataclass
from lockgate.report.report import Report, Status

if TYPE_CHECKING:
    from lockgate.awslambda.callers.awaiting import Outcome
    from lockgate.awslambda.callers.codepipeline import Job

# The API counts characters. A text never has more characters than bytes.
_MAX_SUMMARY_BYTES = 2_048
_MAX_MESSAGE_BYTES = 5_000
_MAX_VARIABLE_CHARACTERS = 100
# 100 is for actions that have ended.
_MOST_PERCENT_UNDER_WAY = 99

_FAILURE_TYPES: dict[type[LockgateError], str] = {
    errors.RequestRefused: "ConfigurationError",
    errors.CredentialsRejected: "PermissionError",
    errors.DatabaseUnreachable: "SystemUnavailable",
}


@dataclass(frozen=True, slots=True)
class JobResult:
    """One call of the API: its operation, as boto3 names it, and its arguments."""

    operation: str
    arguments: dict[str, Any]

    @property
    def is_success(self) -> bool:
        """Whether the call reports a success."""
        return self.operation == "put_job_success_result"


def make_result(job: Job, outcome: Outcome) -> JobResult:
    """Return the call that ends the action."""
    if isinstance(outcome, Report) and outcome.is_success:
        details = {**_describe(outcome), "percentComplete": 100}
        arguments = {"executionDetails": details, "outputVariables": _make_variables(outcome)}
        return JobResult("put_job_success_result", {"jobId": job.job_id, **arguments})
    failure = make_failure(outcome)
    return JobResult("put_job_failure_result", {"jobId": job.job_id, "failureDetails": failure})


def make_continuation(job: Job, report: Report, token: str) -> JobResult:
    """Return the call that continues the action in a further job."""
    details = {**_describe(report), "percentComplete": measure_percent(job.earlier.done, report)}
    arguments = {"continuationToken": token, "executionDetails": details}
    return JobResult("put_job_success_result", {"jobId": job.job_id, **arguments})


def make_failure(outcome: Outcome) -> dict[str, str]:
    """Return the details of a failure: its type, the reason, and the run."""
    assert outcome is not None
    error = to_exception(outcome) if isinstance(outcome, Report) else outcome
    details = {
        "type": _FAILURE_TYPES.get(public_class(error), "JobFailed"),
        "message": fit_bytes(make_reason(outcome), _MAX_MESSAGE_BYTES),
    }
    if isinstance(outcome, Report) and outcome.run_id:
        details["externalExecutionId"] = outcome.run_id
    return details


def measure_percent(done_before: int, report: Report) -> int:
    """Return the share of migrations that are done, those of earlier jobs included."""
    done = done_before + count_done(report)
    whole = done + len(report.pending)
    return min(_MOST_PERCENT_UNDER_WAY, done * 100 // whole) if whole else 0


def count_done(report: Report) -> int:
    """Return how many migrations a run applied or undid."""
    return len(report.applied) + len(report.reverted)


def _describe(report: Report) -> dict[str, str]:
    text = to_one_line(" ".join([summarise(report), *report.warnings]))
    return {
        "summary": fit_bytes(text, _MAX_SUMMARY_BYTES),
        "externalExecutionId": report.run_id,
    }


def summarise(report: Report) -> str:
    """Return what a run that did not fail did, in a sentence or two."""
    pending = len(report.pending)
    parts = [summarise_done(report)]
    if report.status is Status.INCOMPLETE:
        parts.append(f"{pending} {_noun(pending)} still to do; the run continues.")
    elif report.status is Status.PLANNED:
        parts = [f"{pending} {_noun(pending)} pending."]
    version = report.to_version
    parts.append(
        "The database has no version." if version is None else f"The database is at {version}."
    )
    return " ".join(parts)


def summarise_done(report: Report) -> str:
    """Return what a run did before it ended."""
    done = [_count("Applied", report.applied), _count("Undid", report.reverted)]
    done += [_count("Recorded", report.recorded), _count("Forgot", report.forgotten)]
    return " ".join(text for text in done if text) or "Nothing was done."


def _count(verb: str, entries: tuple[Any, ...]) -> str:
    return f"{verb} {len(entries)} {_noun(len(entries))}." if entries else ""


def _noun(count: int) -> str:
    return "migration" if count == 1 else "migrations"


def _make_variables(report: Report) -> dict[str, str]:
    """Return the action's output variables, the same as a custom resource's attributes."""
    return {
        name: to_one_line(text)[:_MAX_VARIABLE_CHARACTERS]
        for name, text in make_data(report).items()
    }
