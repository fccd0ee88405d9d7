"""Where to connect and as whom: endpoint, credentials, and which kind of host it is."""

from __future__ import annotations

import re
from dataclasses import field
from ipaddress import ip_address

from lockgate.core.policy import Tls
from lockgate.fast_start.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A database on a server."""

    host: str
    port: int
    dbname: str


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user and a password. ``origin`` says where they come from without revealing them."""

    username: str
    password: str = field(repr=False)
    origin: str


@dataclass(frozen=True, slots=True)
class Access:
    """What a connection needs: where the database is, as whom to sign in, and over which TLS."""

    endpoint: Endpoint
    credentials: Credentials
    tls: Tls = Tls.VERIFY_FULL


_DSQL = re.compile(r".+\.dsql(-[a-z0-9]+)?\.[a-z0-9-]+\.on\.aws(\.cn)?\.?", re.IGNORECASE)
_RDS_PROXY = re.compile(
    r".+\.proxy-[a-z0-9]+\.[a-z0-9-]+\.rds\.amazonaws\.(com|com\.cn|eu)\.?", re.IGNORECASE
)


def is_dsql(host: str) -> bool:
    """Return whether a host is an endpoint of Aurora DSQL."""
    return _DSQL.fullmatch(host) is not None


def is_rds_proxy(host: str) -> bool:
    """Return whether a host is an endpoint of RDS Proxy."""
    return _RDS_PROXY.fullmatch(host) is not None


def is_socket(host: str) -> bool:
    """Return whether a host is the folder of a Unix socket."""
    return host.startswith("/")


def is_on_this_machine(host: str) -> bool:
    """Return whether a host is a Unix socket, or names this machine; see `is_loopback`."""
    return is_socket(host) or is_loopback(host)


def is_loopback(host: str) -> bool:
    """Return whether a host names this machine. Names are compared, never resolved."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
