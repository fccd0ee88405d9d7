"""The record of a run: who requested what, when, and how it ended."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from datetime import datetime

# Default number of runs to show.
SHOWN_RUNS = 20


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run that was to change something.

    ``status`` is that of a report, ``running``, or ``abandoned`` if another run took its lock.
    ``reference`` is that of its caller: for CloudFormation, the stack and the request.
    """

    run_id: str
    action: str
    status: str
    started_at: datetime
    finished_at: datetime | None
    caller: str
    reference: dict[str, str] = field(default_factory=dict)
    requested_by: str | None = None
    reason: str | None = None
    from_version: str | None = None
    to_version: str | None = None
    package_version: str | None = None
    error_code: str | None = None
