"""What one source says about a connection, and which version of a secret. Knows no source."""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum
from typing import TYPE_CHECKING

from lockgate.value import dataclass

if TYPE_CHECKING:
    from lockgate.settings import Tls

_MAX_PORT = 65535


class SecretStage(StrEnum):
    """Which version of a secret is meant: the one in use, or the one a rotation is preparing."""

    CURRENT = "AWSCURRENT"
    PENDING = "AWSPENDING"


@dataclass(frozen=True, slots=True)
class ConnectionParts:
    """The fields that a URL or a secret gives. ``None`` means "not given"."""

    username: str | None = None
    password: str | None = field(default=None, repr=False)
    host: str | None = None
    port: int | None = None
    dbname: str | None = None
    tls: Tls | None = None


def parse_port(value: object) -> int | None:
    """Return the port that a number or digits stand for, ``None`` for anything else."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not text.isascii() or not text.isdigit():
        return None
    significant = text.lstrip("0")
    if not significant or len(significant) > len(str(_MAX_PORT)) or int(significant) > _MAX_PORT:
        return None
    return int(significant)
