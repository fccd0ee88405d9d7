"""Threads that watch a running statement: which sessions block it, and whether its time is over.

They only observe and cancel. The code that sent the statement decides what a cancellation means.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lockgate.core.failure import Blocker, ConnectionLost
from lockgate.core.server_events import IndexProgressed
from lockgate.core.sql.script import redact_literals
from lockgate.errors import LockgateError
from lockgate.postgres.server.dial import TlsRefused
from lockgate.postgres.server.own_session import OWN_PATH
from lockgate.postgres.server.statement_result import StatementError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lockgate.core.deadline import Clock, Deadline
    from lockgate.core.events import Event
    from lockgate.postgres.server.connection import Connection

_TICK_SECONDS = 0.1
_CANCEL_EVERY_SECONDS = 1.0
# If a cancel has no effect, the connection is cut when this share of the reserve is left.
_SEVER_AT_RESERVE_SHARE = 0.5
_QUERY_CHARACTERS = 200
_LONGEST_LOOK_SECONDS = 3.0
_LONGEST_CANCEL_SECONDS = 5.0

_BLOCKERS = """
SELECT a.pid, a.usename, a.application_name, a.state,
       extract(epoch FROM pg_catalog.clock_timestamp()
                          - coalesce(a.xact_start, a.query_start))::float8,
       a.query
FROM pg_catalog.unnest(pg_catalog.pg_blocking_pids({pid})) AS b (pid)
JOIN pg_catalog.pg_stat_activity AS a ON a.pid = b.pid
"""


_PROGRESS = """
SELECT p.phase,
       CASE WHEN p.blocks_total > 0 THEN p.blocks_done ELSE p.tuples_done END,
       CASE WHEN p.blocks_total > 0 THEN p.blocks_total ELSE p.tuples_total END
FROM pg_catalog.pg_stat_progress_create_index AS p WHERE p.pid = {pid}
"""


class Watch:
    """Watches one connection from `start` to `stop`, whenever it is inside `under_way`.

    There are two threads because observing needs a connection of its own and must not delay cancelling.
    """

    def __init__(
        self,
        deadline: Deadline,
        clock: Clock,
        open_observer: Callable[[], Connection],
        add_event: Callable[[Event], object],
        *,
        sample_after_ms: int,
    ) -> None:
        self._deadline = deadline
        self._clock = clock
        self._open_observer = open_observer
        self._add_event = add_event
        self._sample_after_by_default = self._sample_after = sample_after_ms / 1000
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(look,), name=f"lockgate-{name}", daemon=True)
            for name, look in (("deadline", self.enforce), ("observer", self.observe))
        ]
        self._active: Connection | None = None
        self._observer: Connection | None = None
        self._sampled = 0.0
        self._cancelled = 0.0
        self._canceller: threading.Thread | None = None
        self.has_cancelled = False
        self.blockers: tuple[Blocker, ...] = ()

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop the threads and close their connection. May be called again."""
        self._stopping.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(self._longest_wait_seconds(_LONGEST_LOOK_SECONDS))
        self._close_observer()

    @contextmanager
    def under_way(
        self, connection: Connection, sample_after_ms: int | None = None
    ) -> Iterator[None]:
        """Watch the connection while one segment runs, which may need looks at a shorter interval."""
        with self._lock:
            self._active, self._sample_after = connection, self._sample_after_by_default
            if sample_after_ms is not None:
                self._sample_after = min(self._sample_after, sample_after_ms / 1000)
            self._sampled, self.blockers = self._clock.monotonic(), ()
        try:
            yield
        finally:
            # Wait for a cancel in progress: it must not hit the next message. A stuck one is not sent.
            self._active = None
            if self._lock.acquire(timeout=self._longest_wait_seconds(_LONGEST_CANCEL_SECONDS)):
                self._lock.release()

    def _run(self, look: Callable[[Connection], None]) -> None:
        _leave_signals_to_main_thread()
        while not self._stopping.wait(_TICK_SECONDS):
            connection = self._active
            if connection is not None:
                look(connection)

    def enforce(self, connection: Connection) -> None:
        """Cancel the running statement when time is over; cut the connection if that has no effect."""
        if self._deadline.is_over:
            self._interrupt(connection, self._clock.monotonic())

    def _interrupt(self, connection: Connection, now: float) -> None:
        remaining = self._deadline.remaining_ms()
        if (
            remaining is not None
            and remaining < self._deadline.reserve_ms * _SEVER_AT_RESERVE_SHARE
        ):
            self.has_cancelled = True
            connection.sever()
        elif now - self._cancelled >= _CANCEL_EVERY_SECONDS:
            self._cancelled = now
            # Set before the request is sent: the statement may end before this thread continues.
            self.has_cancelled = True
            # In its own thread: on a silent network the request must not delay cutting the connection.
            if self._canceller is None or not self._canceller.is_alive():
                self._canceller = threading.Thread(
                    target=self._cancel, args=(connection,), name="lockgate-cancel", daemon=True
                )
                self._canceller.start()
            self._canceller.join(_TICK_SECONDS)

    def _cancel(self, connection: Connection) -> None:
        seconds = self._longest_wait_seconds(_LONGEST_CANCEL_SECONDS)
        with self._lock, contextlib.suppress(OSError, TlsRefused):
            if self._active is connection:
                connection.cancel(seconds, lambda: self._active is connection)

    def _longest_wait_seconds(self, most: float) -> float:
        return self._deadline.longest_wait_ms(most * 1000) / 1000

    def observe(self, connection: Connection) -> None:
        """Ask at intervals which sessions block the statement, and how far an index build is."""
        now = self._clock.monotonic()
        if self._deadline.is_over or now - self._sampled < self._sample_after:
            return
        self._sampled = now
        # A failure to observe must not fail the run.
        try:
            if self._observer is None:
                self._observer = self._open_observer()
            if self._stopping.is_set():
                # The watch was stopped while this thread connected.
                self._close_observer()
                return
            self._sample(connection, self._observer)
        except (LockgateError, StatementError, ConnectionLost, OSError):
            self._close_observer()

    def _close_observer(self) -> None:
        observer, self._observer = self._observer, None
        if observer is not None:
            observer.close()

    def _sample(self, connection: Connection, observer: Connection) -> None:
        looks = f"{_BLOCKERS};{_PROGRESS}".format(pid=connection.backend_pid)
        *_, blockers, progress = observer.send(f"SET LOCAL {OWN_PATH};{looks}")
        if blockers.rows:
            self.blockers = tuple(_to_blocker(row) for row in blockers.rows)
        for phase, done, total in progress.rows:
            percent = round(100 * done / total) if total else None
            self._add_event(IndexProgressed(str(phase), done, total, percent))


def _leave_signals_to_main_thread() -> None:
    """Block signals in this thread: one delivered here would not wake the main thread from a wait."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


def _to_blocker(row: tuple[object, ...]) -> Blocker:
    pid, user, application, state, age, query = row
    return Blocker(
        pid=int(str(pid)),
        user=None if user is None else str(user),
        application=str(application) if application else None,
        state=None if state is None else str(state),
        age_seconds=None if age is None else float(str(age)),
        query=redact_literals(str(query))[:_QUERY_CHARACTERS] if query else None,
    )
