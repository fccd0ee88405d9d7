"""Refusing servers that Lockgate does not support: poolers, Aurora DSQL, Aurora Limitless."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from lockgate.core.endpoint import is_dsql, is_rds_proxy
from lockgate.errors import TargetUnsuitable
from lockgate.postgres.server.resolve import resolve

if TYPE_CHECKING:
    from lockgate.core.endpoint import Endpoint
    from lockgate.core.policy import Pooler
    from lockgate.core.probe import Probe

# The name was looked up to connect, so its canonical name is near.
_RESOLVE_SECONDS = 2.0
# Only Limitless has views and functions with these names; its version says so as well.
IS_LIMITLESS = """
    pg_catalog.current_setting('server_version') ~* 'limitless'
    OR EXISTS (SELECT FROM pg_catalog.pg_class AS c
               JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
               WHERE n.nspname = 'rds_aurora' AND c.relname LIKE 'limitless%')
    OR EXISTS (SELECT FROM pg_catalog.pg_proc AS p
               JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
               WHERE n.nspname = 'rds_aurora' AND p.proname LIKE 'limitless%')
"""


def refuse_dsql(endpoint: Endpoint) -> None:
    """Refuse Aurora DSQL, by its host name and before anything is sent.

    Raises:
        TargetUnsuitable: the host is a DSQL cluster.
    """
    if is_dsql(endpoint.host):
        raise TargetUnsuitable(
            f"{endpoint.host} is Aurora DSQL, which Lockgate does not support: it allows one schema"
            " change per transaction, has no locks, and cannot end a session.",
            hint="Use PostgreSQL, RDS or Aurora PostgreSQL.",
        )


def refuse_limitless(probe: Probe) -> None:
    """Refuse an Aurora PostgreSQL Limitless Database.

    Raises:
        TargetUnsuitable: the database is one.
    """
    if probe.is_limitless:
        raise TargetUnsuitable(
            f"Database {probe.database} is an Aurora PostgreSQL Limitless Database, which Lockgate does"
            " not support: it cannot lock and read routers and shards as one database.",
            hint="Use PostgreSQL, RDS or Aurora PostgreSQL.",
        )


def refuse_pooler(probe: Probe, policy: Pooler, endpoint: Endpoint | None) -> None:
    """Refuse a connection pooler, unless a setting allows it. RDS Proxy works: it pins sessions.

    Raises:
        TargetUnsuitable: there is a pooler, and ``LOCKGATE_POOLER`` is ``refuse``.
    """
    if not probe.behind_pooler or policy != "refuse":
        return
    if endpoint is not None and is_behind_rds_proxy(endpoint.host):
        return
    raise TargetUnsuitable(
        "Lockgate is connected through a connection pooler, but its lock needs one session.",
        hint="Connect to the database directly. Otherwise set LOCKGATE_POOLER=session if the pooler"
        " pools sessions, or LOCKGATE_POOLER=lease if it pools transactions.",
    )


def is_behind_rds_proxy(host: str) -> bool:
    """Return whether a host is an RDS Proxy, by its name or its canonical name in DNS.

    The protocol does not distinguish RDS Proxy from other poolers, so a private name that resolves
    directly to addresses is not recognised.
    """
    if is_rds_proxy(host):
        return True
    try:
        found = resolve(host, None, _RESOLVE_SECONDS, socket.AI_CANONNAME)
    except OSError:
        return False
    return any(is_rds_proxy(canonical) for *_, canonical, _ in found)
