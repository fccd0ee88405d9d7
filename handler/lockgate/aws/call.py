"""An AWS call as messages describe it, and the region of a call."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any

from lockgate.errors import CredentialsRejected, LockgateError
from lockgate.fast_start.dataclass import dataclass
from lockgate.settings import read_environment

# Called with a service's name and a region, or None for the environment's region.
ClientFactory = Callable[[str, str | None], Any]

_ARN = re.compile(r"arn:[^:]+:[^:]+:([^:]+):")


@dataclass(frozen=True, slots=True)
class Call:
    """The parts of a call that messages mention.

    ``subject``: what it reads or changes. ``permission``: the IAM action. ``service``: the VPC endpoint.
    ``meanings``: for the service's own error codes, the problem and the hint.
    """

    subject: str
    permission: str
    service: str
    meanings: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    error_class: type[LockgateError] = CredentialsRejected
    verb: str = "read"


def find_region() -> str | None:
    """Return ``AWS_REGION``, which botocore does not read, or ``None``."""
    return read_environment().get("AWS_REGION") or None


def region_of(arn: str | None) -> str | None:
    """Return the region in an ARN, or ``None`` for a plain name."""
    named = _ARN.match(arn or "")
    return named[1] if named is not None else None
