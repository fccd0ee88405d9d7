"""Wait for other threads, processes or sessions by observing them, not by sleeping.

A test that sleeps until something "must have happened" fails on a slow machine. These functions poll for
the effect, and fail with a message only after more time than any machine needs.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.database import Database

T = TypeVar("T")

LONGEST_SECONDS = 120.0
_POLL_SECONDS = 0.02

_GATE_KEY = 4711
_IS_AT_GATE = """
SELECT FROM pg_locks
WHERE locktype = 'advisory' AND objid = :key AND NOT granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


def wait_until(is_so: Callable[[], object], what: str) -> None:
    """Wait until a condition is true; fail with ``what`` if it stays false."""
    ends_at = time.monotonic() + LONGEST_SECONDS
    while not is_so():
        assert time.monotonic() < ends_at, f"waited {LONGEST_SECONDS:.0f} s in vain: {what}"
        time.sleep(_POLL_SECONDS)


@dataclass(frozen=True, slots=True)
class Background:
    """A call in progress in its own thread."""

    _future: Future[Any]

    @classmethod
    def start(cls, call: Callable[[], Any]) -> Self:
        """Begin the call."""
        future: Future[Any] = Future()

        def run() -> None:
            try:
                future.set_result(call())
            except BaseException as error:  # noqa: BLE001 - raised again by result()
                future.set_exception(error)

        threading.Thread(target=run, daemon=True).start()
        return cls(future)

    @property
    def is_over(self) -> bool:
        """Whether the call has ended."""
        return self._future.done()

    def result(self) -> Any:
        """Wait for the end; return what the call returned, or raise what it raised."""
        return self._future.result(LONGEST_SECONDS)


class Gate:
    """A point in a migration at which it waits in the server until the test lets it continue.

    ``SQL`` is the beginning of such a migration.
    """

    SQL = f"-- migrate:up lock_timeout:10min\nSELECT pg_advisory_xact_lock({_GATE_KEY});\n"

    def __init__(self, database: Database) -> None:
        self._database = database
        self._keeper = database.connect()
        self._keeper.run("SELECT pg_advisory_lock(:key)", key=_GATE_KEY)

    def wait(self) -> None:
        """Wait until a migration is at the gate."""
        wait_until(self._is_waited_at, "a migration at the gate")

    def open(self) -> None:
        """Let the migration continue, and let later ones pass."""
        self._keeper.run("SELECT pg_advisory_unlock(:key)", key=_GATE_KEY)

    def _is_waited_at(self) -> bool:
        return bool(self._database.run(_IS_AT_GATE, key=_GATE_KEY))


def is_asleep(database: Database) -> bool:
    """Return whether a session is in pg_sleep."""
    found = database.run(
        "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
    )
    return bool(found)


def hang_up(database: Database, connection: Any) -> None:
    """Close a connection and wait until its session has left the server."""
    pid = connection.run("SELECT pg_backend_pid()")[0][0]
    connection.close()
    wait_until(
        lambda: not database.run("SELECT FROM pg_stat_activity WHERE pid = :pid", pid=pid),
        "the end of a session that hung up",
    )
