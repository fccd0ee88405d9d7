"""`status`: show where the database stands. Refuses nothing that an `up` would refuse."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.core.events import ActionsRead, Advised, HolderSeen, Planned, Warned
from lockgate.engine.commands.forward import (
    foresee_first_contact,
    plan_forward,
    status_of_plan,
    warn_of_files,
)
from lockgate.engine.decision import Ask, Conclude
from lockgate.engine.needs import Need

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    from lockgate.core.events import Event
    from lockgate.core.request import Request
    from lockgate.engine.decision import Decision, Facts, RunPolicy


def decide(
    facts: Facts, request: Request, policy: RunPolicy
) -> Generator[Ask | Event, Any, Decision]:
    """Conclude with what is applied and pending, who holds the lock, and what an `up` would say."""
    plan = yield from plan_forward(facts, policy.planning)
    yield Planned(plan)
    yield warn_of_files(facts)
    yield HolderSeen((yield Ask(Need.HOLDER)) if facts.probe.has_history else None)
    if facts.history.rows:
        yield ActionsRead((yield Ask(Need.ACTIONS)))
    refusal = yield from foresee_first_contact(facts, request, policy, plan)
    if refusal is not None:
        yield Warned(f"An up would be refused: {refusal.message}")
        yield Advised(refusal.hint)
    return Conclude(status_of_plan(plan))
