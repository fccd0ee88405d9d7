r"""Finds the endpoint of the database that an RDS secret belongs to.

A master secret that RDS manages contains no host. Its tags lead to the instance or cluster:

    secret --DescribeSecret--> tags --DescribeDBClusters--> writer endpoint, port, dbname
                                   \-DescribeDBInstances-> endpoint, or the cluster it belongs to
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from lockgate.aws.call import Call, ClientFactory, region_of
from lockgate.aws.clients import translated
from lockgate.aws.secrets import ENGINES, Secret
from lockgate.errors import DatabaseUnreachable, SettingInvalid
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from mypy_boto3_rds import RDSClient
    from mypy_boto3_secretsmanager import SecretsManagerClient

_INSTANCE_TAG = "aws:rds:primaryDBInstanceArn"
_CLUSTER_TAG = "aws:rds:primaryDBClusterArn"
_SET_HOST = "Or set LOCKGATE_HOST; then RDS is not asked."


class ResourceKind(StrEnum):
    """The kinds of RDS resources that have endpoints."""

    INSTANCE = "instance"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True)
class Resource:
    """An instance or a cluster by its identifier. ``region`` is ``None`` for the environment's."""

    kind: ResourceKind
    identifier: str
    region: str | None = None

    def __str__(self) -> str:
        return f"RDS {self.kind} {self.identifier}"


@dataclass(frozen=True, slots=True)
class Discovered:
    """A database's endpoint in RDS. ``dbname`` is ``None`` if none was created with it."""

    host: str
    port: int
    dbname: str | None


def find_endpoint(
    secret: Secret, secrets: SecretsManagerClient, clients: ClientFactory
) -> Discovered:
    """Return the writer's endpoint of the database that a secret belongs to.

    Raises:
        SettingInvalid: nothing in the secret leads to a database, or it is not PostgreSQL.
        CredentialsRejected: the secret's or the database's description may not be read.
        DatabaseUnreachable: the database does not exist, or has no endpoint yet.
    """
    resource = find_resource(secret, secrets)
    if resource is None:
        raise SettingInvalid(
            f"No host is given: {secret.origin} has no host, no dbInstanceIdentifier or"
            " dbClusterIdentifier, and no tag of RDS.",
            hint="Set LOCKGATE_HOST, or add host to the secret.",
        )
    rds = clients("rds", resource.region)
    if resource.kind is ResourceKind.CLUSTER:
        return _describe_cluster(rds, resource)
    return _describe_instance(rds, resource)


def find_resource(secret: Secret, secrets: SecretsManagerClient) -> Resource | None:
    """Return the instance or cluster in a secret's fields or tags, ``None`` without either.

    Raises:
        CredentialsRejected: the secret's description may not be read.
    """
    return _named_in(secret) or _tagged_on(secret, secrets)


def _named_in(secret: Secret) -> Resource | None:
    region = region_of(secret.arn)
    if secret.cluster_id is not None:
        return Resource(ResourceKind.CLUSTER, secret.cluster_id, region)
    if secret.instance_id is not None:
        return Resource(ResourceKind.INSTANCE, secret.instance_id, region)
    return None


def _tagged_on(secret: Secret, secrets: SecretsManagerClient) -> Resource | None:
    call = Call(
        subject=f"The description of secret {secret.name}",
        permission="secretsmanager:DescribeSecret",
        service="secretsmanager",
    )
    with translated(call):
        described = secrets.describe_secret(SecretId=secret.arn)
    tags = {tag.get("Key"): tag.get("Value", "") for tag in described.get("Tags", [])}
    for kind, tag in ((ResourceKind.CLUSTER, _CLUSTER_TAG), (ResourceKind.INSTANCE, _INSTANCE_TAG)):
        if tags.get(tag):
            return Resource(kind, tags[tag].rpartition(":")[2], region_of(secret.arn))
    return None


def _describe_cluster(rds: RDSClient, resource: Resource) -> Discovered:
    with translated(_describing(resource, "rds:DescribeDBClusters", "DBClusterNotFoundFault")):
        answer = rds.describe_db_clusters(DBClusterIdentifier=resource.identifier)
    cluster: Any = answer["DBClusters"][0]
    _refuse_other_engine(cluster, resource)
    return _read_endpoint(
        resource, cluster, cluster.get("Endpoint"), cluster.get("Port"), cluster.get("DatabaseName")
    )


def _describe_instance(rds: RDSClient, resource: Resource) -> Discovered:
    with translated(_describing(resource, "rds:DescribeDBInstances", "DBInstanceNotFound")):
        answer = rds.describe_db_instances(DBInstanceIdentifier=resource.identifier)
    instance: Any = answer["DBInstances"][0]
    _refuse_other_engine(instance, resource)
    # An instance of a cluster may be a reader; only the cluster's description has the writer.
    if instance.get("DBClusterIdentifier"):
        return _describe_cluster(
            rds, Resource(ResourceKind.CLUSTER, instance["DBClusterIdentifier"], resource.region)
        )
    endpoint = instance.get("Endpoint", {})
    return _read_endpoint(
        resource, instance, endpoint.get("Address"), endpoint.get("Port"), instance.get("DBName")
    )


def _describing(resource: Resource, permission: str, not_found_code: str) -> Call:
    gone = (
        f"it does not exist in this account and region ({not_found_code})",
        f"Correct the secret's identifier. {_SET_HOST}",
    )
    return Call(
        subject=f"The endpoint of {resource}",
        permission=permission,
        service="rds",
        meanings={not_found_code: gone},
        error_class=DatabaseUnreachable,
    )


def _refuse_other_engine(description: Any, resource: Resource) -> None:
    engine = description.get("Engine", "")
    if engine not in ENGINES:
        raise SettingInvalid(
            f'{resource} runs the engine "{engine}"; Lockgate migrates PostgreSQL only.',
            hint="Point LOCKGATE_SECRET_ARN to the secret of a PostgreSQL database.",
        )


def _read_endpoint(
    resource: Resource, description: Any, host: str | None, port: int | None, dbname: str | None
) -> Discovered:
    if not host or not port:
        status = description.get("DBInstanceStatus") or description.get("Status") or "unknown"
        raise DatabaseUnreachable(
            f"{resource} has no endpoint yet (its status is {status}).",
            hint="Make the migration depend on the writer instance, not only on the cluster.",
        )
    return Discovered(host=host, port=port, dbname=dbname or None)
