"""A proxy that understands PostgreSQL's framing, and causes a fault at a chosen message.

Only for connections without TLS. It counts the messages of a run's own connections, not those of its
observer. A counted message is an *effect* of the run: a simple query or a Sync. With `copies`, pieces of
COPY data and the end of the data count too. They have no answer of their own, and so no AFTER.

::

    client ── Q ──▶ proxy ── Q ──▶ server    BEFORE: the server never receives the message
           ◀── Z ──       ◀── Z ──           AFTER: the client never receives its outcome
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_CANCEL = 80877102
_ANSWERED = frozenset({b"Q", b"S"})
_COPY_FRAMES = frozenset({b"d", b"c"})
_KEY_DATA, _READY = b"K", b"Z"


class Moment(StrEnum):
    """When the fault happens: before or after a message is processed."""

    BEFORE = "before"
    AFTER = "after"


@dataclass(slots=True)
class Link:
    """One client's connection through the proxy."""

    client: socket.socket
    upstream: socket.socket
    pid: int | None = None
    is_frozen: bool = False
    keeps_server: bool = False
    is_answered: bool = False
    waiting: list[int] = field(default_factory=list)

    def reset(self) -> None:
        """Reset both sides."""
        for sock in (self.client, self.upstream):
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def freeze(self, *, keeps_server: bool = False) -> None:
        """Stop relaying without closing anything, like a peer that has gone silent.

        When the client closes its side, the server's side is closed too, unless ``keeps_server``: then
        the server notices nothing, and its session stays until another session ends it.
        """
        self.keeps_server = keeps_server
        self.is_frozen = True


class Proxy:
    """Listens on loopback; calls ``fault(link)`` once, at message ``at`` (from 1).

    ``gate(link)`` is called before every message is forwarded, and may delay it. ``break_all`` resets
    every connection at its next message.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        at: int | None = None,
        moment: Moment = Moment.BEFORE,
        fault: Callable[[Link], None] | None = None,
        gate: Callable[[Link], None] | None = None,
        copies: bool = False,
    ) -> None:
        self.count = 0
        self.has_struck = False
        self._failure: BaseException | None = None
        self._target = (host, port)
        self._at, self._moment, self.fault = at, moment, fault
        self.break_all = False
        self._gate = gate
        self._counted = _ANSWERED | _COPY_FRAMES if copies else _ANSWERED
        self._lock = threading.Lock()
        self._is_silent = False
        self._links: list[Link] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.refuse_more()
        for link in self._links:
            link.reset()
        for thread in self._threads:
            thread.join(timeout=60)
        if self._failure is not None:
            raise self._failure

    def fall_silent(self) -> None:
        """Stop relaying, for new connections as well, like a network that has gone silent."""
        self._is_silent = True
        for link in self._links:
            link.freeze()

    def refuse_more(self) -> None:
        """Refuse further connections."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                upstream = socket.create_connection(self._target)
            except OSError:
                client.close()
                continue
            for sock in (client, upstream):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link = Link(client, upstream)
            self._links.append(link)
            if not self._is_silent:
                self._start(self._relay_client, link)

    def _relay_client(self, link: Link) -> None:
        with contextlib.suppress(OSError, EOFError):
            start = _read_start(link.client)
            link.upstream.sendall(start)
            if struct.unpack("!i", start[4:8])[0] == _CANCEL:
                _drain(link)
                return
            is_counted = b"lockgate observer" not in start
            link.is_answered = True
            self._start(self._relay_server, link)
            while True:
                frame = _read_frame(link.client)
                number = self._number(frame) if is_counted else 0
                if number:
                    self._hold(link, frame, number)
                if number == self._at and self._moment is Moment.BEFORE:
                    self._strike(link)
                if not link.is_frozen:
                    link.upstream.sendall(frame)
        if not link.keeps_server:
            _close_quietly(link.upstream)
        if not link.is_answered:
            # The server closed the connection on the first message: no other code closes the
            # client.
            _close_quietly(link.client)

    def _hold(self, link: Link, frame: bytes, number: int) -> None:
        if self.break_all:
            link.reset()
        if frame[:1] in _ANSWERED:
            link.waiting.append(number)
        if self._gate is not None:
            self._gate(link)

    def _relay_server(self, link: Link) -> None:
        with contextlib.suppress(OSError, EOFError):
            while True:
                frame = _read_frame(link.upstream)
                if frame[:1] == _KEY_DATA:
                    link.pid = struct.unpack("!i", frame[5:9])[0]
                if frame[:1] == _READY and link.waiting:
                    number = link.waiting.pop(0)
                    if number == self._at and self._moment is Moment.AFTER:
                        self._strike(link)
                if not link.is_frozen:
                    link.client.sendall(frame)
        if not link.is_frozen:
            _close_quietly(link.client)

    def _number(self, frame: bytes) -> int:
        if frame[:1] not in self._counted:
            return 0
        with self._lock:
            self.count += 1
            return self.count

    def _strike(self, link: Link) -> None:
        if self.fault is not None and not self.has_struck:
            self.has_struck = True
            try:
                self.fault(link)
            except Exception as failure:
                # Raised in the test's own thread, instead of the errors that follow from it.
                self._failure = failure
                raise


def _read_exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = sock.recv(size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def _read_start(sock: socket.socket) -> bytes:
    head = _read_exactly(sock, 4)
    return head + _read_exactly(sock, struct.unpack("!i", head)[0] - 4)


def _read_frame(sock: socket.socket) -> bytes:
    head = _read_exactly(sock, 5)
    return head + _read_exactly(sock, struct.unpack("!i", head[1:])[0] - 4)


def _drain(link: Link) -> None:
    while link.upstream.recv(1024):
        pass
    _close_quietly(link.client)


def _close_quietly(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()
