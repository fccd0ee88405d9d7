"""One run as it was recorded: who asked for what, when, and how it ended. Knows no table."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from datetime import datetime

# How many runs are shown where nobody says how many.
SHOWN_RUNS = 20


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run that wanted to change something.

    ``status`` is a report's, ``running``, or ``abandoned`` for one whose lock was taken by another.
    ``reference`` is its caller's own: of CloudFormation, the stack and the request.
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
