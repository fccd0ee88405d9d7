"""A stub of Secrets Manager with TLS and one secret; records the times of each request."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import ssl
    from types import TracebackType

SECRET_ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:shop/database-AbCdEf"  # noqa: S105 - its name


@dataclass(frozen=True, slots=True)
class Asked:
    """The times when a client connected, and when it had the answer."""

    began_at: float
    ended_at: float


class AwsEndpoint:
    """Serves on loopback until its ``with`` block ends; every request is for the one secret.

    moto's server would answer as well, but takes longer than all that is measured here.
    """

    def __init__(self, tls: ssl.SSLContext, secret: dict[str, Any]) -> None:
        self._server = _Server(tls, secret)
        self._serving = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def url(self) -> str:
        """The address."""
        return f"https://127.0.0.1:{self._server.server_port}"

    @property
    def last(self) -> Asked:
        """The last request."""
        return self._server.last

    def __enter__(self) -> Self:
        self._serving.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._serving.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, tls: ssl.SSLContext, secret: dict[str, Any]) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        self.tls = tls
        self.answer = json.dumps(
            {
                "ARN": SECRET_ARN,
                "Name": "shop/database",
                "VersionId": "11111111-2222-3333-4444-555555555555",
                "VersionStages": ["AWSCURRENT"],
                "SecretString": json.dumps(secret),
            }
        ).encode()
        self.last = Asked(0.0, 0.0)


class _Request(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        """Start TLS; the client's request begins when its connection arrives."""
        self.began_at = time.time()
        self.request = self.server.tls.wrap_socket(self.request, server_side=True)
        super().setup()

    def do_POST(self) -> None:
        """Send the secret."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(self.server.answer)))
        self.end_headers()
        self.wfile.write(self.server.answer)
        self.server.last = Asked(self.began_at, time.time())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Log nothing."""
