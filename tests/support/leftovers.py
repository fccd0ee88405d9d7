"""What an invocation of the function may not leave behind: threads, sessions, a correlation id."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from tests.support.waiting import wait_until

from lockgate.awslambda import app

if TYPE_CHECKING:
    from tests.support.database import Database

# A test may replace it.
TIMER = threading.Timer


def list_sessions(database: Database) -> list[str]:
    """Return the queries of Lockgate's sessions on the server."""
    rows = database.run(
        "SELECT query FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name LIKE 'lockgate%'"
    )
    return [row[0] for row in rows]


def list_threads() -> set[threading.Thread]:
    """Return the function's living threads: timers and the watcher."""
    return {
        thread
        for thread in threading.enumerate()
        if isinstance(thread, TIMER) or thread.name.startswith("lockgate")
    }


def check_nothing_is_left(database: Database) -> None:
    """Wait until every thread and session has ended; fail if one does not."""
    wait_until(lambda: not list_threads(), "the end of every thread of the function")
    wait_until(lambda: not list_sessions(database), "the end of every session of the function")
    assert app.logger.get_correlation_id() is None
