"""The TLS context of a connection: which certificates it trusts. Opens no socket."""

from __future__ import annotations

import ssl
from functools import cache
from pathlib import Path

from lockgate.core.endpoint import is_loopback, is_socket
from lockgate.core.policy import Tls
from lockgate.errors import SettingInvalid

# Amazon's root certificates for RDS in all regions, one file each, named so that OpenSSL finds the one
# that it needs without reading the others (`infra/split_rds_bundle.py`).
RDS_ROOTS = Path(__file__).with_name("rds-roots")


def make_tls_context(
    mode: Tls, host: str, *, ca_file: str | None, off_anywhere: bool
) -> ssl.SSLContext | None:
    """Return the context for a host, or ``None`` for a plain connection.

    ``verify-full`` trusts the RDS bundle, the system's store and ``ca_file``. There is no silent
    fallback: a server without TLS, or with another certificate, is refused. A Unix socket has no TLS.

    Raises:
        SettingInvalid: TLS is off for a host that is not loopback, or the CA file cannot be read.
    """
    if is_socket(host):
        return None
    if mode is Tls.OFF:
        if not off_anywhere and not is_loopback(host):
            raise SettingInvalid(
                f"LOCKGATE_TLS=off is only allowed for loopback addresses, and {host} is not one.",
                hint="Remove LOCKGATE_TLS, or set LOCKGATE_TLS_OFF_ANYWHERE=true if you trust the"
                " network.",
            )
        return None
    if mode is Tls.REQUIRE:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    return make_verifying_context(ca_file)


@cache
def make_verifying_context(ca_file: str | None) -> ssl.SSLContext:
    """Return the context that trusts the RDS roots, the system's store and a file. Made only once.

    Raises:
        SettingInvalid: the CA file cannot be read.
    """
    context = ssl.create_default_context()
    context.load_verify_locations(capath=RDS_ROOTS)
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except (OSError, ssl.SSLError) as error:
            raise SettingInvalid(
                f"The CA file {ca_file} cannot be used: {error.strerror}.",
                hint="LOCKGATE_CA_FILE must name a readable PEM file of certificates.",
            ) from None
    return context
