"""The restore commands are valid AWS CLI commands for the database they restore."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from functools import cache
from typing import Any

import boto3
import pytest
from botocore import xform_name

from lockgate.aws.endpoints import Resource, ResourceKind
from lockgate.aws.rds import RdsDatabase
from lockgate.aws.restore import make_restore

ARN = "arn:aws:rds:eu-west-1:123456789012"
AT = datetime(2026, 11, 22, 9, 57, 3, 511_000, tzinfo=UTC)
NETWORK = {"VpcSecurityGroups": [{"VpcSecurityGroupId": "sg-1"}, {"VpcSecurityGroupId": "sg-2"}]}
AURORA = {
    "DBClusterIdentifier": "main",
    "DBClusterArn": f"{ARN}:cluster:main",
    "Engine": "aurora-postgresql",
    "DBSubnetGroup": "private",
    "DBClusterParameterGroup": "tuned16",
    "LatestRestorableTime": AT,
    "StorageType": "aurora-iopt1",
    **NETWORK,
}
SERVERLESS = {
    **AURORA,
    "ServerlessV2ScalingConfiguration": {
        "MinCapacity": 0.5,
        "MaxCapacity": 16.0,
        "SecondsUntilAutoPause": 300,
    },
    "IAMDatabaseAuthenticationEnabled": True,
}
MULTI_AZ = {
    **AURORA,
    "Engine": "postgres",
    "DBClusterInstanceClass": "db.m6gd.large",
    "StorageType": "io1",
    "Iops": 3_000,
}
INSTANCE = {
    "DBInstanceIdentifier": "single",
    "DBInstanceArn": f"{ARN}:db:single",
    "Engine": "postgres",
    "DBInstanceClass": "db.t4g.micro",
    "DBSubnetGroup": {"DBSubnetGroupName": "private"},
    "DBParameterGroups": [{"DBParameterGroupName": "tuned16"}],
    "MultiAZ": True,
    "PubliclyAccessible": True,
    "LatestRestorableTime": AT,
    **NETWORK,
}
WRITER = {"DBInstanceClass": "db.r8g.large", "PubliclyAccessible": False}
SNAPSHOT = "lockgate-feed"
TO_TIME = "2026-11-22T09:57:03Z"
PLACE = "--db-subnet-group-name private --vpc-security-group-ids sg-1 sg-2"
CLUSTER_PLACE = f"{PLACE} --db-cluster-parameter-group-name tuned16"
REGION = "--region eu-west-1"
SIZE = "--db-cluster-instance-class db.m6gd.large --storage-type io1 --iops 3000"
WAIT = f"aws rds wait db-cluster-available --db-cluster-identifier main-restored {REGION}"
ADD = (
    "aws rds create-db-instance --db-instance-identifier main-restored-1"
    " --db-cluster-identifier main-restored --engine aurora-postgresql"
    f" --db-instance-class db.r8g.large --no-publicly-accessible {REGION}"
)
FROM_CLUSTER_SNAPSHOT = (
    "aws rds restore-db-cluster-from-snapshot --db-cluster-identifier main-restored"
    f" --snapshot-identifier {SNAPSHOT}"
)
CLUSTER_TO_TIME = (
    "aws rds restore-db-cluster-to-point-in-time --source-db-cluster-identifier main"
    f" --db-cluster-identifier main-restored --restore-to-time {TO_TIME}"
)


def make(described: dict[str, Any]) -> RdsDatabase:
    """Return a database as RDS describes it."""
    is_cluster = "DBClusterIdentifier" in described
    kind = ResourceKind.CLUSTER if is_cluster else ResourceKind.INSTANCE
    return RdsDatabase(Resource(kind, "x"), described, client=None)


CASES = [
    pytest.param(
        AURORA,
        SNAPSHOT,
        (
            f"{FROM_CLUSTER_SNAPSHOT} --engine aurora-postgresql {CLUSTER_PLACE} {REGION}",
            WAIT,
            ADD,
        ),
        id="aurora from a snapshot",
    ),
    pytest.param(
        SERVERLESS,
        None,
        (
            f"{CLUSTER_TO_TIME} {CLUSTER_PLACE} --serverless-v2-scaling-configuration"
            " MinCapacity=0.5,MaxCapacity=16 --enable-iam-database-authentication " + REGION,
            WAIT,
            ADD,
        ),
        id="serverless to a point in time",
    ),
    pytest.param(
        MULTI_AZ,
        SNAPSHOT,
        (
            (
                f"{FROM_CLUSTER_SNAPSHOT} --engine postgres {CLUSTER_PLACE} {SIZE}"
                f" --no-publicly-accessible {REGION}"
            ),
        ),
        id="multi-az cluster from a snapshot",
    ),
    pytest.param(
        MULTI_AZ,
        None,
        (f"{CLUSTER_TO_TIME} {CLUSTER_PLACE} {SIZE} --no-publicly-accessible {REGION}",),
        id="multi-az cluster to a point in time",
    ),
    pytest.param(
        INSTANCE,
        SNAPSHOT,
        (
            (
                "aws rds restore-db-instance-from-db-snapshot --db-instance-identifier single-restored"
                f" --db-snapshot-identifier {SNAPSHOT} --db-instance-class db.t4g.micro {PLACE}"
                f" --db-parameter-group-name tuned16 --multi-az {REGION}"
            ),
        ),
        id="instance from a snapshot",
    ),
    pytest.param(
        {**INSTANCE, "MultiAZ": False, "PubliclyAccessible": False},
        None,
        (
            (
                "aws rds restore-db-instance-to-point-in-time --source-db-instance-identifier single"
                f" --target-db-instance-identifier single-restored --restore-time {TO_TIME}"
                f" --db-instance-class db.t4g.micro {PLACE} --db-parameter-group-name tuned16"
                f" --no-multi-az --no-publicly-accessible {REGION}"
            ),
        ),
        id="instance to a point in time",
    ),
]


@pytest.mark.parametrize(("described", "snapshot", "expected"), CASES)
def test_commands_restore_what_there_is(
    described: dict[str, Any], snapshot: str | None, expected: tuple[str, ...]
) -> None:
    """The commands keep network, parameters and size, and restore beside the original database."""
    assert expected == make_restore(make(described), snapshot, WRITER)


@pytest.mark.parametrize(("described", "snapshot", "expected"), CASES)
def test_commands_are_those_of_the_api(
    described: dict[str, Any], snapshot: str | None, expected: tuple[str, ...]
) -> None:
    """Every option is a parameter of the operation, and no required parameter is missing."""
    assert expected
    for command in make_restore(make(described), snapshot, WRITER):
        check(shlex.split(command))


@cache
def make_client() -> Any:
    """Return a client that is only used for its model."""
    return boto3.client("rds", region_name="eu-west-1")


def check(words: list[str]) -> None:
    """Check a command against the service model, from which the AWS CLI is generated."""
    client = make_client()
    model = client.meta.service_model
    assert ["aws", "rds"] == words[:2]
    if words[2] == "wait":
        assert words[3].replace("-", "_") in client.waiter_names
        words = ["aws", "rds", "describe-db-clusters", *words[4:]]
    names = {xform_name(name, "-"): name for name in model.operation_names}
    shape = model.operation_model(names[words[2]]).input_shape
    options = {f"--{xform_name(name, '-')}": member for name, member in shape.members.items()}
    flags = {name: member for name, member in options.items() if member.type_name == "boolean"}
    known = {"--region", *options, *(name.replace("--", "--no-", 1) for name in flags)}
    given = {word for word in words[3:] if word.startswith("--")}
    assert set() == given - known
    assert {f"--{xform_name(name, '-')}" for name in shape.required_members} <= given


def test_nothing_to_go_back_to_has_no_command() -> None:
    """Without automated backups and without a snapshot there is no command."""
    without = {key: value for key, value in INSTANCE.items() if key != "LatestRestorableTime"}
    assert () == make_restore(make(without), None)
    assert 1 == len(make_restore(make(without), SNAPSHOT))


def test_unknown_size_is_left_to_fill_in() -> None:
    """An unknown instance class becomes a placeholder, and the instance is never public by accident."""
    *_, add = make_restore(make(AURORA), SNAPSHOT, None)
    assert "--db-instance-class INSTANCE_CLASS --no-publicly-accessible" in add


def test_long_identifier_is_cut_to_what_rds_takes() -> None:
    """The identifier has at most 63 characters, without double or trailing hyphens."""
    described = {**AURORA, "DBClusterIdentifier": "a" * 49 + "-" + "b" * 13}
    *_, add = make_restore(make(described), SNAPSHOT, WRITER)
    assert f"--db-instance-identifier {'a' * 49}-restored-1 " in add


def test_odd_name_is_quoted() -> None:
    """Arguments are quoted for the shell."""
    (command,) = make_restore(make({**INSTANCE, "DBInstanceClass": "db; rm -r x"}), SNAPSHOT)
    assert "--db-instance-class 'db; rm -r x' " in command
