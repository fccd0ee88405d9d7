"""A stub of the bucket of CloudFormation's signed URLs, on loopback. Accepts any content."""

from __future__ import annotations

import secrets
import threading
import uuid
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

_POLL_SECONDS = 0.02


class SignedUrls:
    """Makes URLs and records what is put to them; serves until its ``with`` block ends."""

    def __init__(self) -> None:
        self._server = _Server()
        self._thread = threading.Thread(target=self._server.serve_forever, args=(_POLL_SECONDS,))

    def sign(self) -> str:
        """Return a new URL."""
        signature = secrets.token_hex(16)
        port = self._server.server_port
        return f"http://127.0.0.1:{port}/{uuid.uuid4()}?X-Amz-Signature={signature}"

    def answers_to(self, url: str) -> list[bytes]:
        """Return the bodies that were put to a URL, in order."""
        return [body for path, body in self._server.puts if url.endswith(path)]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    # Joined on close, so that nothing arrives afterwards.
    daemon_threads = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _SignedUrl)
        self.puts: list[tuple[str, bytes]] = []


class _SignedUrl(BaseHTTPRequestHandler):
    server: _Server

    def do_PUT(self) -> None:
        """Accept an answer only without a content type, because S3's signature covers an empty one."""
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        is_signed = not self.headers.get("Content-Type")
        if is_signed:
            self.server.puts.append((self.path, body))
        self.send_response(HTTPStatus.OK if is_signed else HTTPStatus.FORBIDDEN)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing."""
