"""Settings for the session of a run on the server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from lockgate.core.policy import Pooler


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Timeouts for migrations that set none themselves. Milliseconds; ``None``: unlimited."""

    lock_timeout_ms: int
    statement_timeout_ms: int | None


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """Options of the session. ``set_role`` is the role that it acts as."""

    set_role: str | None
    pooler: Pooler
    timeouts: Timeouts
    alembic_plugins: tuple[str, ...] = ()
