r"""Reads an RDS host name: the kind of endpoint, its name and its region.

::

    main.cluster-c1a2b3.eu-west-1.rds.amazonaws.com            the writer of cluster main
    main.cluster-ro-c1a2b3.eu-west-1.rds.amazonaws.com         its readers
    some.cluster-custom-c1a2b3.eu-west-1.rds.amazonaws.com     custom endpoint some
    single.c1a2b3.eu-west-1.rds.amazonaws.com                  instance single
    front.proxy-c1a2b3.eu-west-1.rds.amazonaws.com             proxy front
    more.endpoint.proxy-c1a2b3.eu-west-1.rds.amazonaws.com     proxy endpoint more
"""

from __future__ import annotations

import re
from enum import StrEnum

from lockgate.fast_start.dataclass import dataclass

_REGION = r"[a-z]{2}(?:-[a-z]+)+-[0-9]"
# China uses both orders.
_DOMAIN = re.compile(
    rf"(?P<rest>.+)\.(?:(?P<before>{_REGION})\.rds|rds\.(?P<behind>{_REGION}))\.amazonaws\.com(?:\.cn)?"
)
_NAME = re.compile(
    r"(?P<name>[a-z][a-z0-9-]*)\.(?P<endpoint>endpoint\.)?"
    r"(?:(?P<role>cluster|cluster-ro|cluster-custom|proxy)-)?[a-z0-9]+"
)


class EndpointKind(StrEnum):
    """What an RDS host name belongs to."""

    CLUSTER = "cluster"
    CUSTOM = "cluster endpoint"
    INSTANCE = "instance"
    PROXY = "proxy"
    PROXY_ENDPOINT = "proxy endpoint"


_KINDS = {
    None: EndpointKind.INSTANCE,
    "cluster": EndpointKind.CLUSTER,
    "cluster-ro": EndpointKind.CLUSTER,
    "cluster-custom": EndpointKind.CUSTOM,
    "proxy": EndpointKind.PROXY,
}


@dataclass(frozen=True, slots=True)
class RdsHost:
    """An RDS host name, in lower case."""

    host: str
    kind: EndpointKind
    name: str
    region: str


def parse_rds_host(host: str) -> RdsHost | None:
    """Return the parts of an RDS host name; ``None`` for any other, or a kind not listed above."""
    lower = host.lower().rstrip(".")
    domain = _DOMAIN.fullmatch(lower)
    named = None if domain is None else _NAME.fullmatch(domain["rest"])
    if domain is None or named is None or (named["endpoint"] and named["role"] != "proxy"):
        return None
    kind = EndpointKind.PROXY_ENDPOINT if named["endpoint"] else _KINDS[named["role"]]
    return RdsHost(lower, kind, named["name"], domain["before"] or domain["behind"])


def find_region(host: str) -> str | None:
    """Return the region in an RDS host name of any kind."""
    domain = _DOMAIN.fullmatch(host.lower().rstrip("."))
    return None if domain is None else domain["before"] or domain["behind"]
