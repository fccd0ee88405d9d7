r"""Finds the RDS cluster or instance that a run is connected to.

::

    RDS host name --its name--> description, whose endpoint must be that host
    any other host --the secret's identifier or tags--> description

The name alone is not enough: another account may have a cluster of the same name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import TYPE_CHECKING, Any

from lockgate.aws.call import Call, ClientFactory
from lockgate.aws.clients import translated
from lockgate.aws.endpoints import Resource, ResourceKind
from lockgate.aws.rds_host import EndpointKind, RdsHost, parse_rds_host
from lockgate.aws.secrets import ENGINES
from lockgate.core.backup import BackupSource
from lockgate.core.endpoint import is_on_this_machine
from lockgate.errors import BackupFailed
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from datetime import datetime

# Returns the resource that the secret names; called only if the host name does not lead to one.
FindNamed = Callable[[], Resource | None]

_NOT_FOUND = (
    "DBClusterNotFoundFault",
    "DBClusterEndpointNotFoundFault",
    "DBInstanceNotFound",
    "DBProxyNotFoundFault",
    "DBProxyEndpointNotFoundFault",
)
_GONE = (
    "it does not exist in this account and region",
    "Run in the database's account and region, or set LOCKGATE_BACKUP=off.",
)
_QUOTA = (
    "the account has reached its quota of manual snapshots (SnapshotQuotaExceeded)",
    "Delete old snapshots, lower LOCKGATE_BACKUP_KEEP, or have the quota raised.",
)


@dataclass(frozen=True, slots=True)
class RdsDatabase:
    """A cluster or an instance, as RDS describes it, and the client that reaches it."""

    resource: Resource
    description: Any = field(repr=False)
    client: Any = field(repr=False)

    @property
    def arn(self) -> str:
        """Its ARN."""
        return str(self.description[f"{self.prefix}Arn"])

    @property
    def prefix(self) -> str:
        """The prefix of its fields' names in RDS."""
        return "DBCluster" if self.resource.kind is ResourceKind.CLUSTER else "DBInstance"

    @property
    def status(self) -> str:
        """Its status, such as available or backing-up."""
        is_cluster = self.resource.kind is ResourceKind.CLUSTER
        return str(self.description.get("Status" if is_cluster else "DBInstanceStatus", "unknown"))

    @property
    def is_aurora(self) -> bool:
        """Whether it is an Aurora cluster, whose instances are created separately."""
        return str(self.description["Engine"]).startswith("aurora")

    @property
    def restorable_time(self) -> datetime | None:
        """The latest time to which automated backups can restore it; ``None`` without any."""
        time: datetime | None = self.description.get("LatestRestorableTime")
        return time

    @property
    def source(self) -> BackupSource:
        """The resource, as shown in reports."""
        return BackupSource(
            kind=self.resource.kind.value,
            identifier=self.description[f"{self.prefix}Identifier"],
            arn=self.arn,
            engine=self.description["Engine"],
        )


def find_database(clients: ClientFactory, host: str, find_named: FindNamed) -> RdsDatabase:
    """Return the cluster or instance of a host; for an instance of a cluster, the cluster.

    Creates no client for a loopback host, or for one that neither its name nor the secret relates
    to RDS.

    Raises:
        BackupFailed: there is none, it is not PostgreSQL, or RDS cannot be asked.
    """
    if is_on_this_machine(host):
        raise _not_ours(host)
    parsed = parse_rds_host(host)
    if parsed is not None:
        rds = clients("rds", parsed.region)
        return _settle(rds, _find_behind(rds, parsed), parsed)
    named = find_named()
    if named is None:
        raise _not_ours(host)
    return _settle(clients("rds", named.region), named, None)


def describe(rds: Any, resource: Resource) -> RdsDatabase:
    """Return the current description of a cluster or instance."""
    if resource.kind is ResourceKind.CLUSTER:
        with translated(asking(resource, "rds:DescribeDBClusters")):
            answer = rds.describe_db_clusters(DBClusterIdentifier=resource.identifier)
        return RdsDatabase(resource, _only(answer["DBClusters"], resource), rds)
    with translated(asking(resource, "rds:DescribeDBInstances")):
        answer = rds.describe_db_instances(DBInstanceIdentifier=resource.identifier)
    return RdsDatabase(resource, _only(answer["DBInstances"], resource), rds)


def asking(subject: object, permission: str, verb: str = "described") -> Call:
    """Return the call for messages about an RDS resource."""
    return Call(
        subject=str(subject),
        permission=permission,
        service="rds",
        meanings={**dict.fromkeys(_NOT_FOUND, _GONE), "SnapshotQuotaExceeded": _QUOTA},
        error_class=BackupFailed,
        verb=verb,
    )


def _find_behind(rds: Any, host: RdsHost) -> Resource:
    match host.kind:
        case EndpointKind.CLUSTER:
            return Resource(ResourceKind.CLUSTER, host.name, host.region)
        case EndpointKind.INSTANCE:
            return Resource(ResourceKind.INSTANCE, host.name, host.region)
        case EndpointKind.CUSTOM:
            return _find_behind_custom(rds, host)
        case EndpointKind.PROXY:
            with translated(asking(f"RDS proxy {host.name}", "rds:DescribeDBProxies")):
                answer = rds.describe_db_proxies(DBProxyName=host.name)
            return _find_behind_proxy(rds, _check(answer["DBProxies"], host)["DBProxyName"], host)
        case EndpointKind.PROXY_ENDPOINT:
            call = asking(f"RDS proxy endpoint {host.name}", "rds:DescribeDBProxyEndpoints")
            with translated(call):
                answer = rds.describe_db_proxy_endpoints(DBProxyEndpointName=host.name)
            endpoint = _check(answer["DBProxyEndpoints"], host)
            return _find_behind_proxy(rds, endpoint["DBProxyName"], host)


def _find_behind_custom(rds: Any, host: RdsHost) -> Resource:
    with translated(asking(f"RDS cluster endpoint {host.name}", "rds:DescribeDBClusterEndpoints")):
        answer = rds.describe_db_cluster_endpoints(DBClusterEndpointIdentifier=host.name)
    endpoint = _check(answer["DBClusterEndpoints"], host)
    return Resource(ResourceKind.CLUSTER, endpoint["DBClusterIdentifier"], host.region)


def _find_behind_proxy(rds: Any, name: str, host: RdsHost) -> Resource:
    with translated(asking(f"The target of RDS proxy {name}", "rds:DescribeDBProxyTargets")):
        targets = rds.describe_db_proxy_targets(DBProxyName=name)["Targets"]
    for target in targets:
        cluster = target.get("TrackedClusterId")
        if target.get("Type") == "TRACKED_CLUSTER":
            cluster = target.get("RdsResourceId")
        if cluster:
            return Resource(ResourceKind.CLUSTER, cluster, host.region)
    for target in targets:
        if target.get("Type") == "RDS_INSTANCE" and target.get("RdsResourceId"):
            return Resource(ResourceKind.INSTANCE, target["RdsResourceId"], host.region)
    raise BackupFailed(
        f"RDS proxy {name} has no cluster or instance as its target.",
        hint="Connect to the cluster's or instance's own endpoint.",
    )


def _settle(rds: Any, resource: Resource, host: RdsHost | None) -> RdsDatabase:
    """Describe the resource, and reject it if the host is not its endpoint."""
    database = describe(rds, resource)
    if host is not None and host.kind in {EndpointKind.CLUSTER, EndpointKind.INSTANCE}:
        _check_endpoints(database, host)
    cluster = database.description.get("DBClusterIdentifier")
    if resource.kind is ResourceKind.INSTANCE and cluster:
        database = describe(rds, Resource(ResourceKind.CLUSTER, cluster, resource.region))
    if database.description.get("Engine") not in ENGINES:
        raise BackupFailed(
            f"{resource} runs the engine {database.description.get('Engine')}, so it is not the"
            " database of this run.",
            hint="Correct the identifiers in the secret, or connect to the endpoint of RDS.",
        )
    return database


def _check_endpoints(database: RdsDatabase, host: RdsHost) -> None:
    described = database.description
    if database.resource.kind is ResourceKind.CLUSTER:
        known = (described.get("Endpoint"), described.get("ReaderEndpoint"))
    else:
        known = (described.get("Endpoint", {}).get("Address"), None)
    if host.host not in {name.lower() for name in known if name}:
        raise _other_account(database.resource, host)


def _check(found: list[Any], host: RdsHost) -> Any:
    """Return the description whose endpoint is the host."""
    for description in found:
        if str(description.get("Endpoint", "")).lower() == host.host:
            return description
    raise _other_account(f"RDS {host.kind} {host.name}", host)


def _only(found: list[Any], resource: Resource) -> Any:
    if not found:
        raise BackupFailed(f"{resource} cannot be described: {_GONE[0]}.", hint=_GONE[1])
    return found[0]


def _other_account(what: object, host: RdsHost) -> BackupFailed:
    return BackupFailed(
        f"{what} in this account and region is a different one: {host.host} is not its endpoint.",
        hint="Run in the database's account, or set LOCKGATE_BACKUP=off.",
    )


def _not_ours(host: str) -> BackupFailed:
    return BackupFailed(
        f"{host} is not an RDS endpoint, and no secret names its cluster or instance.",
        hint="Connect to the endpoint of RDS, or add dbClusterIdentifier or dbInstanceIdentifier to the"
        " secret, or set LOCKGATE_BACKUP=off.",
    )
