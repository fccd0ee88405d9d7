"""The key that an invocation adds to an event before it invokes the function again with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lockgate.core.continuation import Continuation

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEY = "LockgateContinuation"


def add_continuation(event: Mapping[str, Any], continuation: Continuation) -> dict[str, Any]:
    """Return the event for the next invocation, with the number of invocations in it."""
    return {**event, _KEY: {"hop": continuation.hop, "began_at": continuation.began_at}}


def find_continuation(
    event: Mapping[str, Any], now: float, timeout_seconds: int
) -> Continuation | None:
    """Return what `add_continuation` added; ``None`` for an event that arrives for the first time.

    An event may be forged, so a time in the future counts as now.
    """
    match event.get(_KEY):
        case {"hop": int(hop), "began_at": int() | float() as began_at} if (
            hop > 0 and not isinstance(hop, bool)
        ):
            first_at = float(began_at) if 0 <= began_at <= now else now
            return Continuation(hop, first_at, timeout_seconds)
        case _:
            return None
