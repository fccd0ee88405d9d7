"""The connection of one run: opened when it is needed, dropped when it breaks.

`Database` and `HeldLock` share it. Knows the server and our tables; decides nothing about migrations.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from lockgate.core.failure import ConnectionLost
from lockgate.errors import DatabaseBusy
from lockgate.postgres.server.notices import NoticeLog
from lockgate.postgres.server.own_session import OWN_LOCK_TIMEOUT_MS, OwnConnection
from lockgate.postgres.server.statement_result import StatementError
from lockgate.postgres.tables.lock import Lock
from lockgate.postgres.tables.lock_table import read_holder
from lockgate.postgres.tables.server_probe import ServerProbe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lockgate.core.deadline import Clock, Deadline
    from lockgate.core.endpoint import Endpoint
    from lockgate.core.history import History
    from lockgate.postgres.server.connection import Connection
    from lockgate.postgres.server.connector import Connector
    from lockgate.postgres.server.session_options import SessionOptions
    from lockgate.postgres.tables.table_names import Tables

# Somebody looks at our tables, or edits them by hand; soon they are free again.
IN_THE_WAY = frozenset({"55P03", "40P01"})


class RunConnection:
    """One run's way to the server, and what the run knows about that server."""

    def __init__(
        self,
        connector: Connector,
        tables: Tables,
        options: SessionOptions,
        clock: Clock,
        deadline: Deadline,
        run_id: str,
        emit: Callable[..., None],
        tell: Callable[[str, str], None] | None = None,
    ) -> None:
        self.tables = tables
        self.options = options
        self.clock = clock
        self.deadline = deadline
        self.run_id = run_id
        self.emit = emit
        self.server_probe = ServerProbe(tables, options.set_role)
        self.notices = NoticeLog(emit, tell)
        self.server_version = 0
        self.is_pooled = False
        # The history as it was read, as long as nobody can have written to it since.
        self.history: History | None = None
        self._connector = connector
        self._connection: Connection | None = None

    @property
    def endpoint(self) -> Endpoint | None:
        """Where the run connected to, or tried to."""
        access = self._connector.access
        return None if access is None else access.endpoint

    @property
    def is_borrowed(self) -> bool:
        """Whether a pooler lends the session, for one transaction at a time."""
        return self.is_pooled and self.options.pooler == "lease"

    @property
    def connected(self) -> Connection:
        """The open connection.

        Raises:
            ConnectionLost: it was dropped.
        """
        if self._connection is None:
            raise ConnectionLost("not connected")
        return self._connection

    def open(self) -> Connection:
        """Connect, unless the connection is open already."""
        if self._connection is None:
            self._connection = self._connector.connect(on_notice=self.notices.receive)
        return self._connection

    def open_observer(self) -> Connection:
        """Connect a second session that looks at this one.

        Raises:
            OSError: there is a pooler in between.
        """
        if self.is_pooled:
            raise OSError("a pooler's process ids are not the server's")
        return self._connector.connect_observer()

    def drop(self) -> None:
        """Close the connection. A commit that was not synchronous may be lost with the server."""
        self.history = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def own(self, *, writes: bool = False) -> OwnConnection:
        """Return the connection for one message of our own."""
        return OwnConnection(self.connected, self.options.set_role, writes=writes)

    def own_of_run(self) -> OwnConnection:
        """Return the connection for what begins a run, whose session is set up unless it is borrowed."""
        return OwnConnection(
            self.connected,
            self.options.set_role,
            writes=True,
            begins_run=None if self.is_borrowed else self.run_id,
            names_session=not self.is_pooled,
        )

    def lock(self) -> Lock:
        """Return the lock's row, as this run's session takes it."""
        return Lock(self.own_of_run(), self.tables, self.clock)

    def end_former_session(self) -> None:
        """End the session that a broken connection of this run has left, if it holds the lock.

        Raises:
            DatabaseBusy: it would not end.
        """
        holder = read_holder(self.own(), self.tables)
        is_ours = holder is not None and holder.run_id == self.run_id
        if holder is None or not is_ours or holder.pid is None or not holder.is_alive:
            return
        if holder.is_known and not self.lock().end_session(holder):
            raise DatabaseBusy(
                f"The connection broke, and the session that it left (pid {holder.pid}) still works and"
                " would not end.",
                hint="End that session, then invoke again.",
            )

    def may_wait_again(self) -> bool:
        """Whether there is time to wait for somebody's lock on our tables, and once more after that."""
        left_ms = self.deadline.remaining_ms()
        return left_ms is None or left_ms > 2 * OWN_LOCK_TIMEOUT_MS

    @contextmanager
    def refusals(self) -> Iterator[None]:
        """Turn what the server refuses of our own statements into an error of ours."""
        try:
            yield
        except StatementError as error:
            raise self.server_probe.refusal(error) from error
