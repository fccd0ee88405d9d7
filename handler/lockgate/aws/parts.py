"""The connection fields that a URL or a secret contains, and how hosts and ports are read."""

from __future__ import annotations

import re
from dataclasses import field
from enum import StrEnum
from ipaddress import ip_address
from typing import TYPE_CHECKING

from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from lockgate.core.policy import Tls

_MAX_PORT = 65535
# Names of containers may contain underscores.
_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?")


class SecretStage(StrEnum):
    """A version of a secret: the one in use, or the one that a rotation prepares."""

    CURRENT = "AWSCURRENT"
    PENDING = "AWSPENDING"


@dataclass(frozen=True, slots=True)
class ConnectionParts:
    """The fields in a URL or a secret. ``None`` means "not given"."""

    username: str | None = None
    password: str | None = field(default=None, repr=False)
    host: str | None = None
    port: int | None = None
    dbname: str | None = None
    tls: Tls | None = None


def parse_port(value: object) -> int | None:
    """Return a port, given as a number or as digits; ``None`` for anything else."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not text.isascii() or not text.isdigit():
        return None
    significant = text.lstrip("0")
    if not significant or len(significant) > len(str(_MAX_PORT)) or int(significant) > _MAX_PORT:
        return None
    return int(significant)


def parse_host(text: str) -> tuple[str, int | None] | None:
    """Return the host and the port of ``host`` or ``host:port``, ``None`` for anything else.

    A path is the folder of a Unix socket.
    """
    text = text.strip()
    if text.startswith("/"):
        return text, None
    if _is_address(text):
        return text, None
    host, colon, port_text = text.rpartition(":")
    port = parse_port(port_text) if colon else None
    if not colon:
        host = text
    elif port is None:
        return None
    host = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    is_host = _HOST_NAME.fullmatch(host) is not None or _is_address(host)
    return (host, port) if is_host else None


def _is_address(text: str) -> bool:
    try:
        ip_address(text.removeprefix("[").removesuffix("]").partition("%")[0])
    except ValueError:
        return False
    return not text.startswith("[")
