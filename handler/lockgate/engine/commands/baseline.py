"""`baseline`: record migrations as applied, up to a version, without running them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.core.amendment import make_baseline
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
    """Decide what to record; see `decide_amendment`."""
    return (yield from decide_amendment(_make, facts, request))


def _make(facts: Facts, request: Request) -> Generator[Ask | Event, Any, Amendment]:
    assert request.target is not None
    yield from ()
    return make_baseline(facts.files, facts.history, request.target)
