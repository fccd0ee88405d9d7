"""`repair`: accept, forget or mark one migration in the history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.core.amendment import make_repair
from lockgate.engine.commands.amending import decide_amendment

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    from lockgate.core.amendment import Amendment
    from lockgate.core.events import Event
    from lockgate.core.policy import Policy
    from lockgate.core.request import Request
    from lockgate.engine.decision import Ask, Decision, Facts


def decide(
    facts: Facts, request: Request, _policy: Policy
) -> Generator[Ask | Event, Any, Decision]:
    """Decide what to change; see `decide_amendment`."""
    return (yield from decide_amendment(_make, facts, request))


def _make(facts: Facts, request: Request) -> Generator[Ask | Event, Any, Amendment]:
    assert request.repair is not None
    assert request.version is not None
    yield from ()
    return make_repair(facts.files, facts.history, request.repair, request.version)
