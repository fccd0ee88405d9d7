"""CodePipeline as a caller: each job gets a result through the API.

The client is created before the run, so that nothing has to be imported when time is short.
"""

from __future__ import annotations

from dataclasses import field
from functools import partial
from typing import TYPE_CHECKING, Any

from lockgate.aws.call import Call, region_of
from lockgate.awslambda.callers.awaiting import Invocation, is_at_work
from lockgate.awslambda.callers.codepipeline import (
    Job,
    counts_steps,
    make_token,
    read_job,
    read_request,
)
from lockgate.awslambda.callers.codepipeline_answer import (
    JobResult,
    count_done,
    make_continuation,
    make_result,
    summarise_done,
)
from lockgate.awslambda.callers.delivery import Answer, send_outcome
from lockgate.awslambda.callers.detect import CallerKind
from lockgate.errors import RunIncomplete, UnexpectedFailure
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lockgate.awslambda.callers.awaiting import Outcome
    from lockgate.core.continuation import Continuation
    from lockgate.core.request import Request
    from lockgate.report.report import HolderInfo, Report
    from lockgate.settings import Settings

_CALL = Call(
    subject="CodePipeline",
    permission="codepipeline:PutJobSuccessResult and codepipeline:PutJobFailureResult",
    service="codepipeline",
    verb="sent the outcome",
    error_class=UnexpectedFailure,
    meanings={
        "JobNotFoundException": (
            "this account and region have no job with this id (JobNotFoundException)",
            "Only CodePipeline may invoke the function with a job; CloudTrail shows who invoked it.",
        ),
        "InvalidJobStateException": (
            "the job was already answered or has timed out (InvalidJobStateException)",
            "See the action in the pipeline, which also has a timeout to increase.",
        ),
    },
)
_OVER = frozenset({"InvalidJobStateException"})


@dataclass(frozen=True, slots=True)
class CodePipelineCaller:
    """One job of a pipeline's action."""

    job: Job
    invocation: Invocation
    client: Any = field(repr=False)

    @property
    def kind(self) -> CallerKind:
        """CodePipeline."""
        return CallerKind.CODEPIPELINE

    @property
    def continuation(self) -> Continuation:
        """The number of earlier jobs of the action, and how long it may take."""
        return self.job.continuation

    @property
    def needs_run(self) -> bool:
        """Always."""
        return True

    def read_request(self, settings: Settings) -> Request:
        """Return the request in the job's UserParameters; see `codepipeline.read_request`."""
        return read_request(self.job, settings)

    def make_answer(self, outcome: Outcome) -> Answer:
        """Return the result that ends the action."""
        result = make_result(self.job, outcome)
        status = "Succeeded" if result.is_success else "Failed"
        return Answer(status, partial(self._put, result))

    def is_same_event(self, holder: HolderInfo) -> bool:
        """Return whether the holder is a run for the same job; see `is_at_work`."""
        return is_at_work(holder, self.kind, self.job.reference, self.invocation.now())

    def continue_run(self, report: Report) -> None:
        """Answer the job with a token, so that CodePipeline sends the next one.

        Raises:
            RunIncomplete: the command counts steps, so the next job would undo further migrations.
        """
        if counts_steps(self.job):
            raise RunIncomplete(
                f"The run stopped before it was done. {summarise_done(report)} It does not continue"
                " automatically, because steps count from what is applied when a job starts.",
                hint='Run the rest with "target" instead of "steps".',
            )
        token = make_token(self.job, self.job.earlier.done + count_done(report))
        self._put(make_continuation(self.job, report, token))

    def _put(self, result: JobResult) -> None:
        call = partial(getattr(self.client, result.operation), **result.arguments)
        send_outcome(call, _CALL, _OVER, self.invocation.timing)


def open_job(event: Mapping[str, Any], invocation: Invocation) -> CodePipelineCaller:
    """Return the caller of a job's event.

    Raises:
        RequestInvalid: it has no valid job id, so it cannot be answered.
    """
    job = read_job(event, invocation.now())
    client = invocation.clients("codepipeline", region_of(invocation.function_arn))
    return CodePipelineCaller(job, invocation, client)
