"""Amazon's RDS root certificates in the layout that OpenSSL reads, and their use."""

from __future__ import annotations

import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from asn1crypto import pem, x509
from infra.split_rds_bundle import FOLDER, name_subject, split_bundle

from lockgate.local.certificates import Certificates, make_certificates, write_certificates
from lockgate.postgres.server.tls import RDS_ROOTS

if TYPE_CHECKING:
    from pathlib import Path

REGIONS = 36
KEYS = ("ECC384", "RSA2048", "RSA4096")


def read_certificate(path: Path) -> bytes:
    """Return the certificate in a PEM file."""
    content: bytes = pem.unarmor(path.read_bytes())[2]
    return content


def test_each_root_has_the_name_that_openssl_looks_up() -> None:
    """Each file name is the subject hash by which OpenSSL looks up the root."""
    assert FOLDER == RDS_ROOTS
    for path in RDS_ROOTS.iterdir():
        assert path.name == f"{name_subject(read_certificate(path))}.0"


def test_each_region_has_a_root_for_each_kind_of_key() -> None:
    """No root of Amazon's bundle is missing."""
    names = {
        x509.Certificate.load(read_certificate(path)).subject.native["common_name"]
        for path in RDS_ROOTS.iterdir()
    }

    places = {name.partition(" Root CA ")[0] for name in names}
    assert len(places) == REGIONS
    assert names == {f"{place} Root CA {key} G1" for place in places for key in KEYS}


def test_server_is_trusted_by_a_root_in_such_a_folder(tmp_path: Path) -> None:
    """OpenSSL finds the root by its file name and verifies the server with it."""
    made = make_certificates(now=datetime.now(UTC))
    split_bundle(made.authority, tmp_path / "roots")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(capath=tmp_path / "roots")
    assert shake_hands(context, made, tmp_path) == "TLSv1.3"


def test_server_is_not_trusted_without_its_root(tmp_path: Path) -> None:
    """A server without a matching root is not trusted."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(capath=RDS_ROOTS)

    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(context, make_certificates(now=datetime.now(UTC)), tmp_path)


def shake_hands(client: ssl.SSLContext, made: Certificates, folder: Path) -> str | None:
    """Return the TLS version of a connection to a server with this certificate."""
    files = {name: folder / name for name in ("ca_file", "certificate_file", "key_file")}
    write_certificates(made, **files)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(files["certificate_file"], files["key_file"])
    here, there = socket.socketpair()
    with here, there, ThreadPoolExecutor(1) as pool:
        serving = pool.submit(server.wrap_socket, there, server_side=True)
        try:
            with client.wrap_socket(here, server_hostname="localhost") as spoken:
                return spoken.version()
        finally:
            if serving.exception() is None:
                serving.result().close()
