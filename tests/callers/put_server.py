"""A server in place of the signed URL: it answers, resets, or stays silent."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import ssl


class Play(Enum):
    """What the server does instead of answering."""

    RESET = "reset"
    SILENCE = "silence"


def reply(status: int) -> bytes:
    """Return an answer like S3's."""
    return f"HTTP/1.1 {status} Said\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()


@dataclass
class PutServer:
    """Plays one scene per connection, repeating the last one, and records the requests."""

    scenes: list[bytes | Play]
    context: ssl.SSLContext | None = None
    received: list[bytes] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._held: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for connection in self._held:
            connection.close()

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def url(self) -> str:
        """A URL with a path and a signature."""
        scheme = "http" if self.context is None else "https"
        return f"{scheme}://{self.address}/arn%3Aaws%7Cx?X-Amz-Signature=SENTINEL"

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError):
                self._play(connection)

    def _play(self, plain: socket.socket) -> None:
        connection = plain
        if self.context is not None:
            connection = self.context.wrap_socket(plain, server_side=True)
        scene = self.scenes[min(len(self.received), len(self.scenes) - 1)]
        self.received.append(read_request_bytes(connection))
        if scene is Play.SILENCE:
            self._held.append(connection)
            return
        if scene is Play.RESET:
            # A linger of zero makes close() send RST.
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        else:
            assert isinstance(scene, bytes)
            connection.sendall(scene)
        connection.close()


def read_request_bytes(connection: socket.socket) -> bytes:
    """Return head and body of one request, unchanged."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536)
    head, _, body = received.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body
