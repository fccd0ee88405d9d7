"""Callers that read the function's return value: what all of them have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from lockgate.core.request import Request
    from lockgate.report.report import Report
    from lockgate.settings import Settings


class ReturningCaller(Protocol):
    """One event of a caller that reads what the function returns or raises."""

    @property
    def must_end_at(self) -> float | None:
        """When the caller stops waiting, in epoch seconds; ``None``: at the function's timeout."""
        ...

    @property
    def needs_run(self) -> bool:
        """Whether the event asks for a run."""
        ...

    def read_request(self, settings: Settings) -> Request:
        """Return the request, or raise `RequestInvalid`."""
        ...

    def make_result(self, report: Report | None, run_id: str) -> dict[str, Any]:
        """Return what the function returns; the report is ``None`` if the event needs no run.

        Raises:
            LockgateError: the run did not succeed.
        """
        ...
