"""One connection: pg8000's, with its defects mended and one call that sends a whole message.

Knows the wire protocol. Knows no tables and no policy; driver errors leave it untranslated, except
that a broken connection is always `ConnectionLost`.
"""

from __future__ import annotations

import contextlib
import re
import socket
import struct
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from lockgate.core.failure import ConnectionLost
from lockgate.core.target import is_socket
from lockgate.fast_start.dataclass import dataclass
from lockgate.fast_start.driver import DatabaseError, InterfaceError, core, legacy

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Sequence

_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
_CANCEL_REQUEST_CODE = 80877102
_COPY_DATA, _COPY_DONE, _COPY_FAIL = b"d", b"c", b"f"
_COPY_CHUNK = 1 << 16
_AUTHENTICATION_SASL = struct.pack("!i", 10)
_HEAD = struct.Struct("!ci")
# The length itself, and the NUL behind the text.
_QUERY_FRAME = 5

RECORD_COLUMN = "lockgate_record"
_RECORD_NAME = RECORD_COLUMN.encode() + b"\0"

TRANSACTION_ENDED = "the migration began or ended a transaction by itself"


class TlsRefused(Exception):
    """The server does not speak TLS."""


@dataclass(frozen=True, slots=True)
class Result:
    """What one statement gave: its command tag and its rows, if it returns any."""

    tag: str
    rows: tuple[tuple[Any, ...], ...]


# A message of millions of statements has as many results, and hardly two kinds of them.
@lru_cache(maxsize=1 << 8)
def _result_without_rows(tag: str) -> Result:
    return Result(tag, ())


# Waiting has a context too, the row that was waited for; its message says nothing of it.
_WAITED = frozenset({"55P03", "40P01", "57014"})
OWN_BLOCK = "inline_code_block"


class StatementError(Exception):
    """The server refused a statement of a message.

    ``fields`` are the error's own (protocol manual, section 54.8): ``C`` SQLSTATE, ``M`` message,
    ``P`` position in characters from 1, ``H`` hint. ``results`` are those of the statements of the
    message that had finished. As text it is fit to be shown where the statement was ours: what a
    trigger said, which may quote rows, is left out.
    """

    def __init__(self, fields: dict[str, str], results: list[Result]) -> None:
        said = fields.get("M", "unknown error")
        super().__init__(_WORDLESS if _is_of_function(fields) else said)
        self.fields = fields
        self.results = results

    @property
    def sqlstate(self) -> str:
        """The five characters of the error's class."""
        return self.fields.get("C", "XX000")

    @property
    def position(self) -> int | None:
        """Where in the message, in characters from 0."""
        raw = self.fields.get("P")
        return None if raw is None else int(raw) - 1

    @property
    def untranslatable(self) -> str | None:
        """The character that the database's encoding lacks, if that is what was refused.

        The server translates a message whole, before it reads any of it, and gives no position.
        """
        found = _BYTES.search(self.fields.get("M", "")) if self.sqlstate == "22P05" else None
        return None if found is None else bytes.fromhex(found[0].replace("0x", "")).decode()


_BYTES = re.compile("0x[0-9a-f]{2}(?: 0x[0-9a-f]{2})*")
_WORDLESS = "a trigger or another function raised an error, whose words are left out"


def _is_of_function(fields: dict[str, str]) -> bool:
    """Tell whether the error came out of a function, which is no statement's of ours but one block's."""
    context = fields.get("W", "").splitlines()
    if not context or fields.get("C") in _WAITED:
        return False
    return len(context) > 1 or OWN_BLOCK not in context[0]


def prepare_password(password: bytes) -> bytes:
    """Return what PostgreSQL makes of a password: SASLprep, or its bytes where that forbids it.

    See `pg_saslprep` and `scram_build_secret` of PostgreSQL: ASCII is taken as it is.
    """
    if password.isascii():
        return password
    try:
        prepared: str = core.scramp.utils.saslprep(password.decode())
    except (core.scramp.ScramException, UnicodeDecodeError):
        return password
    return prepared.encode() or password


class _Message(core.Context):  # type: ignore[misc]
    """The state of one simple-query message under way."""

    def __init__(self, statement: str, copies: Sequence[str], *, keeps_rows: bool = True) -> None:
        super().__init__(statement)
        self.keeps_all = self.keeps_rows = keeps_rows
        self.results: list[Result] = []
        self.copies = iter(copies)
        self.last_rows: list[list[Any]] | None = None


@dataclass(frozen=True, slots=True)
class Dial:
    """How to open a socket. Times in seconds; ``tls`` is ``None`` for a plain one."""

    host: str
    port: int
    connect_timeout: float
    tls: ssl.SSLContext | None


def open_socket(dial: Dial, peer: Any = None) -> socket.socket:
    """Return a connected socket with a connect timeout still set on it.

    ``peer`` is the address of the very server that is meant, if one was found before.

    Raises:
        TlsRefused: the server answered that it has no TLS.
        OSError: no connection; ``ssl.SSLCertVerificationError`` for a certificate that is not
            trusted.
    """
    if is_socket(dial.host):
        return _open_local(dial)
    address = (dial.host, dial.port) if peer is None else peer[:2]
    try:
        sock = socket.create_connection(address, dial.connect_timeout)
    except UnicodeError as error:
        # Of a name that no name server can have, Python's own encoding of names says so.
        raise socket.gaierror(socket.EAI_NONAME, "the host name is not valid") from error
    try:
        _set_options(sock)
        return sock if dial.tls is None else _start_tls(sock, dial.tls, dial.host)
    except BaseException:
        sock.close()
        raise


def _open_local(dial: Dial) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.settimeout(dial.connect_timeout)
        sock.connect(f"{dial.host}/.s.PGSQL.{dial.port}")
    except BaseException:
        sock.close()
        raise
    return sock


def _start_tls(sock: socket.socket, context: ssl.SSLContext, host: str) -> socket.socket:
    sock.sendall(_SSL_REQUEST)
    answer = sock.recv(1)
    if answer == b"":
        raise ConnectionResetError("closed by the server")
    if answer != b"S":
        raise TlsRefused
    return context.wrap_socket(sock, server_hostname=host)


def _set_options(sock: socket.socket) -> None:
    # Without TCP_NODELAY each step of the handshake waits 40 ms for an acknowledgement. The kernel's
    # keepalive would notice a dead peer after two hours.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    wanted = {"TCP_KEEPIDLE": 20, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 4, "TCP_USER_TIMEOUT": 40_000}
    for name, value in wanted.items():
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


class ProtocolBroken(Exception):
    """Whoever answers does not speak PostgreSQL's protocol, or not all of it."""


# What the driver raises by itself, and we for it; anything else comes of an answer that it cannot read.
_OF_THE_DRIVER = (OSError, InterfaceError, DatabaseError, ConnectionLost)


class Connection(legacy.Connection):  # type: ignore[misc]
    """A connection whose `send` takes a whole message, and that SQLAlchemy can use as well.

    While ``lent`` is set (a Python migration has it), commit and rollback are refused by
    `commit`/`rollback` calling ``lent`` instead.
    """

    password: bytes | None
    user: bytes

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
        self.lent: Callable[[str], None] | None = None
        self._on_notice = on_notice
        sock = open_socket(dial)
        try:
            self.peer = sock.getpeername()
            super().__init__(
                user,
                password=password,
                database=database,
                application_name=application_name,
                # The scripts are UTF-8 whatever the database is in.
                # Ours and the server's reading of a string must be one, whatever the role's is.
                startup_params={"client_encoding": "UTF8", "standard_conforming_strings": "on"},
                sock=sock,
                ssl_context=False,
            )
            # The connect timeout must not become the read timeout of a long statement.
            sock.settimeout(None)
        except BaseException as error:
            with contextlib.suppress(OSError):
                sock.close()
            # What the server says is a DatabaseError, but pg8000 makes an exception of 28000.
            if isinstance(error, InterfaceError) and error.args and isinstance(error.args[0], dict):
                raise DatabaseError(error.args[0]) from None
            if isinstance(error, Exception) and not isinstance(error, _OF_THE_DRIVER):
                raise ProtocolBroken from error
            raise

    @property
    def backend_pid(self) -> int:
        """The process id that the server, or a pooler before it, gave at the start."""
        return int(struct.unpack("!i", self._backend_key_data[:4])[0])

    @property
    def is_open(self) -> bool:
        """Whether the socket has not been closed from this side."""
        return self._usock is not None

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction block is open, failed ones included."""
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

        ``copies`` holds the data of each ``COPY … FROM STDIN`` in the message, in order. A message
        that nobody watches must be answered within ``answer_seconds``; a network that fell silent
        would keep it waiting for ever. Without ``keeps_rows`` only rows whose first column is called
        `RECORD_COLUMN` are read; those that a script selects are nobody's. ``meanwhile`` is called
        while the server works, and what it raises is raised.

        Raises:
            StatementError: the server refused a statement; a transaction block that the message
                opened is then failed and still open.
            ConnectionLost: the connection broke; the outcome is not known.
        """
        if self._sock is None:
            raise ConnectionLost("the connection is closed")
        message = _Message(sql, copies, keeps_rows=keeps_rows)
        with self._within_limit(message, is_watched=is_watched):
            self.send_QUERY(sql)
            self._sock.flush()
        if meanwhile is not None:
            try:
                meanwhile()
            except Exception:
                # Nobody may take this answer for that of another message.
                with contextlib.suppress(StatementError, ConnectionLost):
                    self._receive(message, is_watched=is_watched)
                raise
            except BaseException:
                self.sever()
                raise
        self._receive(message, is_watched=is_watched)
        return message.results

    def _receive(self, message: _Message, *, is_watched: bool) -> None:
        with self._within_limit(message, is_watched=is_watched):
            try:
                self.handle_messages(message)
            except _OF_THE_DRIVER:
                raise
            except Exception as error:
                # The driver reads each kind of message by its own code, without a look at what is in it.
                self.sever()
                raise InterfaceError("the answer is not PostgreSQL's") from error
            self._usock.settimeout(None)

    @contextlib.contextmanager
    def _within_limit(self, message: _Message, *, is_watched: bool) -> Iterator[None]:
        """Wait no longer than there is time, and turn what the driver raises into what `send` does."""
        limit = None if is_watched or self._answer_seconds is None else self._answer_seconds()
        try:
            self._usock.settimeout(limit)
            yield
        except DatabaseError as error:
            self._usock.settimeout(None)
            fields = self._with_characters(error.args[0], message.statement)
            raise StatementError(fields, message.results) from None
        except (OSError, InterfaceError) as error:
            # The system's own, of a network that fell silent, has a number.
            if limit is not None and isinstance(error, TimeoutError) and error.errno is None:
                self.sever()
                raise ConnectionLost(f"the server did not answer within {limit:.3g} s") from error
            raise ConnectionLost("the connection to the server broke") from error

    def _with_characters(self, fields: dict[str, str], sql: str) -> dict[str, str]:
        """Return an error's fields with its position in characters of what was sent.

        The server counts characters in its own encoding; one that has none, SQL_ASCII, counts bytes.
        """
        if "P" not in fields or self.parameter_statuses.get("server_encoding") != "SQL_ASCII":
            return fields
        before = sql.encode(self._client_encoding)[: int(fields["P"]) - 1]
        return {**fields, "P": str(len(before.decode(self._client_encoding, "ignore")) + 1)}

    def cancel(self, seconds: float, is_wanted: Callable[[], bool]) -> None:
        """Ask the server, over a second socket, to cancel what this connection is running.

        May be called from another thread. ``is_wanted`` is asked again once the socket is open; each
        step of opening it takes ``seconds`` at most. The server does not answer: whether the statement
        was cancelled is seen on this connection only.
        """
        with open_socket(replace(self.dial, connect_timeout=seconds), self.peer) as sock:
            if not is_wanted():
                return
            sock.sendall(struct.pack("!ii", 16, _CANCEL_REQUEST_CODE) + self._backend_key_data)
            with contextlib.suppress(OSError):
                sock.recv(1)

    def sever(self) -> None:
        """Break the socket under whoever waits on it. May be called from another thread."""
        if self._usock is not None:
            with contextlib.suppress(OSError):
                self._usock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Say goodbye if the server still listens, and close. Never raises; may be repeated."""
        if self._usock is None:
            return
        stream = self._sock
        with contextlib.suppress(OSError, InterfaceError, ValueError):
            self._usock.settimeout(2)
            super().close()
        # pg8000 leaves the stream open, and the socket with it until the next garbage collection.
        with contextlib.suppress(OSError, ValueError):
            stream.close()

    def commit(self) -> None:
        """Commit, unless the connection is lent to a Python migration."""
        if self.lent is not None:
            self.lent("commit")
        elif self.in_transaction:
            # Outside of one the server would warn.
            super().commit()

    def rollback(self) -> None:
        """Roll back, unless the connection is lent to a Python migration."""
        if self.lent is not None:
            self.lent("rollback")
        elif self.in_transaction:
            super().rollback()

    # What follows mends pg8000, a method each.

    def handle_AUTHENTICATION_REQUEST(self, data: bytes, context: core.Context) -> None:
        """Sign in by SCRAM with a password that SASLprep forbids, as libpq does."""
        if data[:4] != _AUTHENTICATION_SASL:
            super().handle_AUTHENTICATION_REQUEST(data, context)
            return
        password, user = self.password or b"", self.user
        # The server takes the user from the start of the connection, and none from here.
        self.password, self.user = b"-", b"-"
        try:
            super().handle_AUTHENTICATION_REQUEST(data, context)
        finally:
            self.password, self.user = password, user
        self.auth.password = prepare_password(password)

    def send_QUERY(self, sql: str) -> None:
        """Write a message; pg8000 holds five copies of its text at once, which counts for a long one."""
        encoded = sql.encode(self._client_encoding)
        try:
            self._sock.write(_HEAD.pack(core.QUERY, len(encoded) + _QUERY_FRAME))
            self._sock.write(encoded)
            self._sock.write(b"\0")
        except (AttributeError, ValueError) as error:
            raise InterfaceError("the connection is closed") from error

    def execute_simple(self, statement: str) -> core.Context:
        """Run a statement of SQLAlchemy's by the same path as a message of ours."""
        message = _Message(statement, ())
        self.send_QUERY(statement)
        self._sock.flush()
        self.handle_messages(message)
        message.rows = message.last_rows
        return message

    def handle_messages(self, context: core.Context) -> None:
        """Read until the server is ready; a server that dies first has still said why."""
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
        """Do what pg8000's own loop does, in half of its time: a message has a thousand answers."""
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
        """Tell the rows of ours from those that a script selects."""
        if isinstance(context, _Message) and not context.keeps_all:
            context.keeps_rows = data[2:].startswith(_RECORD_NAME)
            if not context.keeps_rows:
                return
        super().handle_ROW_DESCRIPTION(data, context)

    def handle_DATA_ROW(self, data: bytes, context: core.Context) -> None:
        """Read a row, unless nobody wants it; what cannot be read must not end a migration."""
        if not isinstance(context, _Message) or context.keeps_rows:
            super().handle_DATA_ROW(data, context)

    def handle_READY_FOR_QUERY(self, data: bytes, context: core.Context) -> None:
        """See to it that a Python migration has not ended the transaction that it was lent."""
        super().handle_READY_FOR_QUERY(data, context)
        if self.lent is not None and data == core.IDLE and context.error is None:
            context.error = InterfaceError(TRANSACTION_ENDED)

    def handle_COMMAND_COMPLETE(self, data: bytes, context: core.Context) -> None:
        """Keep the tag of each statement, which tells how far a message came."""
        tag = data[:-1].decode("ascii")
        last = tag.rpartition(" ")[2]
        if last.isdigit():
            context.row_count = max(context.row_count, 0) + int(last)
        if isinstance(context, _Message):
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
        """Hand a notice on at once, decoded."""
        if self._on_notice is not None:
            fields = {
                part[:1].decode("ascii"): part[1:].decode(self._client_encoding, "replace")
                for part in data.split(b"\0")
                if part
            }
            self._on_notice(fields)

    def handle_COPY_IN_RESPONSE(self, data: bytes, context: core.Context) -> None:
        """Send the data that belongs to this COPY; without any, fail it and stay in step."""
        if context.stream is not None:
            super().handle_COPY_IN_RESPONSE(data, context)
            return
        text = next(context.copies, None) if isinstance(context, _Message) else None
        if text is None:
            self._send_message(_COPY_FAIL, b"no data came with this COPY FROM STDIN\0")
        else:
            for start in range(0, len(text), _COPY_CHUNK):
                chunk = text[start : start + _COPY_CHUNK]
                self._send_message(_COPY_DATA, chunk.encode(self._client_encoding))
            self._send_message(_COPY_DONE, b"")
        if not isinstance(context, _Message):
            # pg8000 sends such a statement by the extended protocol, which a Sync sets right again.
            self._send_message(core.SYNC, b"")
        self._sock.flush()

    def handle_COPY_OUT_RESPONSE(self, data: bytes, context: core.Context) -> None:
        """Drop what a COPY TO STDOUT gives when nobody reads it."""
        if context.stream is None:
            context.stream_write = _drop
        else:
            super().handle_COPY_OUT_RESPONSE(data, context)


def _drop(_data: bytes) -> None:
    return None
