"""The endpoint of an RDS secret is found through its keys or its tags."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.stub import Stubber
from tests.support.access import make_access

from lockgate.aws.endpoints import Discovered, find_endpoint
from lockgate.aws.parts import ConnectionParts, SecretStage
from lockgate.aws.secrets import Secret
from lockgate.core.endpoint import Endpoint
from lockgate.errors import CredentialsRejected, DatabaseUnreachable, LockgateError, SettingInvalid
from lockgate.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

MASTER = {"username": "app", "password": "pw"}
ARN = "arn:aws:rds:eu-west-1:123456789012"


def secret_of(*, instance_id: str | None = None, cluster_id: str | None = None) -> Secret:
    """Return a secret that names an instance or a cluster."""
    return Secret(
        arn="arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-AbCdEf",
        name="prod/db",
        version_id="11111111-2222",
        stage=SecretStage.CURRENT,
        parts=ConnectionParts("app", "pw"),
        instance_id=instance_id,
        cluster_id=cluster_id,
    )


def create_cluster(rds: Any, *, engine: str = "aurora-postgresql") -> dict[str, Any]:
    """Create a cluster with a database named orders, and return its description."""
    rds.create_db_cluster(
        DBClusterIdentifier="main",
        Engine=engine,
        DatabaseName="orders",
        Port=6543,
        MasterUsername="app",
        MasterUserPassword="password-of-eight",
    )
    described: dict[str, Any] = rds.describe_db_clusters()["DBClusters"][0]
    return described


def create_instance(rds: Any, **more: Any) -> dict[str, Any]:
    """Create an instance and return its description."""
    rds.create_db_instance(
        **{
            "DBInstanceIdentifier": "single",
            "DBInstanceClass": "db.t4g.micro",
            "Engine": "postgres",
            "AllocatedStorage": 20,
            **more,
        }
    )
    described: dict[str, Any] = rds.describe_db_instances()["DBInstances"][0]
    return described


def test_cluster_on_a_managed_secrets_tag_is_found(
    make_secret: Callable[..., str], rds: Any
) -> None:
    """The tag of a managed master secret leads to the cluster's writer, port and database."""
    cluster = create_cluster(rds)
    arn = make_secret(MASTER, tags={"aws:rds:primaryDBClusterArn": f"{ARN}:cluster:main"})
    expected = Endpoint(cluster["Endpoint"], cluster["Port"], "orders")
    assert expected == make_access(Settings(secret_arn=arn)).endpoint


def test_instance_on_a_managed_secrets_tag_is_found(
    make_secret: Callable[..., str], rds: Any
) -> None:
    """The tag of a managed master secret leads to the instance, with postgres as its database."""
    endpoint = create_instance(rds, Port=6543)["Endpoint"]
    arn = make_secret(MASTER, tags={"aws:rds:primaryDBInstanceArn": f"{ARN}:db:single"})
    expected = Endpoint(endpoint["Address"], endpoint["Port"], "postgres")
    assert expected == make_access(Settings(secret_arn=arn)).endpoint


def test_identifier_in_a_secret_goes_before_tags(make_secret: Callable[..., str], rds: Any) -> None:
    """An identifier in the secret takes precedence over its tags, without a DescribeSecret call."""
    endpoint = create_instance(rds, DBName="orders")["Endpoint"]
    arn = make_secret({**MASTER, "dbInstanceIdentifier": "single", "port": 7000})
    expected = Endpoint(endpoint["Address"], 7000, "orders")
    assert expected == make_access(Settings(secret_arn=arn)).endpoint


def test_instance_of_a_cluster_leads_to_the_writer(secrets: Any, rds: Any) -> None:
    """For an instance of a cluster the writer endpoint is used, since the instance may be a reader."""
    cluster = create_cluster(rds)
    create_instance(rds, Engine="aurora-postgresql", DBClusterIdentifier="main")
    found = find_endpoint(secret_of(instance_id="single"), secrets, lambda *_: rds)
    assert Discovered(cluster["Endpoint"], cluster["Port"], "orders") == found


def test_secret_without_a_host_is_refused(make_secret: Callable[..., str]) -> None:
    """Without host, identifier or tag the error names the setting to use."""
    arn = make_secret(MASTER, tags={"team": "orders"})
    with pytest.raises(SettingInvalid, match="No host is given: secret prod/db") as caught:
        make_access(Settings(secret_arn=arn))
    assert caught.value.hint == "Set LOCKGATE_HOST, or add host to the secret."


def test_host_setting_needs_no_discovery(make_secret: Callable[..., str]) -> None:
    """With LOCKGATE_HOST, neither tags nor RDS are queried."""
    arn = make_secret(MASTER, tags={"aws:rds:primaryDBClusterArn": f"{ARN}:cluster:gone"})
    settings = Settings(secret_arn=arn, host="db.example")
    assert Endpoint("db.example", 5432, "postgres") == make_access(settings).endpoint


@pytest.mark.parametrize(
    "secret", [secret_of(instance_id="gone"), secret_of(cluster_id="gone")], ids=["db", "cluster"]
)
def test_deleted_database_is_unreachable(secrets: Any, rds: Any, secret: Secret) -> None:
    """A database that RDS does not know is named in the error."""
    with pytest.raises(DatabaseUnreachable, match=r"The endpoint of RDS \w+ gone .*does not exist"):
        find_endpoint(secret, secrets, lambda *_: rds)


def test_cluster_of_another_engine_is_refused(secrets: Any, rds: Any) -> None:
    """A MySQL cluster is refused."""
    create_cluster(rds, engine="aurora-mysql")
    with pytest.raises(SettingInvalid, match='RDS cluster main runs the engine "aurora-mysql"'):
        find_endpoint(secret_of(cluster_id="main"), secrets, lambda *_: rds)


def test_instance_without_endpoint_is_unreachable(secrets: Any) -> None:
    """For an instance without endpoint, the error shows its status."""
    client = boto3.client("rds")
    description = {"Engine": "postgres", "DBInstanceStatus": "creating"}
    with Stubber(client) as stubber:
        stubber.add_response("describe_db_instances", {"DBInstances": [description]})
        with pytest.raises(
            DatabaseUnreachable, match=r"no endpoint yet \(its status is creating\)"
        ):
            find_endpoint(secret_of(instance_id="single"), secrets, lambda *_: client)


@pytest.mark.parametrize(
    ("service", "operation", "error", "permission"),
    [
        ("secretsmanager", "describe_secret", CredentialsRejected, "secretsmanager:DescribeSecret"),
        ("rds", "describe_db_clusters", DatabaseUnreachable, "rds:DescribeDBClusters"),
    ],
)
def test_denied_description_names_the_permission(
    service: str, operation: str, error: type[LockgateError], permission: str
) -> None:
    """If a description is denied, the hint names the missing permission."""
    client = boto3.client(service)  # type: ignore[call-overload]
    secret = secret_of(cluster_id="main" if service == "rds" else None)
    with Stubber(client) as stubber:
        stubber.add_client_error(operation, service_error_code="AccessDenied")
        with pytest.raises(error, match=r"this role may not read it \(AccessDenied\)") as caught:
            find_endpoint(secret, client, lambda *_: client)
    assert caught.value.hint is not None
    assert permission in caught.value.hint
