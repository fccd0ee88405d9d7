"""The HTTP server on loopback that all fakes of AWS services use."""

from __future__ import annotations

import socket
import struct
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping
    from types import TracebackType

_POLL_SECONDS = 0.02


class LocalServer:
    """Serves requests for a fake with a handler class, from `start` to `stop`.

    With a server's TLS context it uses HTTPS, otherwise HTTP. With ``joins_threads`` it waits at `stop`
    until the last request is answered.
    """

    def __init__(
        self,
        handler: type[RequestHandler],
        fake: Any,
        tls: ssl.SSLContext | None = None,
        *,
        joins_threads: bool = False,
    ) -> None:
        self._server = _Server(("127.0.0.1", 0), handler)
        self._server.fake = fake
        self._server.daemon_threads = not joins_threads
        self._scheme = "http" if tls is None else "https"
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._serving = threading.Thread(target=self._server.serve_forever, args=(_POLL_SECONDS,))

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        """The root URL, without a trailing slash."""
        return f"{self._scheme}://{self.address}"

    def start(self) -> None:
        """Start serving."""
        self._serving.start()

    def stop(self) -> None:
        """Stop the server and free its port."""
        self._server.shutdown()
        self._serving.join()
        self._server.server_close()


class Served:
    """A fake that serves while its context is open; ``server`` is its server."""

    __slots__ = ()

    server: LocalServer

    def __enter__(self) -> Self:
        self.server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.server.stop()


class RequestHandler(BaseHTTPRequestHandler):
    """One connection to a fake, which is available as ``fake``."""

    server: _Server
    protocol_version = "HTTP/1.1"
    # With Nagle's algorithm, each answer waits 40 ms for an acknowledgement.
    disable_nagle_algorithm = True

    @property
    def fake(self) -> Any:
        """The fake that the server belongs to."""
        return self.server.fake

    def do_GET(self) -> None:
        """Answer a GET."""
        self.get()

    def do_POST(self) -> None:
        """Answer a POST."""
        self.post()

    def do_PUT(self) -> None:
        """Answer a PUT."""
        self.put()

    def get(self) -> None:
        """Answer a GET; overridden by fakes that support it."""
        self.send_error(501)

    def post(self) -> None:
        """Answer a POST; overridden by fakes that support it."""
        self.send_error(501)

    def put(self) -> None:
        """Answer a PUT; overridden by fakes that support it."""
        self.send_error(501)

    def read_body(self) -> bytes:
        """Return the request's body."""
        return self.rfile.read(int(self.headers.get("Content-Length", "0")))

    def answer(
        self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> None:
        """Send a complete answer."""
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def reset(self) -> None:
        """Reset the connection instead of answering."""
        self.close_connection = True
        # With a linger time of zero, close sends RST.
        linger = struct.pack("ii", 1, 0)
        with suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Print nothing."""


class _Server(ThreadingHTTPServer):
    fake: Any

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a client that disconnected, was killed, or did not trust the certificate."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)
