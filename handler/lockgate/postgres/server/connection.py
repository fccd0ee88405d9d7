"""One connection to the server, and one call that sends a whole message.

Leaves the server's errors untranslated, except that a broken connection
is always `ConnectionLost`.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from dataclasses import replace
from typing import TYPE_CHECKING

from lockgate.core.failure import ConnectionLost
from lockgate.fast_start.driver import DatabaseError, InterfaceError
from lockgate.postgres.server.dial import Dial, open_socket
from lockgate.postgres.server.driver_fixes import FixedConnection, QueryMessage
from lockgate.postgres.server.statement_result import Result, StatementError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_CANCEL_REQUEST_CODE = 80877102


class ProtocolBroken(Exception):
    """The other side does not speak the PostgreSQL protocol, or only part of it."""


# Errors that the driver or this module raises. Any other means an answer that the driver cannot parse.
_OF_THE_DRIVER = (OSError, InterfaceError, DatabaseError, ConnectionLost)


class Connection(FixedConnection):
    """A connection with `send` for whole messages; SQLAlchemy can use it as well.

    While it is lent to a Python migration, `commit` and `rollback` call ``lent``, which refuses them.
    """

    def __init__(
        self,
        dial: Dial,
        *,
        user: str,
        password: str | None,
        database: str,
        application_name: str | None = None,
        on_notice: Callable[[dict[str, str]], None] | None = None,
        answer_seconds: Callable[[], float] | None = None,
    ) -> None:
        self.dial = dial
        self._answer_seconds = answer_seconds
        self.on_notice = on_notice
        sock = open_socket(dial)
        try:
            self.peer = sock.getpeername()
            super().__init__(
                user,
                password=password,
                database=database,
                application_name=application_name,
                # Scripts are UTF-8, whatever the encoding of the database. The server must read strings
                # as Lockgate's lexer does, whatever the role's settings.
                startup_params={"client_encoding": "UTF8", "standard_conforming_strings": "on"},
                sock=sock,
                ssl_context=False,
            )
            # The connect timeout must not become the read timeout of a long statement.
            sock.settimeout(None)
        except BaseException as error:
            with contextlib.suppress(OSError):
                sock.close()
            _raise_clearer(error)
            raise

    @property
    def backend_pid(self) -> int:
        """The process id that the server, or a pooler, reported at the start."""
        return int(struct.unpack("!i", self._backend_key_data[:4])[0])

    @property
    def is_open(self) -> bool:
        """Whether this side has not closed the socket."""
        return self._usock is not None

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction block is open, even a failed one."""
        return bool(self._in_transaction)

    def send(
        self,
        sql: str,
        copies: Sequence[str] = (),
        *,
        is_watched: bool = False,
        keeps_rows: bool = True,
        meanwhile: Callable[[], object] | None = None,
    ) -> list[Result]:
        """Send one simple-query message verbatim and return a result per statement.

        ``copies`` holds the data of each ``COPY … FROM STDIN`` in the message, in order. Unless the
        message is watched, it must be answered within ``answer_seconds``; otherwise a silent network
        would block for ever. Without ``keeps_rows``, only rows whose first column is named
        `RECORD_COLUMN` are read; rows that a script selects are dropped. ``meanwhile`` is called while
        the server works; its exceptions are raised.

        Raises:
            StatementError: the server refused a statement. A transaction block that the message opened
                has failed and is still open.
            ConnectionLost: the connection broke; the outcome is unknown.
        """
        if self._sock is None:
            raise ConnectionLost("the connection is closed")
        message = QueryMessage(sql, copies, keeps_rows=keeps_rows)
        with self._within_limit(message, is_watched=is_watched):
            self.send_QUERY(sql)
            self._sock.flush()
        if meanwhile is not None:
            try:
                meanwhile()
            except Exception:
                # Read the answer, so that it is not taken for that of the next message.
                with contextlib.suppress(StatementError, ConnectionLost):
                    self._receive(message, is_watched=is_watched)
                raise
            except BaseException:
                self.sever()
                raise
        self._receive(message, is_watched=is_watched)
        return message.results

    def _receive(self, message: QueryMessage, *, is_watched: bool) -> None:
        with self._within_limit(message, is_watched=is_watched):
            try:
                self.handle_messages(message)
            except _OF_THE_DRIVER:
                raise
            except Exception as error:
                # The driver parses messages without checking them, so a malformed one raises anything.
                self.sever()
                raise InterfaceError("the answer is not a PostgreSQL message") from error
            self._usock.settimeout(None)

    @contextlib.contextmanager
    def _within_limit(self, message: QueryMessage, *, is_watched: bool) -> Iterator[None]:
        """Limit the wait for an answer, and translate driver errors into those of `send`."""
        limit = None if is_watched or self._answer_seconds is None else self._answer_seconds()
        try:
            self._usock.settimeout(limit)
            yield
        except DatabaseError as error:
            self._usock.settimeout(None)
            fields = self._with_characters(error.args[0], message.statement)
            raise StatementError(fields, message.results) from None
        except (OSError, InterfaceError) as error:
            # An OS-level timeout has an errno; the one set here has none.
            if limit is not None and isinstance(error, TimeoutError) and error.errno is None:
                self.sever()
                raise ConnectionLost(f"the server did not answer within {limit:.3g} s") from error
            raise ConnectionLost("the connection to the server broke") from error

    def _with_characters(self, fields: dict[str, str], sql: str) -> dict[str, str]:
        """Return an error's fields with the position in characters.

        A server whose encoding is SQL_ASCII counts bytes instead.
        """
        if "P" not in fields or self.parameter_statuses.get("server_encoding") != "SQL_ASCII":
            return fields
        before = sql.encode(self._client_encoding)[: int(fields["P"]) - 1]
        return {**fields, "P": str(len(before.decode(self._client_encoding, "ignore")) + 1)}

    def cancel(self, seconds: float, is_wanted: Callable[[], bool]) -> None:
        """Ask the server, over a second socket, to cancel the statement on this connection.

        May be called from another thread. ``is_wanted`` is asked again when the socket is open; each
        step of opening it takes at most ``seconds``. The server does not answer: only this connection
        shows whether the statement was cancelled.
        """
        with open_socket(replace(self.dial, connect_timeout=seconds), self.peer) as sock:
            if not is_wanted():
                return
            sock.sendall(struct.pack("!ii", 16, _CANCEL_REQUEST_CODE) + self._backend_key_data)
            with contextlib.suppress(OSError):
                sock.recv(1)

    def sever(self) -> None:
        """Shut the socket down, which ends any wait on it. May be called from another thread."""
        if self._usock is not None:
            with contextlib.suppress(OSError):
                self._usock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close, telling the server if it still listens. Never raises; may be called again."""
        if self._usock is None:
            return
        stream = self._sock
        with contextlib.suppress(OSError, InterfaceError, ValueError):
            self._usock.settimeout(2)
            super().close()
        # pg8000 leaves the stream open, and with it the socket until the next garbage collection.
        with contextlib.suppress(OSError, ValueError):
            stream.close()

    def commit(self) -> None:
        """Commit, unless the connection is lent to a Python migration."""
        if self.lent is not None:
            self.lent("commit")
        elif self.in_transaction:
            # Outside a transaction the server would warn.
            super().commit()

    def rollback(self) -> None:
        """Roll back, unless the connection is lent to a Python migration."""
        if self.lent is not None:
            self.lent("rollback")
        elif self.in_transaction:
            super().rollback()


def _raise_clearer(error: BaseException) -> None:
    """Raise what an error of the driver means, if the error itself does not say it."""
    # pg8000 raises DatabaseError for every server error except 28000.
    if isinstance(error, InterfaceError) and error.args and isinstance(error.args[0], dict):
        raise DatabaseError(error.args[0]) from None
    if isinstance(error, Exception) and not isinstance(error, _OF_THE_DRIVER):
        raise ProtocolBroken from error
