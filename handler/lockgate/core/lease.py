"""The migration lock: lease, holder, what to do about a held lock, and how often to ask again."""

from __future__ import annotations

import json
from dataclasses import field
from enum import StrEnum
from typing import TYPE_CHECKING

from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from datetime import datetime

    from lockgate.core.request import Request

# A lease outlives its invocation by this much, so that a holder is never replaced while it is still
# answering. A terminal has no deadline; its lease is long, and the end of its session frees the lock.
LEASE_MARGIN_MS = 30_000
TERMINAL_LEASE_MS = 12 * 3_600_000

_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 0.9
# All runs that wait for one lock together ask at most this often.
_POLLS_PER_SECOND = 60


@dataclass(frozen=True, slots=True)
class Terms:
    """What a run requests when it takes the lock.

    ``is_pooled``: its session belongs to a pooler, and does not show whether the run is alive.
    """

    run_id: str
    request: Request
    lease_ms: int
    package_version: str
    is_pooled: bool = False

    @property
    def reference_json(self) -> str:
        """The caller's reference as JSON."""
        return json.dumps(self.request.caller.reference)


@dataclass(frozen=True, slots=True)
class Holder:
    """The run that holds the lock; times are by the server's clock. ``at`` is its current migration.

    ``pid`` and ``started`` identify its session on the server. ``is_alive``: a session with that process
    id exists, as far as this role can see. ``is_known``: that session certainly is the holder's.
    ``reference`` is that of its caller. ``runs`` counts the runs connected to this database, the holder
    and the waiting ones included.
    """

    run_id: str
    caller: str
    token: int
    pid: int | None
    started: str | None
    taken_at: datetime
    expires_at: datetime
    remaining_seconds: float
    is_alive: bool
    is_known: bool
    at: str | None = None
    reference: dict[str, str] = field(default_factory=dict)
    runs: int = 1


class LockAction(StrEnum):
    """What to do about a lock that another run holds."""

    WAIT = "wait"
    TAKE = "take"
    TERMINATE = "terminate"


def decide_lock_action(holder: Holder) -> LockAction:
    """Return whether to wait for a holder, take its lock, or end its session and take it.

    A holder that connects through a pooler has no own session, so only its lease counts.
    """
    if not holder.is_alive:
        return LockAction.TAKE
    if holder.remaining_seconds > 0:
        return LockAction.WAIT
    return LockAction.TERMINATE if holder.pid is not None and holder.is_known else LockAction.TAKE


def lease_for(remaining_ms: int | None) -> int:
    """Return the lease in milliseconds for an invocation that has ``remaining_ms`` left."""
    return TERMINAL_LEASE_MS if remaining_ms is None else remaining_ms + LEASE_MARGIN_MS


def poll_pause(attempt: int, jitter: float, runs: int = 1) -> float:
    """Return the seconds to pause before poll ``attempt`` (from 0) of one of ``runs`` waiting runs.

    ``jitter`` is from 0 to 1. A free lock is noticed within a second, by the first run that asks.
    """
    pause = min(_FIRST_PAUSE_SECONDS * 1.5 ** min(attempt, 20), _LONGEST_PAUSE_SECONDS)
    return max(pause, runs / _POLLS_PER_SECOND) * (0.75 + jitter / 4)
