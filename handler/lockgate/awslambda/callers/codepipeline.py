"""Reads a CodePipeline job into a request, and a continuation token into the state of the action.

The event contains credentials for the pipeline's artifacts, so no message quotes any of it. A long run
takes several jobs: each is answered with a token, and CodePipeline sends the next job with it::

    job 1 ── 15 min ── token (hop 1) ──▶ job 2 ── 15 min ── token (hop 2) ──▶ job 3 ── done
"""

from __future__ import annotations

import json
import re
from dataclasses import field
from typing import TYPE_CHECKING, Any

from lockgate.awslambda.callers.detect import CallerKind
from lockgate.awslambda.callers.direct import read_request as read_command
from lockgate.core.continuation import Continuation
from lockgate.core.request import Caller
from lockgate.errors import RequestInvalid
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lockgate.core.request import Request
    from lockgate.settings import Settings

# An action may last a day. This many jobs are more than a day of full invocations.
MOST_JOBS = 200
_ACTION_SECONDS = 24 * 3_600

_JOB_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MOST_DONE = 10**9
_TOKEN_VERSION = 1
_HINT = (
    'Write a command into the action\'s UserParameters, such as {"action": "up", "reason":'
    ' "release 8"}, or leave them empty to migrate.'
)


@dataclass(frozen=True, slots=True)
class EarlierJobs:
    """Earlier jobs of the same action: the id of the first, and how many migrations they ran."""

    first_job_id: str
    done: int


@dataclass(frozen=True, slots=True)
class Job:
    """One job: its id, the state of its action, and its parameters as they arrived."""

    job_id: str
    continuation: Continuation
    earlier: EarlierJobs
    user_parameters: object = field(repr=False)

    @property
    def reference(self) -> dict[str, str]:
        """The field that identifies this job."""
        return {"job_id": self.job_id}


def read_job(event: Mapping[str, Any], now: float) -> Job:
    """Return the job of an event. Only `read_request` reads the parameters.

    Raises:
        RequestInvalid: it has no valid job id, so it cannot be answered.
    """
    job = event.get("CodePipeline.job")
    job_id = _dig(job, "id")
    if not isinstance(job_id, str) or _JOB_ID.fullmatch(job_id) is None:
        raise RequestInvalid(
            "The event's CodePipeline job has no id, so CodePipeline cannot be sent the outcome.",
            hint="Let CodePipeline invoke the function, by an action of category Invoke.",
        )
    data = _dig(job, "data")
    continuation, earlier = _read_token(_dig(data, "continuationToken"), job_id, now)
    parameters = _dig(_dig(_dig(data, "actionConfiguration"), "configuration"), "UserParameters")
    return Job(job_id, continuation, earlier, parameters)


def read_request(job: Job, settings: Settings) -> Request:
    """Return the request of a job: its UserParameters are a command; if empty, the job migrates.

    Raises:
        RequestInvalid: they are not a JSON object, or not a valid command; see `direct.read_request`.
    """
    reference = job.reference
    if job.continuation.hop:
        reference |= {"first_job_id": job.earlier.first_job_id, "hop": str(job.continuation.hop)}
    command = _read_parameters(job.user_parameters)
    return read_command(command, settings, Caller(CallerKind.CODEPIPELINE, reference))


def counts_steps(job: Job) -> bool:
    """Return whether the command counts steps, and would undo further migrations each time."""
    return "steps" in _read_parameters(job.user_parameters)


def make_token(job: Job, done: int) -> str:
    """Return the token for the next job; ``done`` is the number of migrations that are done."""
    following = job.continuation.next()
    token = {
        "lockgate": _TOKEN_VERSION,
        "hop": following.hop,
        "began_at": int(following.began_at),
        "job": job.earlier.first_job_id,
        "done": done,
    }
    return json.dumps(token, separators=(",", ":"))


def _read_token(token: object, job_id: str, now: float) -> tuple[Continuation, EarlierJobs]:
    """Read a continuation token; an invalid one counts as none, so no chain of jobs is endless."""
    match _parse(token):
        case {
            "lockgate": 1,
            "hop": int(hop),
            "began_at": int(began_at),
            "job": str(first_job_id),
            "done": int(done),
        } if (
            0 < hop <= MOST_JOBS
            and 0 <= began_at <= now
            and 0 <= done <= _MOST_DONE
            and _JOB_ID.fullmatch(first_job_id)
        ):
            return _continuation(hop, began_at), EarlierJobs(first_job_id, done)
        case _:
            return _continuation(0, now), EarlierJobs(job_id, 0)


def _continuation(hop: int, began_at: float) -> Continuation:
    return Continuation(hop, began_at, _ACTION_SECONDS, MOST_JOBS)


def _read_parameters(parameters: object) -> dict[str, Any]:
    if parameters is None or (isinstance(parameters, str) and not parameters.strip()):
        return {}
    command = _parse(parameters)
    if not isinstance(command, dict):
        raise RequestInvalid("The action's UserParameters are not a JSON object.", hint=_HINT)
    return command


def _parse(text: object) -> Any:
    if not isinstance(text, str):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _dig(value: object, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None
