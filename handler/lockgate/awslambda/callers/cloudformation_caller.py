"""CloudFormation as a caller: one PUT to the signed URL, by the last invocation of a run."""

from __future__ import annotations

from dataclasses import field
from functools import partial
from typing import TYPE_CHECKING, Any

from lockgate.awslambda.callers.awaiting import Invocation, is_at_work
from lockgate.awslambda.callers.cloudformation import (
    Envelope,
    read_continuation,
    read_envelope,
    read_request,
)
from lockgate.awslambda.callers.cloudformation_answer import encode_answer, make_answer
from lockgate.awslambda.callers.delivery import Answer
from lockgate.awslambda.callers.detect import CallerKind
from lockgate.awslambda.callers.event_continuation import add_continuation
from lockgate.awslambda.callers.response_url import check_response_url, put_answer
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lockgate.awslambda.callers.awaiting import Outcome
    from lockgate.core.continuation import Continuation
    from lockgate.core.request import Request
    from lockgate.report.report import HolderInfo, Report
    from lockgate.settings import Settings


@dataclass(frozen=True, slots=True)
class CloudFormationCaller:
    """One event of a stack, whose URL was checked. The URL is a secret."""

    envelope: Envelope
    continuation: Continuation
    invocation: Invocation
    event: Mapping[str, Any] = field(repr=False)
    url: str = field(repr=False)
    loopback: bool = False

    @property
    def kind(self) -> CallerKind:
        """CloudFormation."""
        return CallerKind.CLOUDFORMATION

    @property
    def needs_run(self) -> bool:
        """Whether the event asks for a run. A Delete and a check only need an answer."""
        return self.envelope.needs_run

    def read_request(self, settings: Settings) -> Request:
        """Return the request of a Create or Update; see `cloudformation.read_request`."""
        return read_request(self.envelope, settings, hop=self.continuation.hop)

    def make_answer(self, outcome: Outcome) -> Answer:
        """Return the answer; see `cloudformation_answer.make_answer`."""
        answer = make_answer(self.envelope, outcome)
        body, timing = encode_answer(answer), self.invocation.timing
        deliver = partial(put_answer, self.url, body, timing, loopback=self.loopback)
        return Answer(answer["Status"], deliver)

    def is_same_event(self, holder: HolderInfo) -> bool:
        """Return whether the holder is a run for the same event; see `is_at_work`."""
        return is_at_work(holder, self.kind, self.envelope.reference, self.invocation.now())

    def continue_run(self, report: Report) -> None:
        """Invoke this function again with the event."""
        del report  # the next invocation reads from the history what is done
        self.invocation.invoke_again(add_continuation(self.event, self.continuation.next()))


def open_stack(
    event: Mapping[str, Any], invocation: Invocation, *, loopback: bool
) -> CloudFormationCaller:
    """Return the caller of an event that came from CloudFormation itself.

    Raises:
        RequestInvalid: the event lacks a field that an answer needs, or its URL is not CloudFormation's.
    """
    envelope = read_envelope(event)
    return CloudFormationCaller(
        envelope=envelope,
        continuation=read_continuation(event, invocation.now()),
        invocation=invocation,
        event=event,
        url=check_response_url(envelope.response_url, loopback=loopback),
        loopback=loopback,
    )
