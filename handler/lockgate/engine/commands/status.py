"""`status`: show what is applied and what is pending. It warns of what an `up` would refuse."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.core.events import ActionsRead, Advised, HolderSeen, Planned, Warned
from lockgate.engine.commands.forward import foresee_refusal, plan_forward, warn_of_files
from lockgate.engine.commands.undo_first import show_undo_first
from lockgate.engine.decision import Ask, Conclude
from lockgate.engine.needs import Need
from lockgate.errors import DriftDetected, RequestRefused
from lockgate.report.report import Status

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    from lockgate.core.events import Event
    from lockgate.core.policy import Policy
    from lockgate.core.request import Request
    from lockgate.engine.decision import Decision, Facts


def decide(facts: Facts, request: Request, policy: Policy) -> Generator[Ask | Event, Any, Decision]:
    """Conclude with what is applied and pending, who holds the lock, and what an `up` would do."""
    plan = yield from plan_forward(facts, policy)
    yield Planned(plan)
    yield warn_of_files(facts)
    yield HolderSeen((yield Ask(Need.HOLDER)) if facts.probe.has_history else None)
    if facts.history.rows:
        yield ActionsRead((yield Ask(Need.ACTIONS)))
    is_planned = plan.has_pending
    try:
        yield from foresee_refusal(facts, request, policy, plan)
        is_planned = yield from show_undo_first(facts, policy, plan)
    except (RequestRefused, DriftDetected) as refusal:
        yield Warned(f"An up would be refused: {refusal.message}")
        yield Advised(refusal.hint)
    return Conclude(Status.PLANNED if is_planned else Status.UP_TO_DATE)
