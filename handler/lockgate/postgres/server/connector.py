"""Getting a connection, with patience where patience helps. Knows driver errors and credentials' order.

Waited for, within the budget: a host that does not resolve, refused, reset, timed out, 57P03 (the
server is starting, or resuming from zero), 53300 (too many connections). A rejected password is
tried again with the secret read afresh, then with its pending version: a rotation sets the password
in the database before it moves the stage (FACTS of Secrets Manager's single-user rotation).
"""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Protocol

from lockgate.errors import (
    CertificateUntrusted,
    CredentialsRejected,
    DatabaseUnreachable,
    LockgateError,
    RunIncomplete,
    TargetUnsuitable,
)
from lockgate.fast_start.dataclass import dataclass
from lockgate.fast_start.driver import DatabaseError, InterfaceError
from lockgate.postgres.quoting import write_name
from lockgate.postgres.server.connection import Connection, ProtocolBroken
from lockgate.postgres.server.dial import Dial, TlsRefused
from lockgate.postgres.server.unsupported_servers import refuse_dsql

if TYPE_CHECKING:
    from collections.abc import Callable

    from lockgate.core.deadline import Clock, Deadline
    from lockgate.core.endpoint import Access

_REJECTED = frozenset({"28P01", "28000"})
_WAITED_FOR = frozenset({"57P03", "53300", "57P01", "57P02"})
# Statements of ours are short, and wait for locks no longer than lock_timeout.
ANSWER_SECONDS = 30.0
_OBSERVER_MS = 2_000
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0
# One more round after a pause: a rotation needs some seconds between its steps.
_CREDENTIAL_ROUNDS = 3
_ROUND_PAUSE_SECONDS = 3.0


class Accesses(Protocol):
    """Where the way into the database comes from."""

    @property
    def may_rotate(self) -> bool:
        """Whether the password may change while a run waits."""
        ...

    def current(self) -> Access:
        """Return today's access, read afresh."""
        ...

    def pending(self) -> Access | None:
        """Return the access that a rotation in flight is about to switch to, if there is one."""
        ...

    def context(self, access: Access) -> ssl.SSLContext | None:
        """Return the TLS context for an access, ``None`` for a plain connection."""
        ...


@dataclass(frozen=True, slots=True)
class ConnectRetry:
    """How long to try. Milliseconds."""

    connect_timeout_ms: int
    budget_ms: int


class _Rejected(Exception):
    """The server did not accept the credentials; what it said where that is more than the fact."""


class _NotYet(Exception):
    """The server cannot be reached now; it may be soon."""


class Connector:
    """Opens connections to one database."""

    def __init__(
        self,
        accesses: Accesses,
        patience: ConnectRetry,
        clock: Clock,
        deadline: Deadline,
        emit: Callable[..., None],
    ) -> None:
        self._accesses = accesses
        self._patience = patience
        self._clock = clock
        self._deadline = deadline
        self._emit = emit
        self._tried: list[str] = []
        self._refused = self._rejected = ""
        self.access: Access | None = None

    def connect(
        self,
        application_name: str | None = None,
        on_notice: Callable[[dict[str, str]], None] | None = None,
    ) -> Connection:
        """Return an open connection.

        A pooler would leave ``application_name`` in a session that it lends to others.

        Raises:
            CredentialsRejected: every credential that the secret offers was refused.
            CertificateUntrusted: the server's certificate does not verify, or it has no TLS.
            DatabaseUnreachable: nothing answered within the budget.
            TargetUnsuitable: the database does not exist, or the role may not connect to it.
        """
        self._tried = []
        # What cannot change meanwhile is not tried again.
        for round_number in range(_CREDENTIAL_ROUNDS if self._accesses.may_rotate else 1):
            if round_number > 0:
                self._deadline.pause(self._clock, _ROUND_PAUSE_SECONDS)
            connection = self._connect_once(application_name, on_notice)
            if connection is not None:
                return connection
            if self._deadline.is_over:
                break
        hint = "Check the user and the password."
        if self._accesses.may_rotate:
            hint = (
                "Check that the secret's user exists and has this password; if the secret is being"
                " rotated, invoke again when that is done."
            )
        hint += describe_odd_end(self._rejected)
        raise CredentialsRejected(f"{self._refused} Tried: {'; '.join(self._tried)}.", hint=hint)

    def connect_observer(self) -> Connection:
        """Return a second connection, tried once and without patience.

        Raises:
            LockgateError, OSError: there is none to be had now.
        """
        if self.access is None:
            raise OSError("there is no first connection yet")
        try:
            return self._open(self.access, "lockgate observer", None, timeout_ms=_OBSERVER_MS)
        except (_NotYet, _Rejected) as error:
            raise OSError(str(error)) from error

    def _connect_once(
        self, application_name: str | None, on_notice: Callable[[dict[str, str]], None] | None
    ) -> Connection | None:
        """Try the current credentials, then the pending ones; ``None`` if both were rejected."""
        for read in (self._accesses.current, self._accesses.pending):
            access = read()
            if access is None:
                continue
            refuse_dsql(access.endpoint)
            try:
                connection = self._wait_for(access, application_name, on_notice)
            except _Rejected as error:
                self._refused, self._rejected = str(error), access.credentials.password
                if access.credentials.origin not in self._tried:
                    self._tried.append(access.credentials.origin)
                continue
            self.access = access
            return connection
        return None

    def _wait_for(
        self,
        access: Access,
        application_name: str | None,
        on_notice: Callable[[dict[str, str]], None] | None,
    ) -> Connection:
        started = self._clock.monotonic()
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                return self._open(access, application_name, on_notice)
            except _NotYet as error:
                waited_ms = (self._clock.monotonic() - started) * 1000
                if self._deadline.interrupted_by is not None:
                    raise _interrupted(self._deadline.interrupted_by) from error
                left_ms = self._patience.budget_ms - waited_ms
                if left_ms <= 0 or self._deadline.is_over:
                    raise _unreachable(access, error, waited_ms) from error
                self._emit("database_waited_for", reason=str(error), waited_ms=round(waited_ms))
                self._deadline.pause(self._clock, min(pause, left_ms / 1000))
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    def _answer_seconds(self) -> float:
        """Return how long a short statement of ours may go unanswered, in seconds."""
        return self._deadline.patience_ms(ANSWER_SECONDS * 1000) / 1000

    def _open(
        self,
        access: Access,
        application_name: str | None,
        on_notice: Callable[[dict[str, str]], None] | None,
        timeout_ms: int | None = None,
    ) -> Connection:
        endpoint = access.endpoint
        if timeout_ms is None:
            timeout_ms = self._patience.connect_timeout_ms
        dial = Dial(
            host=endpoint.host,
            port=endpoint.port,
            connect_timeout=self._deadline.patience_ms(timeout_ms) / 1000,
            tls=self._accesses.context(access),
        )
        try:
            return Connection(
                dial,
                user=access.credentials.username,
                password=access.credentials.password,
                database=endpoint.dbname,
                application_name=application_name,
                on_notice=on_notice,
                answer_seconds=self._answer_seconds,
            )
        except ssl.SSLCertVerificationError as error:
            raise _untrusted(access, error.verify_message) from error
        except TlsRefused as error:
            raise _without_tls(access) from error
        except ProtocolBroken as error:
            raise _without_protocol(access) from error
        except DatabaseError as error:
            raise _translate(access, error.args[0]) from error
        except (OSError, InterfaceError) as error:
            raise _NotYet(_describe(error)) from error


_ENDS = {"\n": "a line break", "\r": "a carriage return", "\t": "a tab", " ": "a blank"}


def describe_odd_end(password: str) -> str:
    """Return a hint about a password that begins or ends with what somebody may not have meant."""
    if not password:
        return " No password was given."
    found = [
        f"{verb} with {_ENDS.get(character, 'white space')}"
        for verb, character in (("begins", password[0]), ("ends", password[-1]))
        if character.isspace()
    ]
    if not found:
        return ""
    return (
        f" The password {' and '.join(found)}, which counts: if it is not meant, store it without."
    )


_REASONS: tuple[tuple[type[BaseException], str], ...] = (
    (socket.gaierror, "the host does not resolve"),
    (TimeoutError, "the connection timed out"),
    (ConnectionRefusedError, "the connection was refused"),
    (FileNotFoundError, "there is no such socket"),
    (ConnectionResetError, "the connection was reset"),
    (BrokenPipeError, "the connection was reset"),
    (ssl.SSLError, "the TLS handshake failed"),
)


def _describe(error: Exception) -> str:
    cause = error.__cause__ if isinstance(error, InterfaceError) and error.__cause__ else error
    for kind, reason in _REASONS:
        if isinstance(cause, kind):
            return reason
    strerror = cause.strerror if isinstance(cause, OSError) else None
    return strerror or "the server closed the connection"


def _translate(access: Access, fields: object) -> Exception:
    if not isinstance(fields, dict):
        return _NotYet("the server closed the connection")
    sqlstate, message = fields.get("C", ""), fields.get("M", "")
    endpoint = access.endpoint
    if sqlstate in _REJECTED:
        # Of a wrong password the server says no more than this; of a rule of its own it does.
        said = f" It said: {message} ({sqlstate})." if sqlstate == "28000" else ""
        return _Rejected(
            f"{endpoint.host}:{endpoint.port} rejected the credentials of"
            f" {access.credentials.username}.{said}"
        )
    if sqlstate in _WAITED_FOR:
        return _NotYet(f"{message} ({sqlstate})")
    if sqlstate == "3D000":
        return TargetUnsuitable(
            f"There is no database {endpoint.dbname} on {endpoint.host}:{endpoint.port}.",
            hint=f"Create it (CREATE DATABASE {write_name(endpoint.dbname)}), or correct its name in the"
            " URL, the secret or LOCKGATE_DBNAME.",
        )
    return TargetUnsuitable(
        f"{endpoint.host}:{endpoint.port} does not let {access.credentials.username} connect to"
        f" {endpoint.dbname}: {message} ({sqlstate}).",
        hint="Grant the role what the message names.",
    )


def _interrupted(by: str) -> LockgateError:
    return RunIncomplete(
        f"The run stopped while it waited for the database: {by}.",
        hint="Invoke again.",
    )


def _untrusted(access: Access, why: str) -> LockgateError:
    endpoint = access.endpoint
    return CertificateUntrusted(
        f"The certificate of {endpoint.host}:{endpoint.port} is not trusted: {why}."
        " No credentials were sent.",
        hint="Connect by the name that the certificate is for; for an authority of your own set"
        " LOCKGATE_CA_FILE.",
    )


def _without_tls(access: Access) -> LockgateError:
    endpoint = access.endpoint
    return CertificateUntrusted(
        f"{endpoint.host}:{endpoint.port} does not speak TLS. No credentials were sent.",
        hint="Turn TLS on in the server; for one on this machine, set LOCKGATE_TLS=off or add"
        " ?sslmode=disable to the URL.",
    )


def _without_protocol(access: Access) -> LockgateError:
    endpoint = access.endpoint
    return DatabaseUnreachable(
        f"{endpoint.host}:{endpoint.port} does not speak PostgreSQL's protocol.",
        hint="Check host and port: something other than PostgreSQL answers there.",
    )


def _unreachable(access: Access, error: Exception, waited_ms: float) -> LockgateError:
    endpoint = access.endpoint
    return DatabaseUnreachable(
        f"{endpoint.host}:{endpoint.port} could not be reached in {waited_ms / 1000:.0f} s: {error}.",
        hint="Check that the host is right, that it is running, and that the network (a function's"
        " subnets and security group) leads to it. If it only needs longer to wake up, in a terminal:"
        " --connect-budget 2min; else set LOCKGATE_CONNECT_BUDGET.",
    )
