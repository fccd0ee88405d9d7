"""`unlock`: free the lock of another run. Touches no migration and reads no file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.engine.decision import BreakLock, Conclude
from lockgate.report.report import Status

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    from lockgate.core.events import Event
    from lockgate.core.policy import Policy
    from lockgate.core.request import Request
    from lockgate.engine.decision import Ask, Decision, Facts


def decide(
    facts: Facts, _request: Request, _policy: Policy
) -> Generator[Ask | Event, Any, Decision]:
    """Break the lock if there is one."""
    yield from ()
    return BreakLock() if facts.probe.has_history else Conclude(Status.UP_TO_DATE)
