"""A framework that answers CloudFormation itself, such as the CDK's Provider."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lockgate.awslambda.callers.cloudformation import (
    Envelope,
    read_continuation,
    read_envelope,
    read_request,
)
from lockgate.awslambda.callers.cloudformation_answer import returned_answer
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lockgate.core.request import Request
    from lockgate.report.report import Report
    from lockgate.settings import Settings


@dataclass(frozen=True, slots=True)
class FrameworkCaller:
    """One event of a stack, passed on by a framework."""

    envelope: Envelope
    must_end_at: float

    @property
    def needs_run(self) -> bool:
        """False for a Delete and for a check."""
        return self.envelope.needs_run

    def read_request(self, settings: Settings) -> Request:
        """Return the request of a Create or Update; see `cloudformation.read_request`."""
        return read_request(self.envelope, settings)

    def make_result(self, report: Report | None, run_id: str) -> dict[str, Any]:
        """Return the answer for the framework; see `cloudformation_answer.returned_answer`."""
        del run_id  # it is in the report
        return returned_answer(self.envelope, report)


def open_framework(event: Mapping[str, Any], now: float) -> FrameworkCaller:
    """Return the caller of an event that a framework passed on.

    Raises:
        RequestInvalid: the event lacks a field.
    """
    return FrameworkCaller(read_envelope(event), read_continuation(event, now).must_end_at)
