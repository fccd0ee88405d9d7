"""`history`: list the last runs. Reads no file and takes no lock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.core.events import RunsListed
from lockgate.core.run_record import SHOWN_RUNS
from lockgate.engine.decision import Ask, Conclude
from lockgate.engine.needs import Need
from lockgate.report.report import Status

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    from lockgate.core.events import Event
    from lockgate.core.policy import Policy
    from lockgate.core.request import Request
    from lockgate.engine.decision import Decision, Facts


def decide(
    facts: Facts, request: Request, _policy: Policy
) -> Generator[Ask | Event, Any, Decision]:
    """Conclude with as many runs as were asked for."""
    if facts.probe.has_history:
        limit = SHOWN_RUNS if request.limit is None else request.limit
        yield RunsListed((yield Ask(Need.RUNS, limit)))
    return Conclude(Status.UP_TO_DATE)
