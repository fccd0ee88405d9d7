"""pg8000's connection with its defects corrected, one method for each.

Only about the wire protocol: nothing here depends on tables or policies.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from lockgate.core.failure import ConnectionLost
from lockgate.fast_start.driver import DatabaseError, InterfaceError, core, legacy
from lockgate.postgres.server.statement_result import Result

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_COPY_DATA, _COPY_DONE, _COPY_FAIL = b"d", b"c", b"f"
_COPY_CHUNK = 1 << 16
_AUTHENTICATION_SASL = struct.pack("!i", 10)
_HEAD = struct.Struct("!ci")
# The length field itself, and the NUL after the text.
_QUERY_FRAME = 5

RECORD_COLUMN = "lockgate_record"
_RECORD_NAME = RECORD_COLUMN.encode() + b"\0"

TRANSACTION_ENDED = "the migration began or ended a transaction by itself"


# Millions of statements give millions of results, but of hardly two kinds.
@lru_cache(maxsize=1 << 8)
def _result_without_rows(tag: str) -> Result:
    return Result(tag, ())


def prepare_password(password: bytes) -> bytes:
    """Return a password as PostgreSQL prepares it: by SASLprep, or unchanged if SASLprep forbids it.

    ASCII is never changed; see `pg_saslprep` and `scram_build_secret` in PostgreSQL.
    """
    if password.isascii():
        return password
    try:
        prepared: str = core.scramp.utils.saslprep(password.decode())
    except (core.scramp.ScramException, UnicodeDecodeError):
        return password
    return prepared.encode() or password


class QueryMessage(core.Context):  # type: ignore[misc]
    """The state of one simple-query message while it is answered."""

    def __init__(self, statement: str, copies: Sequence[str], *, keeps_rows: bool = True) -> None:
        super().__init__(statement)
        self.keeps_all = self.keeps_rows = keeps_rows
        self.results: list[Result] = []
        self.copies = iter(copies)
        self.last_rows: list[list[Any]] | None = None


class FixedConnection(legacy.Connection):  # type: ignore[misc]
    """pg8000's connection as `Connection` and SQLAlchemy use it.

    While ``lent`` is set, a Python migration uses the connection and must not end the transaction.
    """

    password: bytes | None
    user: bytes
    lent: Callable[[str], None] | None = None
    on_notice: Callable[[dict[str, str]], None] | None = None

    def handle_AUTHENTICATION_REQUEST(self, data: bytes, context: core.Context) -> None:
        """Sign in by SCRAM, as libpq does, even with a password that SASLprep forbids."""
        if data[:4] != _AUTHENTICATION_SASL:
            super().handle_AUTHENTICATION_REQUEST(data, context)
            return
        password, user = self.password or b"", self.user
        # The server takes the user name from the startup message and ignores this one.
        self.password, self.user = b"-", b"-"
        try:
            super().handle_AUTHENTICATION_REQUEST(data, context)
        finally:
            self.password, self.user = password, user
        self.auth.password = prepare_password(password)

    def send_QUERY(self, sql: str) -> None:
        """Write a message without pg8000's five copies of the text, which matter if it is long."""
        encoded = sql.encode(self._client_encoding)
        try:
            self._sock.write(_HEAD.pack(core.QUERY, len(encoded) + _QUERY_FRAME))
            self._sock.write(encoded)
            self._sock.write(b"\0")
        except (AttributeError, ValueError) as error:
            raise InterfaceError("the connection is closed") from error

    def execute_simple(self, statement: str) -> core.Context:
        """Run a statement for SQLAlchemy the same way as a message of Lockgate."""
        message = QueryMessage(statement, ())
        self.send_QUERY(statement)
        self._sock.flush()
        self.handle_messages(message)
        message.rows = message.last_rows
        return message

    def handle_messages(self, context: core.Context) -> None:
        """Read until the server is ready. If it dies first, raise the reason that it gave."""
        try:
            self._read_answer(context)
        except TimeoutError:
            raise
        except (OSError, InterfaceError) as error:
            if isinstance(context.error, DatabaseError) and context.error is not error:
                fields = context.error.args[0]
                raise ConnectionLost(fields.get("M", ""), fields.get("C")) from error
            raise

    def _read_answer(self, context: core.Context) -> None:
        """Do what pg8000's loop does in half the time: one message may have a thousand answers."""
        read, handlers = self._sock.read, self.message_types
        code = b""
        while code != core.READY_FOR_QUERY:
            head = read(_HEAD.size)
            if len(head) < _HEAD.size:
                raise InterfaceError("network error")
            code, length = _HEAD.unpack(head)
            data = read(length - 4)
            if len(data) < length - 4:
                raise InterfaceError("network error")
            handlers[code](data, context)
        if context.error is not None:
            raise context.error

    def handle_ROW_DESCRIPTION(self, data: bytes, context: core.Context) -> None:
        """Note whether the rows that follow are records of Lockgate or selected by a script."""
        if isinstance(context, QueryMessage) and not context.keeps_all:
            context.keeps_rows = data[2:].startswith(_RECORD_NAME)
            if not context.keeps_rows:
                return
        super().handle_ROW_DESCRIPTION(data, context)

    def handle_DATA_ROW(self, data: bytes, context: core.Context) -> None:
        """Read a row only if it is needed: a value that cannot be parsed must not fail a migration."""
        if not isinstance(context, QueryMessage) or context.keeps_rows:
            super().handle_DATA_ROW(data, context)

    def handle_READY_FOR_QUERY(self, data: bytes, context: core.Context) -> None:
        """Raise an error if a Python migration has ended the transaction that it was lent."""
        super().handle_READY_FOR_QUERY(data, context)
        if self.lent is not None and data == core.IDLE and context.error is None:
            context.error = InterfaceError(TRANSACTION_ENDED)

    def handle_COMMAND_COMPLETE(self, data: bytes, context: core.Context) -> None:
        """Keep the tag of each statement, which shows how far a message came."""
        tag = data[:-1].decode("ascii")
        last = tag.rpartition(" ")[2]
        if last.isdigit():
            context.row_count = max(context.row_count, 0) + int(last)
        if isinstance(context, QueryMessage):
            if context.rows is None:
                context.results.append(_result_without_rows(tag))
            else:
                context.results.append(Result(tag, tuple(tuple(row) for row in context.rows)))
            context.last_rows, context.rows = context.rows, None
        if self.lent is not None and tag in {"COMMIT", "BEGIN", "PREPARE TRANSACTION"}:
            context.error = InterfaceError(TRANSACTION_ENDED)
        if tag == "ROLLBACK" and str(context.statement).strip().lower() == "commit":
            context.error = InterfaceError("the transaction had failed and was rolled back")

    def handle_NOTICE_RESPONSE(self, data: bytes, _context: core.Context) -> None:
        """Decode a notice and pass it on at once."""
        if self.on_notice is not None:
            fields = {
                part[:1].decode("ascii"): part[1:].decode(self._client_encoding, "replace")
                for part in data.split(b"\0")
                if part
            }
            self.on_notice(fields)

    def handle_COPY_IN_RESPONSE(self, data: bytes, context: core.Context) -> None:
        """Send the data of this COPY; without data, fail it and keep the protocol in step."""
        if context.stream is not None:
            super().handle_COPY_IN_RESPONSE(data, context)
            return
        text = next(context.copies, None) if isinstance(context, QueryMessage) else None
        if text is None:
            self._send_message(_COPY_FAIL, b"no data came with this COPY FROM STDIN\0")
        else:
            for start in range(0, len(text), _COPY_CHUNK):
                chunk = text[start : start + _COPY_CHUNK]
                self._send_message(_COPY_DATA, chunk.encode(self._client_encoding))
            self._send_message(_COPY_DONE, b"")
        if not isinstance(context, QueryMessage):
            # pg8000 sends such a statement by the extended protocol, which needs a Sync to recover.
            self._send_message(core.SYNC, b"")
        self._sock.flush()

    def handle_COPY_OUT_RESPONSE(self, data: bytes, context: core.Context) -> None:
        """Drop the data of a COPY TO STDOUT that nobody reads."""
        if context.stream is None:
            context.stream_write = _drop
        else:
            super().handle_COPY_OUT_RESPONSE(data, context)


def _drop(_data: bytes) -> None:
    return None
