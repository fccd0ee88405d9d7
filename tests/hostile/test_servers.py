"""Connect to servers that do not speak PostgreSQL: each command ends readably within seconds."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.hostile.conftest import Ending


def message(kind: bytes, body: bytes = b"") -> bytes:
    """Return a message in the protocol's framing."""
    return kind + struct.pack("!i", len(body) + 4) + body


OK = message(b"R", struct.pack("!i", 0))
READY = message(b"Z", b"I")
SIGNED_IN = OK + message(b"K", struct.pack("!ii", 1, 2)) + READY
ROW = message(b"T", struct.pack("!h", 1) + b"a\0" + struct.pack("!ihihih", 0, 0, 23, 4, -1, 0))
# The first piece is sent after the client's first message, the next ones after further messages.
SPEECHES: dict[str, list[bytes]] = {
    "nothing": [b""],
    "HTTP": [b"HTTP/1.1 400 Bad Request\r\n\r\n"],
    "SSH": [b"SSH-2.0-OpenSSH_9.6\r\n"],
    "MySQL": [b"J\0\0\0\x0a8.0.36\0" + b"x" * 70],
    "zeros": [b"\0" * 10_000],
    "ones": [b"\xff" * 10_000],
    "an endless message": [b"R\x7f\xff\xff\xff"],
    "a negative length": [b"R\xff\xff\xff\xff"],
    "a length of nothing": [b"R\0\0\0\0"],
    "half a message": [OK[:6]],
    "an unknown message": [message(b"!", b"x")],
    "an unknown way to sign in": [message(b"R", struct.pack("!i", 99))],
    "GSS": [message(b"R", struct.pack("!i", 7))],
    "a clear password, then nothing": [message(b"R", struct.pack("!i", 3)), b""],
    "MD5 without salt": [message(b"R", struct.pack("!i", 5))],
    "SCRAM without names": [message(b"R", struct.pack("!i", 10) + b"\0")],
    "SCRAM of another kind": [message(b"R", struct.pack("!i", 10) + b"SCRAM-SHA-1\0\0")],
    "SCRAM nonsense": [
        message(b"R", struct.pack("!i", 10) + b"SCRAM-SHA-256\0\0"),
        message(b"R", struct.pack("!i", 11) + b"r=x,s=!!!,i=0"),
    ],
    "SCRAM without end": [
        message(b"R", struct.pack("!i", 10) + b"SCRAM-SHA-256\0\0"),
        message(b"R", struct.pack("!i", 11) + b"r=x"),
        message(b"R", struct.pack("!i", 12) + b"v=x"),
    ],
    "an error without fields": [message(b"E", b"\0")],
    "an error cut off": [message(b"E", b"SERROR")],
    "an error not in UTF-8": [message(b"E", b"SFATAL\0C\xff\xff\0M\xff\xfe\0\0")],
    "an error of no class": [message(b"E", b"SFATAL\0CXXXXX\0Mno\0\0")],
    "notices": [message(b"N", b"SNOTICE\0C00000\0Mx\0\0") * 10_000],
    "a parameter without value": [OK + message(b"S", b"a")],
    "signed in, then nothing": [SIGNED_IN, b""],
    "signed in, then the end of a query that nobody sent": [SIGNED_IN + READY * 5, READY],
    "signed in, then an error without fields": [SIGNED_IN, message(b"E", b"\0") + READY],
    "signed in, then rows without columns": [
        SIGNED_IN,
        message(b"D", b"\0\x01\0\0\0\x01x") + READY,
    ],
    "signed in, then a row of another shape": [
        SIGNED_IN,
        ROW + message(b"D", struct.pack("!h", 9)) + message(b"C", b"SELECT 1\0") + READY,
    ],
    "signed in, then a number that is none": [
        SIGNED_IN,
        ROW
        + message(b"D", struct.pack("!hi", 1, 3) + b"abc")
        + message(b"C", b"SELECT 1\0")
        + READY,
    ],
    "signed in, then one result too few": [SIGNED_IN, message(b"C", b"SELECT 0\0") + READY],
    "signed in, then no result": [SIGNED_IN, READY],
    "signed in, then empty queries": [SIGNED_IN, message(b"I") * 50 + READY],
    "signed in, then a copy": [SIGNED_IN, message(b"G", b"\0\0\0") + READY],
    "signed in, then a copy out": [SIGNED_IN, message(b"H", b"\0\0\0") + message(b"d", b"x")],
    "signed in, then another protocol": [SIGNED_IN, b"HTTP/1.1 200 OK\r\n\r\n"],
}


def serve(listener: socket.socket, speech: list[bytes]) -> None:
    """Answer each client's messages with one piece each, and repeat the last piece."""
    while True:
        try:
            peer, _ = listener.accept()
        except OSError:
            return
        with peer, suppress(OSError):
            peer.settimeout(1)
            for piece in [*speech, *([speech[-1]] * 20)]:
                if not peer.recv(100_000):
                    break
                if not piece:
                    break
                peer.sendall(piece)


@pytest.mark.parametrize("action", ["plan", "up", "unlock"])
@pytest.mark.parametrize("speech", SPEECHES.values(), ids=SPEECHES)
def test_any_server_is_left_readably(
    end_readably: Callable[..., Ending], tmp_path: object, action: str, speech: list[bytes]
) -> None:
    """Whatever server answers, a command ends with an error that has a code."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener, speech), daemon=True)
        thread.start()
        (tmp_path / "1_a.sql").write_text("SELECT 1;")  # type: ignore[operator]
        environment = {
            "LOCKGATE_DATABASE_URL": (
                f"postgresql://ada:x@127.0.0.1:{listener.getsockname()[1]}/shop?sslmode=disable"
            ),
            "LOCKGATE_MIGRATIONS": str(tmp_path),
            "LOCKGATE_CONNECT_TIMEOUT": "500ms",
            "LOCKGATE_CONNECT_BUDGET": "1s",
        }
        reason = ("--reason", "x") if action == "unlock" else ()
        ending = end_readably(action, *reason, "--json", environment=environment)
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
    assert ending.report is not None
    assert ending.code is not None
    assert "unchanged" == ending.report["error"]["state_after"]
