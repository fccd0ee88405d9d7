"""`adopt`: take over the history of another tool."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.core.amendment import make_adoption
from lockgate.engine.commands.amending import decide_amendment
from lockgate.engine.decision import Ask
from lockgate.engine.needs import Need

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    from lockgate.core.amendment import Amendment
    from lockgate.core.events import Event
    from lockgate.core.policy import Policy
    from lockgate.core.request import Request
    from lockgate.engine.decision import Decision, Facts


def decide(
    facts: Facts, request: Request, _policy: Policy
) -> Generator[Ask | Event, Any, Decision]:
    """Decide what to record; see `decide_amendment`."""
    return (yield from decide_amendment(_make, facts, request))


def _make(facts: Facts, _request: Request) -> Generator[Ask | Event, Any, Amendment]:
    tool, table, claims = yield Ask(Need.CLAIMS, facts.files)
    return make_adoption(facts.files, facts.history, tool, claims, table)
