"""Opening a socket to the server, with or without TLS. Sends only the request for TLS."""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING, Any

from lockgate.core.endpoint import is_socket
from lockgate.fast_start.dataclass import dataclass
from lockgate.postgres.server.resolve import resolve

if TYPE_CHECKING:
    import ssl

_SSL_REQUEST = struct.pack("!ii", 8, 80877103)


class TlsRefused(Exception):
    """The server does not speak TLS."""


@dataclass(frozen=True, slots=True)
class Dial:
    """How to open a socket. Times in seconds; ``tls`` is ``None`` for a plain one."""

    host: str
    port: int
    connect_timeout: float
    tls: ssl.SSLContext | None


def open_socket(dial: Dial, peer: Any = None) -> socket.socket:
    """Return a connected socket with a connect timeout still set on it.

    ``peer`` is the address of the server to reach, if a former connection found it.

    Raises:
        TlsRefused: the server answered that it does not speak TLS.
        ResolveTimeout: the host name was not resolved within the connect timeout.
        OSError: no connection; ``ssl.SSLCertVerificationError`` if the certificate is not trusted.
    """
    if is_socket(dial.host):
        return _open_local(dial)
    sock = _connect(dial) if peer is None else _connect_to(peer, dial)
    try:
        _set_options(sock)
        return sock if dial.tls is None else _start_tls(sock, dial.tls, dial.host)
    except BaseException:
        sock.close()
        raise


def _connect(dial: Dial) -> socket.socket:
    """Look the host up, and connect to the first of its addresses that answers."""
    last: OSError | None = None
    for *_, address in resolve(dial.host, dial.port, dial.connect_timeout):
        try:
            return _connect_to(address, dial)
        except OSError as error:
            last = error
    raise last or socket.gaierror(socket.EAI_NONAME, "the host has no address")


def _connect_to(address: Any, dial: Dial) -> socket.socket:
    return socket.create_connection(address[:2], dial.connect_timeout)


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
    # Without TCP_NODELAY each step of the handshake waits 40 ms for an acknowledgement. With its default
    # settings, keepalive would notice a dead peer only after two hours.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    wanted = {"TCP_KEEPIDLE": 20, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 4, "TCP_USER_TIMEOUT": 40_000}
    for name, value in wanted.items():
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
