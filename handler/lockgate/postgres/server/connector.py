"""Connecting to the database, with retries where a retry can help.

Retried within the budget: a host name that does not resolve; a connection that is refused, reset or
timed out; 57P03 (the server is starting, or resuming from zero); 53300 (too many connections). If a
password is rejected, the secret is read again, then its pending version: a rotation sets the password in
the database before it moves the stage.
"""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Protocol

from lockgate.core.server_events import DatabaseWaitedFor
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
from lockgate.postgres.server.resolve import ResolveTimeout
from lockgate.postgres.server.unsupported_servers import refuse_dsql

if TYPE_CHECKING:
    from collections.abc import Callable

    from lockgate.core.deadline import Clock, Deadline
    from lockgate.core.endpoint import Access
    from lockgate.core.events import Event

_REJECTED = frozenset({"28P01", "28000"})
_WAITED_FOR = frozenset({"57P03", "53300", "57P01", "57P02"})
# Lockgate's own statements are short and wait for locks no longer than lock_timeout.
ANSWER_SECONDS = 30.0
_OBSERVER_MS = 2_000
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0
# A rotation needs a few seconds between its steps, so try again after a pause.
_CREDENTIAL_ROUNDS = 3
_ROUND_PAUSE_SECONDS = 3.0


class Accesses(Protocol):
    """Where host, credentials and certificates come from."""

    @property
    def may_rotate(self) -> bool:
        """Whether the password may change during the run."""
        ...

    def current(self) -> Access:
        """Read and return the current access."""
        ...

    def pending(self) -> Access | None:
        """Return the access that a rotation in progress will switch to, if there is one."""
        ...

    def context(self, access: Access) -> ssl.SSLContext | None:
        """Return the TLS context for an access, ``None`` for a plain connection."""
        ...


@dataclass(frozen=True, slots=True)
class ConnectRetry:
    """How long to wait for one connection, and for all attempts together. Milliseconds."""

    connect_timeout_ms: int
    budget_ms: int


class _Rejected(Exception):
    """The server rejected the credentials. The text adds the reason if the server gave one."""


class _NotYet(Exception):
    """The server cannot be reached now, but perhaps soon."""


class Connector:
    """Opens connections to one database."""

    def __init__(
        self,
        accesses: Accesses,
        retry: ConnectRetry,
        clock: Clock,
        deadline: Deadline,
        add_event: Callable[[Event], object],
    ) -> None:
        self._accesses = accesses
        self._retry = retry
        self._clock = clock
        self._deadline = deadline
        self._add_event = add_event
        self._tried: list[str] = []
        self._refused = self._rejected = ""
        self.access: Access | None = None

    def connect(
        self,
        application_name: str | None = None,
        on_notice: Callable[[dict[str, str]], None] | None = None,
    ) -> Connection:
        """Return an open connection.

        Behind a pooler, omit ``application_name``: it would stay in a session that others use later.

        Raises:
            CredentialsRejected: every set of credentials that the secret offers was rejected.
            CertificateUntrusted: the server's certificate cannot be verified, or it does not speak TLS.
            DatabaseUnreachable: nothing answered within the budget.
            TargetUnsuitable: the database does not exist, or the role may not connect to it.
        """
        self._tried = []
        # Without a secret the password cannot change, so another round would fail as well.
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
                "Check that the secret's user exists and has this password. If the secret is being"
                " rotated, invoke again afterwards."
            )
        hint += describe_odd_end(self._rejected)
        raise CredentialsRejected(f"{self._refused} Tried: {'; '.join(self._tried)}.", hint=hint)

    def connect_observer(self) -> Connection:
        """Return a second connection; try once, with a short timeout.

        Raises:
            LockgateError, OSError: the attempt failed.
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
                left_ms = self._retry.budget_ms - waited_ms
                if left_ms <= 0 or self._deadline.is_over:
                    raise _unreachable(access, error, waited_ms) from error
                self._add_event(DatabaseWaitedFor(str(error), round(waited_ms)))
                self._deadline.pause(self._clock, min(pause, left_ms / 1000))
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    def _answer_seconds(self) -> float:
        """Return how long to wait for the answer to one of Lockgate's own statements, in seconds."""
        return self._deadline.longest_wait_ms(ANSWER_SECONDS * 1000) / 1000

    def _open(
        self,
        access: Access,
        application_name: str | None,
        on_notice: Callable[[dict[str, str]], None] | None,
        timeout_ms: int | None = None,
    ) -> Connection:
        if timeout_ms is None:
            timeout_ms = self._retry.connect_timeout_ms
        dial = self._make_dial(access, timeout_ms)
        try:
            return Connection(
                dial,
                user=access.credentials.username,
                password=access.credentials.password,
                database=access.endpoint.dbname,
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

    def _make_dial(self, access: Access, timeout_ms: int) -> Dial:
        return Dial(
            host=access.endpoint.host,
            port=access.endpoint.port,
            connect_timeout=self._deadline.longest_wait_ms(timeout_ms) / 1000,
            tls=self._accesses.context(access),
        )


_ENDS = {"\n": "a line break", "\r": "a carriage return", "\t": "a tab", " ": "a space"}


def describe_odd_end(password: str) -> str:
    """Return a hint if the password is empty, or begins or ends with white space."""
    if not password:
        return " No password was given."
    found = [
        f"{verb} with {_ENDS.get(character, 'white space')}"
        for verb, character in (("begins", password[0]), ("ends", password[-1]))
        if character.isspace()
    ]
    if not found:
        return ""
    return f" The password {' and '.join(found)}. If that is not intended, remove it from the password."


_REASONS: tuple[tuple[type[BaseException], str], ...] = (
    (socket.gaierror, "the host does not resolve"),
    (ResolveTimeout, "the host name was not resolved in time"),
    (TimeoutError, "the connection timed out"),
    (ConnectionRefusedError, "the connection was refused"),
    (FileNotFoundError, "the socket does not exist"),
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
        # For a wrong password the server gives no details; for a rule in pg_hba.conf it does.
        reason = f" It said: {message} ({sqlstate})." if sqlstate == "28000" else ""
        return _Rejected(
            f"{endpoint.host}:{endpoint.port} rejected the credentials of"
            f" {access.credentials.username}.{reason}"
        )
    if sqlstate in _WAITED_FOR:
        return _NotYet(f"{message} ({sqlstate})")
    if sqlstate == "3D000":
        return TargetUnsuitable(
            f"Database {endpoint.dbname} does not exist on {endpoint.host}:{endpoint.port}.",
            hint=f"Create it (CREATE DATABASE {write_name(endpoint.dbname)}), or correct the name in the"
            " URL, the secret or LOCKGATE_DBNAME.",
        )
    return TargetUnsuitable(
        f"{endpoint.host}:{endpoint.port} does not let {access.credentials.username} connect to"
        f" {endpoint.dbname}: {message} ({sqlstate}).",
        hint="Grant the role the privilege that the message names.",
    )


def _interrupted(by: str) -> LockgateError:
    return RunIncomplete(
        f"The run stopped while waiting for the database: {by}.",
        hint="Invoke again.",
    )


def _untrusted(access: Access, why: str) -> LockgateError:
    endpoint = access.endpoint
    return CertificateUntrusted(
        f"The certificate of {endpoint.host}:{endpoint.port} is not trusted: {why}."
        " No credentials were sent.",
        hint="Connect with the host name that the certificate is for. If your own authority signed it,"
        " set LOCKGATE_CA_FILE.",
    )


def _without_tls(access: Access) -> LockgateError:
    endpoint = access.endpoint
    return CertificateUntrusted(
        f"{endpoint.host}:{endpoint.port} does not speak TLS. No credentials were sent.",
        hint="Turn on TLS in the server. For a server on this machine, set LOCKGATE_TLS=off or add"
        " ?sslmode=disable to the URL.",
    )


def _without_protocol(access: Access) -> LockgateError:
    endpoint = access.endpoint
    return DatabaseUnreachable(
        f"{endpoint.host}:{endpoint.port} does not speak the PostgreSQL protocol.",
        hint="Check host and port: another program answers there.",
    )


def _unreachable(access: Access, error: Exception, waited_ms: float) -> LockgateError:
    endpoint = access.endpoint
    return DatabaseUnreachable(
        f"{endpoint.host}:{endpoint.port} could not be reached in {waited_ms / 1000:.0f} s: {error}.",
        hint="Check the host name, that the server is running, and that the network (for a function, its"
        " subnets and security group) allows the connection. If the server only needs longer to wake up,"
        " set LOCKGATE_CONNECT_BUDGET=2min, or in a terminal --connect-budget 2min.",
    )
