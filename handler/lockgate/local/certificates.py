"""Makes a throw-away certificate authority and a server certificate for this machine's own address.

The authority's key is never written, so nothing else can be signed with it later. Import this
module late: the cryptography package takes 70 ms.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from pathlib import Path

VALID_FOR = timedelta(days=3650)
# A new certificate must be valid even if the clock is set back a little.
CLOCK_MARGIN = timedelta(hours=1)
HOST_NAME = "localhost"
ADDRESSES = ("127.0.0.1", "::1")

AUTHORITY_MAY = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


@dataclass(frozen=True, slots=True)
class Certificates:
    """The certificates and the key for a server with TLS and its clients, in PEM."""

    authority: bytes
    server: bytes
    server_key: bytes


def make_certificates(*, now: datetime) -> Certificates:
    """Make an authority and a certificate for localhost, 127.0.0.1 and ::1, without writing files."""
    authority_key = ec.generate_private_key(ec.SECP256R1())
    server_key = ec.generate_private_key(ec.SECP256R1())
    authority = _sign_authority(authority_key, now)
    server = _sign_server(server_key, authority_key, authority.subject, now)
    return Certificates(
        authority=authority.public_bytes(serialization.Encoding.PEM),
        server=server.public_bytes(serialization.Encoding.PEM),
        server_key=server_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )


def write_certificates(
    certificates: Certificates, *, ca_file: Path, certificate_file: Path, key_file: Path
) -> None:
    """Write the three files. Only its owner may read the key, otherwise the server rejects it."""
    ca_file.write_bytes(certificates.authority)
    certificate_file.write_bytes(certificates.server)
    key_file.touch(mode=0o600)
    key_file.write_bytes(certificates.server_key)


def _sign_authority(key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    name = _name("Lockgate embedded server CA")
    own_key = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return (
        _begin(name, name, now)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(AUTHORITY_MAY, critical=True)
        .add_extension(own_key, critical=False)
        .sign(key, SHA256())
    )


def _sign_server(
    key: ec.EllipticCurvePrivateKey,
    authority_key: ec.EllipticCurvePrivateKey,
    authority_name: x509.Name,
    now: datetime,
) -> x509.Certificate:
    names = [x509.DNSName(HOST_NAME), *(x509.IPAddress(ip_address(a)) for a in ADDRESSES)]
    # Python 3.13 verifies strictly: it rejects a certificate without the authority's key identifier.
    signed_by = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    return (
        _begin(_name(HOST_NAME), authority_name, now)
        .public_key(key.public_key())
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(signed_by, critical=False)
        .sign(authority_key, SHA256())
    )


def _begin(subject: x509.Name, issuer: x509.Name, now: datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_MARGIN)
        .not_valid_after(now + VALID_FOR)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
