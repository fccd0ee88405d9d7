"""What an invocation adds to an event that it hands to itself. Knows that key; no caller's event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lockgate.core.continuation import Continuation

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEY = "LockgateContinuation"


def add_continuation(event: Mapping[str, Any], continuation: Continuation) -> dict[str, Any]:
    """Return the same event for the next invocation."""
    return {**event, _KEY: {"hop": continuation.hop, "began_at": continuation.began_at}}


def find_continuation(
    event: Mapping[str, Any], now: float, timeout_seconds: int
) -> Continuation | None:
    """Return what `add_continuation` has added, ``None`` if an event comes for the first time.

    An event may be forged: no time in it is taken for one that is still to come.
    """
    match event.get(_KEY):
        case {"hop": int(hop), "began_at": int() | float() as began_at} if (
            hop > 0 and not isinstance(hop, bool)
        ):
            first_at = float(began_at) if 0 <= began_at <= now else now
            return Continuation(hop, first_at, timeout_seconds)
        case _:
            return None
