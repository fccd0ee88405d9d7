"""A proxy that delays the connection to the server, and counts how often a client waited for it.

``python -I delay.py HOST PORT MILLISECONDS`` prints the port that it listens on. When a client has
disconnected, it prints how often that client sent something after the server had last answered. Each
direction gets half of the delay; bandwidth is unchanged. SIGTERM ends it after every client's number is
printed, because a program may end before its last bytes arrive.
"""

import contextlib
import queue
import signal
import socket
import sys
import threading
import time

_CHUNK = 1 << 16


class _Link:
    """One client's connection."""

    def __init__(self, client: socket.socket, server: socket.socket, seconds: float) -> None:
        self.turns = 0
        self._last: socket.socket | None = None
        self._client = client
        self._server = server
        self._seconds = seconds

    def serve(self) -> None:
        """Relay both directions until one side hangs up; print the number of turns."""
        threads = [
            threading.Thread(target=self._relay, args=pair, daemon=True)
            for pair in ((self._client, self._server), (self._server, self._client))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(self.turns, flush=True)  # noqa: T201 - the result for the parent process

    def _relay(self, source: socket.socket, target: socket.socket) -> None:
        waiting: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
        writer = threading.Thread(target=self._write, args=(waiting, target), daemon=True)
        writer.start()
        data = b" "
        while data:
            data = b""
            with contextlib.suppress(OSError):
                data = source.recv(_CHUNK)
            if self._last is not source and source is self._client and data:
                self.turns += 1
            self._last = source
            waiting.put((time.monotonic() + self._seconds, data))
        writer.join()

    def _write(
        self, waiting: "queue.SimpleQueue[tuple[float, bytes]]", target: socket.socket
    ) -> None:
        while True:
            due, data = waiting.get()
            time.sleep(max(0.0, due - time.monotonic()))
            with contextlib.suppress(OSError):
                if not data:
                    target.shutdown(socket.SHUT_RDWR)
                    return
                target.sendall(data)


def serve(host: str, port: int, seconds: float) -> None:
    """Listen on a free port of loopback until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)  # noqa: T201 - the result for the parent process
    while True:
        client, _ = listener.accept()
        server = socket.create_connection((host, port))
        for sock in (client, server):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=_Link(client, server, seconds).serve).start()


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]) / 1000)
