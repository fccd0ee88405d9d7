"""The commands: one module each, which decides by facts and reads and changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.core.request import Action
from lockgate.engine.commands import (
    adopt,
    baseline,
    down,
    history,
    plan,
    repair,
    status,
    unlock,
    up,
    validate,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Any

    from lockgate.core.events import Event
    from lockgate.core.policy import Policy
    from lockgate.core.request import Request
    from lockgate.engine.decision import Ask, Decision, Facts

    Decide = Callable[[Facts, Request, Policy], Generator[Ask | Event, Any, Decision]]

COMMANDS: dict[Action, Decide] = {
    Action.UP: up.decide,
    Action.PLAN: plan.decide,
    Action.STATUS: status.decide,
    Action.VALIDATE: validate.decide,
    Action.HISTORY: history.decide,
    Action.DOWN: down.decide,
    Action.BASELINE: baseline.decide,
    Action.ADOPT: adopt.decide,
    Action.REPAIR: repair.decide,
    Action.UNLOCK: unlock.decide,
}
