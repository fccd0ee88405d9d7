"""An impostor in place of the database receives neither user name nor password."""

from __future__ import annotations

import socket
import ssl
import sys
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from tests.support.engine import run_request
from tests.support.waiting import LONGEST_SECONDS, Background

from lockgate.core.request import Action, Caller, Request
from lockgate.local.certificates import make_certificates, write_certificates
from lockgate.settings import read_settings

if TYPE_CHECKING:
    from pathlib import Path

    from lockgate.report.report import Report

CASES = [
    # Its answer to the TLS request, its address, and whether its authority is trusted.
    pytest.param(b"N", "127.0.0.1", True, "does not speak TLS", id="no TLS"),
    pytest.param(b"S", "127.0.0.1", False, "is not trusted", id="unknown authority"),
    pytest.param(
        b"S",
        "127.0.0.2",
        True,
        "is not trusted",
        id="another's certificate",
        marks=pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 is Linux's only"),
    ),
]


def hear(listener: socket.socket, answer: bytes, context: ssl.SSLContext) -> bytes:
    """Act as the server for one connection and return everything received in clear text."""
    peer, _ = listener.accept()
    peer.settimeout(LONGEST_SECONDS)
    with peer:
        heard = peer.recv(8)
        peer.sendall(answer)
        with suppress(OSError):
            if answer == b"N":
                return heard + peer.recv(1_000)
            with context.wrap_socket(peer, server_side=True) as secured:
                heard += secured.recv(1_000)
    return heard


def run(host: str, port: int, ca_file: str, folder: Path) -> Report:
    """Run against the impostor as a function would."""
    settings = read_settings(
        {
            "LOCKGATE_DATABASE_URL": f"postgresql://ada:SENTINEL@{host}:{port}/shop",
            "LOCKGATE_CA_FILE": ca_file,
            "LOCKGATE_MIGRATIONS": str(folder),
            "LOCKGATE_CONNECT_BUDGET": "0",
        }
    )
    return run_request(settings, Request(Action.UP, Caller("test")))


@pytest.mark.parametrize(("answer", "host", "is_known", "said"), CASES)
def test_impostor_gets_no_credentials(
    tmp_path: Path, answer: bytes, host: str, *, is_known: bool, said: str
) -> None:
    """Only the TLS request is sent before the certificate has been verified."""
    (tmp_path / "1_a.sql").write_text("SELECT 1;")
    names = ("ca_file", "certificate_file", "key_file")
    files = {name: tmp_path / f"{name}.pem" for name in names}
    write_certificates(make_certificates(now=datetime.now(UTC)), **files)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files["certificate_file"], files["key_file"])
    with socket.socket() as listener:
        listener.bind((host, 0))
        listener.listen()
        listener.settimeout(LONGEST_SECONDS)
        impostor = Background.start(lambda: hear(listener, answer, context))
        ca_file = str(files["ca_file"]) if is_known else ""
        report = run(host, listener.getsockname()[1], ca_file, tmp_path)
        heard = impostor.result()
    assert b"\x00\x00\x00\x08\x04\xd2\x16\x2f" == heard
    assert report.error is not None
    assert said in report.error.message
    assert "No credentials were sent. Nothing was changed." in report.error.message
