"""A dialogue with a caller that waits for an answer of its own. Knows what all of them have in common.

Each such caller has a module with a class that keeps to `Dialogue`; it is imported when an event of
that caller comes, and not before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from lockgate.awslambda.callers.detect import CallerKind
from lockgate.core.lease import LEASE_MARGIN_MS
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lockgate.aws.clients import ClientFactory
    from lockgate.awslambda.callers.delivery import Answer, Timing
    from lockgate.core.continuation import Continuation
    from lockgate.core.request import Request
    from lockgate.errors import LockgateError
    from lockgate.report.report import HolderInfo, Report
    from lockgate.settings import Settings

    # A report, an error where there is none, or None for what needed no run.
    Outcome = Report | LockgateError | None


@dataclass(frozen=True, slots=True)
class Invocation:
    """What a caller's module may know of the invocation, and use of it.

    ``invoke_again`` hands an event to a further invocation of this function.
    """

    function_arn: str
    timing: Timing
    now: Callable[[], float]
    clients: ClientFactory
    invoke_again: Callable[[Mapping[str, Any]], object]


class Dialogue(Protocol):
    """One event of a caller that waits for an answer, whatever happens."""

    @property
    def kind(self) -> CallerKind:
        """Who the caller is."""
        ...

    @property
    def continuation(self) -> Continuation:
        """How many invocations there were already, and until when the caller waits."""
        ...

    @property
    def needs_run(self) -> bool:
        """Whether there is anything to do, whatever the settings are."""
        ...

    def read_request(self, settings: Settings) -> Request:
        """Return what is asked for, or raise `RequestInvalid`."""
        ...

    def make_answer(self, outcome: Outcome) -> Answer:
        """Return what the caller is told of an outcome; in every case, and within its limits."""
        ...

    def is_left_to(self, holder: HolderInfo) -> bool:
        """Return whether the run that holds the lock will answer this event."""
        ...

    def go_on(self, report: Report) -> None:
        """Make sure of a further invocation for the rest; raise a `LockgateError` if that fails."""
        ...


def open_dialogue(
    kind: CallerKind, event: Mapping[str, Any], invocation: Invocation, settings: Settings
) -> Dialogue:
    """Return the dialogue of an event. ``settings`` only say how to answer.

    Raises:
        RequestInvalid: the event does not tell whom to answer.
    """
    if kind is CallerKind.CODEPIPELINE:
        from lockgate.awslambda.callers.codepipeline_dialogue import open_job  # noqa: PLC0415 - as said above

        return open_job(event, invocation)
    if kind is CallerKind.CODEDEPLOY:
        from lockgate.awslambda.callers.codedeploy import open_hook  # noqa: PLC0415 - as above

        return open_hook(event, invocation)
    from lockgate.awslambda.callers.cloudformation_dialogue import open_stack  # noqa: PLC0415 - as above

    return open_stack(event, invocation, loopback=settings.cfn_loopback)


def is_at_work(holder: HolderInfo, kind: CallerKind, reference: dict[str, str], now: float) -> bool:
    """Return whether a lock's holder works for the same event, in an invocation that still lives.

    It answers then, or Lambda repeats its event; a second answer meanwhile would be a wrong one. A
    lease within its margin is that of an invocation that has ended.
    """
    lives_until = holder.expires_at.timestamp() - LEASE_MARGIN_MS / 1_000
    is_same = reference.items() <= holder.reference.items()
    return holder.caller == kind and is_same and now < lives_until
