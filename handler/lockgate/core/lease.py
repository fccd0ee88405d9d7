"""The terms of a lock and how long to wait for one. Knows no server and no clock."""

from __future__ import annotations

import json
from dataclasses import field
from enum import StrEnum
from typing import TYPE_CHECKING

from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from datetime import datetime

    from lockgate.core.request import Request

# A lease outlives its invocation by this much, so that a holder is never replaced while it still
# answers. A terminal has no deadline; its lease is long and a dead backend ends it anyway.
LEASE_MARGIN_MS = 30_000
TERMINAL_LEASE_MS = 12 * 3_600_000

_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 0.9
# All runs that wait for one lock ask so often together, at most.
_POLLS_PER_SECOND = 60


class LockFreed(Exception):
    """The lock was held and is free: what was planned may be done by now."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a run asks the lock for.

    ``is_pooled``: its session is a pooler's, and tells nothing about whether it lives.
    """

    run_id: str
    request: Request
    lease_ms: int
    package_version: str
    is_pooled: bool = False

    @property
    def reference_json(self) -> str:
        """The caller's own reference as JSON."""
        return json.dumps(self.request.caller.reference)


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds the lock, by the server's clock. ``at`` is the migration that it is in.

    ``pid`` and ``started`` name its session on the server.

    ``is_alive``: a session with its process id exists, as far as this role may see. ``is_known``:
    that session surely is the holder's. ``reference`` is its caller's own. ``runs`` is how many runs are
    connected to this database, the holder and those that wait included.
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
    """What a run may do about a lock that another one holds."""

    WAIT = "wait"
    TAKE = "take"
    TERMINATE = "terminate"


def decide_lock_action(holder: Holder) -> LockAction:
    """Return whether to wait for a holder, take its lock, or end its session and take it.

    Of a holder behind a pooler, which has no session of its own, only the lease counts.
    """
    if not holder.is_alive:
        return LockAction.TAKE
    if holder.remaining_seconds > 0:
        return LockAction.WAIT
    return LockAction.TERMINATE if holder.pid is not None and holder.is_known else LockAction.TAKE


def lease_for(remaining_ms: int | None) -> int:
    """Return the lease in milliseconds for an invocation that lives ``remaining_ms`` more."""
    return TERMINAL_LEASE_MS if remaining_ms is None else remaining_ms + LEASE_MARGIN_MS


def poll_pause(attempt: int, jitter: float, runs: int = 1) -> float:
    """Return the seconds to pause before poll ``attempt`` (from 0) of one of so many ``runs``.

    ``jitter`` is from 0 to 1. The lock is found free within a second, by whichever run asks first.
    """
    pause = min(_FIRST_PAUSE_SECONDS * 1.5 ** min(attempt, 20), _LONGEST_PAUSE_SECONDS)
    return max(pause, runs / _POLLS_PER_SECOND) * (0.75 + jitter / 4)
