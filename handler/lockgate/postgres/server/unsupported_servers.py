"""Servers and ways to them that Lockgate does not migrate: poolers, Aurora DSQL, Aurora Limitless."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from lockgate.core.endpoint import is_dsql, is_rds_proxy
from lockgate.errors import TargetUnsuitable

if TYPE_CHECKING:
    from lockgate.core.endpoint import Endpoint
    from lockgate.core.policy import Pooler
    from lockgate.core.probe import Probe

# Views and functions of this name are Limitless' own; the version says it too.
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
    """Refuse Aurora DSQL by its host, before anything is sent to it.

    Raises:
        TargetUnsuitable: it is one.
    """
    if is_dsql(endpoint.host):
        raise TargetUnsuitable(
            f"{endpoint.host} is Aurora DSQL, which has no transactions with more than one change of the"
            " schema, no locks and no way to end a session, so Lockgate does not migrate it.",
            hint="Use PostgreSQL, RDS or Aurora PostgreSQL.",
        )


def refuse_limitless(probe: Probe) -> None:
    """Refuse an Aurora PostgreSQL Limitless Database.

    Raises:
        TargetUnsuitable: it is one.
    """
    if probe.is_limitless:
        raise TargetUnsuitable(
            f"Database {probe.database} is an Aurora PostgreSQL Limitless Database, whose routers and"
            " shards Lockgate cannot lock and read as one database, so it does not migrate it.",
            hint="Use PostgreSQL, RDS or Aurora PostgreSQL.",
        )


def refuse_pooler(probe: Probe, policy: Pooler, endpoint: Endpoint | None) -> None:
    """Refuse a pooler before the database, unless a setting allows it. RDS Proxy pins and works.

    Raises:
        TargetUnsuitable: there is one, and ``LOCKGATE_POOLER`` is ``refuse``.
    """
    if not probe.behind_pooler or policy != "refuse":
        return
    if endpoint is not None and is_behind_rds_proxy(endpoint.host):
        return
    raise TargetUnsuitable(
        "A connection pooler is before the database, and the lock needs one session.",
        hint="Connect to the database itself; or set LOCKGATE_POOLER=session if the pooler"
        " pools sessions, LOCKGATE_POOLER=lease if it pools transactions.",
    )


def is_behind_rds_proxy(host: str) -> bool:
    """Return whether a host is RDS Proxy's, by its own name or by the one that it stands for in DNS.

    Nothing in the protocol tells RDS Proxy from another pooler, so a name that resolves to addresses
    alone does not tell it either.
    """
    if is_rds_proxy(host):
        return True
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_CANONNAME)
    except (OSError, UnicodeError):
        return False
    return any(is_rds_proxy(canonical) for *_, canonical, _ in found)
