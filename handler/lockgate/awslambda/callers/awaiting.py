"""Callers that wait for an answer of their own: what all of them have in common.

CloudFormation, CodePipeline and CodeDeploy each have a class that follows `AwaitingCaller`. `registry`
imports it when an event of that caller arrives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from lockgate.core.lease import LEASE_MARGIN_MS
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lockgate.aws.call import ClientFactory
    from lockgate.awslambda.callers.delivery import Answer, Timing
    from lockgate.awslambda.callers.detect import CallerKind
    from lockgate.core.continuation import Continuation
    from lockgate.core.request import Request
    from lockgate.errors import LockgateError
    from lockgate.report.report import HolderInfo, Report
    from lockgate.settings import Settings

    # A report; an error, if there is no report; None, if the event needed no run.
    Outcome = Report | LockgateError | None


@dataclass(frozen=True, slots=True)
class Invocation:
    """The parts of an invocation that a caller's module uses.

    ``invoke_again`` invokes this function once more, with an event.
    """

    function_arn: str
    timing: Timing
    now: Callable[[], float]
    clients: ClientFactory
    invoke_again: Callable[[Mapping[str, Any]], object]


class AwaitingCaller(Protocol):
    """One event of a caller that waits for an answer until it times out."""

    @property
    def kind(self) -> CallerKind:
        """The kind of caller."""
        ...

    @property
    def continuation(self) -> Continuation:
        """The number of earlier invocations, and how long the caller waits."""
        ...

    @property
    def needs_run(self) -> bool:
        """Whether the event asks for a run."""
        ...

    def read_request(self, settings: Settings) -> Request:
        """Return the request, or raise `RequestInvalid`."""
        ...

    def make_answer(self, outcome: Outcome) -> Answer:
        """Return the answer for an outcome, within the caller's size limits. Never raises."""
        ...

    def is_same_event(self, holder: HolderInfo) -> bool:
        """Return whether the lock's holder is a run for this event, so that it will answer."""
        ...

    def continue_run(self, report: Report) -> None:
        """Start a further invocation for the rest of the run.

        Raises:
            LockgateError: it could not be started.
        """
        ...


def is_at_work(holder: HolderInfo, kind: CallerKind, reference: dict[str, str], now: float) -> bool:
    """Return whether the lock's holder runs for the same event in an invocation that is still alive.

    That invocation answers, or Lambda repeats its event, so a second answer now could be wrong. If less
    than the margin is left of the lease, the invocation has ended.
    """
    lives_until = holder.expires_at.timestamp() - LEASE_MARGIN_MS / 1_000
    is_same = reference.items() <= holder.reference.items()
    return holder.caller == kind and is_same and now < lives_until
