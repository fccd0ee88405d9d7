"""`plan`: show what an `up`, or a `down`, would do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.engine.commands.down import show_down
from lockgate.engine.commands.forward import check_forward, warn_of_ahead
from lockgate.engine.commands.undo_first import show_undo_first
from lockgate.engine.decision import Conclude
from lockgate.report.report import Status

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    from lockgate.core.events import Event
    from lockgate.core.policy import Policy
    from lockgate.core.request import Request
    from lockgate.engine.decision import Ask, Decision, Facts


def decide(facts: Facts, request: Request, policy: Policy) -> Generator[Ask | Event, Any, Decision]:
    """Refuse what would be refused, and conclude with what would be done."""
    if request.is_down:
        return (yield from show_down(facts, request, policy))
    if facts.is_settled:
        return Conclude(Status.UP_TO_DATE)
    plan = yield from check_forward(facts, request, policy)
    yield from warn_of_ahead(facts, policy, plan)
    is_planned = yield from show_undo_first(facts, policy, plan)
    return Conclude(Status.PLANNED if is_planned else Status.UP_TO_DATE)
