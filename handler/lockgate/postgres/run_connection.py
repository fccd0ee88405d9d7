"""The connection of one run, which `Database` and `HeldLock` share."""

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
    from lockgate.core.events import Event
    from lockgate.core.history import History
    from lockgate.postgres.server.connection import Connection
    from lockgate.postgres.server.connector import Connector
    from lockgate.postgres.server.session_options import SessionOptions
    from lockgate.postgres.tables.table_names import Tables


class RunConnection:
    """The connection of one run, and what is known about its server."""

    def __init__(
        self,
        connector: Connector,
        tables: Tables,
        options: SessionOptions,
        clock: Clock,
        deadline: Deadline,
        run_id: str,
        add_event: Callable[[Event], object],
        tell: Callable[[str, str], None] | None = None,
    ) -> None:
        self.tables = tables
        self.options = options
        self.clock = clock
        self.deadline = deadline
        self.run_id = run_id
        self.add_event = add_event
        self.server_probe = ServerProbe(tables, options.set_role)
        self.notices = NoticeLog(add_event, tell)
        self.server_version = 0
        self.is_pooled = False
        # The history as it was read, while no other run can have changed it.
        self.history: History | None = None
        self._connector = connector
        self._connection: Connection | None = None

    @property
    def endpoint(self) -> Endpoint | None:
        """The server to which the run connected or tried to connect."""
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
            ConnectionLost: there is none.
        """
        if self._connection is None:
            raise ConnectionLost("not connected")
        return self._connection

    def open(self) -> Connection:
        """Connect unless there is an open connection, and return it."""
        if self._connection is None:
            self._connection = self._connector.connect(on_notice=self.notices.receive)
        return self._connection

    def open_observer(self) -> Connection:
        """Open a second connection, which observes the session of the first.

        Raises:
            OSError: the first is behind a pooler, so its process id is unknown.
        """
        if self.is_pooled:
            raise OSError("a pooler's process ids are not the server's")
        return self._connector.connect_observer()

    def drop(self) -> None:
        """Close the connection and forget the history: commits that were not synchronous may be lost."""
        self.history = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def own(self, *, writes: bool = False) -> OwnConnection:
        """Return the connection for one message with Lockgate's own statements."""
        return OwnConnection(self.connected, self.options.set_role, writes=writes)

    def own_of_run(self) -> OwnConnection:
        """Return the connection for the message that begins a run and sets up its session."""
        return OwnConnection(
            self.connected,
            self.options.set_role,
            writes=True,
            begins_run=None if self.is_borrowed else self.run_id,
            names_session=not self.is_pooled,
        )

    def lock(self) -> Lock:
        """Return the lock of this database, for this connection."""
        return Lock(self.own_of_run(), self.tables, self.clock)

    def end_former_session(self) -> None:
        """End the session that a broken connection of this run left behind, if it holds the lock.

        Raises:
            DatabaseBusy: the session did not end.
        """
        holder = read_holder(self.own(), self.tables)
        is_ours = holder is not None and holder.run_id == self.run_id
        if holder is None or not is_ours or holder.pid is None or not holder.is_alive:
            return
        if holder.is_known and not self.lock().end_session(holder):
            raise DatabaseBusy(
                f"The connection broke, and its session on the server (pid {holder.pid}) still runs and"
                " could not be ended.",
                hint=f"Run SELECT pg_terminate_backend({holder.pid}) as the role of that session, then"
                " invoke again.",
            )

    def may_wait_again(self) -> bool:
        """Return whether there is time for two more waits for a lock on our tables."""
        left_ms = self.deadline.remaining_ms()
        return left_ms is None or left_ms > 2 * OWN_LOCK_TIMEOUT_MS

    @contextmanager
    def refusals(self) -> Iterator[None]:
        """Translate an error of Lockgate's own statements."""
        try:
            yield
        except StatementError as error:
            raise self.server_probe.refusal(error) from error
