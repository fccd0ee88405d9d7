"""Writes the AWS CLI commands that restore a database from its backup.

RDS does not restore in place: the restored database is a new one next to the old one. The commands
give it the old one's network, parameters and size, which would otherwise be the account's defaults.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from lockgate.aws.call import region_of
from lockgate.aws.endpoints import ResourceKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lockgate.aws.rds import RdsDatabase

# The placeholder in a command for a size that could not be read.
UNKNOWN_CLASS = "INSTANCE_CLASS"

# An identifier has at most 63 characters, and ours gets a suffix.
_LONGEST_NAME = 50


def make_restore(
    database: RdsDatabase, snapshot: str | None, writer: Any = None
) -> tuple[str, ...]:
    """Return the commands, in order; none if there is nothing to restore from.

    ``snapshot`` is the identifier of one, ``None`` to restore to the restorable time.
    ``writer`` is the description of an Aurora cluster's writer, ``None`` if it is not known.
    """
    if snapshot is None and database.restorable_time is None:
        return ()
    if database.resource.kind is ResourceKind.INSTANCE:
        return (_command(database, _restore_instance(database, snapshot)),)
    restored = (_command(database, _restore_cluster(database, snapshot)),)
    if not database.is_aurora:
        return restored
    return (
        *restored,
        _command(database, _wait_for_cluster(database)),
        _command(database, _add_instance(database, writer or {})),
    )


def _command(database: RdsDatabase, words: Iterator[str]) -> str:
    region = region_of(database.arn)
    return shlex.join(["aws", "rds", *words, *(["--region", region] if region else [])])


def _restore_instance(database: RdsDatabase, snapshot: str | None) -> Iterator[str]:
    described, new = database.description, _name_restored(database)
    if snapshot is not None:
        yield "restore-db-instance-from-db-snapshot"
        yield from ("--db-instance-identifier", new, "--db-snapshot-identifier", snapshot)
    else:
        yield "restore-db-instance-to-point-in-time"
        yield from ("--source-db-instance-identifier", described["DBInstanceIdentifier"])
        yield from ("--target-db-instance-identifier", new)
        yield from ("--restore-time", _time_of(database))
    yield from _option("--db-instance-class", described.get("DBInstanceClass"))
    group = described.get("DBSubnetGroup") or {}
    yield from _option("--db-subnet-group-name", group.get("DBSubnetGroupName"))
    yield from _security_groups(described)
    parameters = described.get("DBParameterGroups") or [{}]
    yield from _option("--db-parameter-group-name", parameters[0].get("DBParameterGroupName"))
    yield "--multi-az" if described.get("MultiAZ") else "--no-multi-az"
    yield from _privacy(described)
    yield from _iam(described)


def _restore_cluster(database: RdsDatabase, snapshot: str | None) -> Iterator[str]:
    described, new = database.description, _name_restored(database)
    if snapshot is not None:
        yield "restore-db-cluster-from-snapshot"
        yield from ("--db-cluster-identifier", new, "--snapshot-identifier", snapshot)
        yield from ("--engine", described["Engine"])
    else:
        yield "restore-db-cluster-to-point-in-time"
        yield from ("--source-db-cluster-identifier", described["DBClusterIdentifier"])
        yield from ("--db-cluster-identifier", new, "--restore-to-time", _time_of(database))
    yield from _option("--db-subnet-group-name", described.get("DBSubnetGroup"))
    yield from _security_groups(described)
    yield from _option(
        "--db-cluster-parameter-group-name", described.get("DBClusterParameterGroup")
    )
    if database.is_aurora:
        yield from _serverless(described)
    else:
        # A Multi-AZ cluster has its own size; an Aurora cluster rejects these.
        yield from _option("--db-cluster-instance-class", described.get("DBClusterInstanceClass"))
        yield from _option("--storage-type", described.get("StorageType"))
        yield from _option("--iops", described.get("Iops"))
        yield from _privacy(described)
    yield from _iam(described)


def _wait_for_cluster(database: RdsDatabase) -> Iterator[str]:
    yield from ("wait", "db-cluster-available")
    yield from ("--db-cluster-identifier", _name_restored(database))


def _add_instance(database: RdsDatabase, writer: Any) -> Iterator[str]:
    new = _name_restored(database)
    yield "create-db-instance"
    yield from ("--db-instance-identifier", f"{new}-1", "--db-cluster-identifier", new)
    yield from ("--engine", database.description["Engine"])
    yield from ("--db-instance-class", writer.get("DBInstanceClass") or UNKNOWN_CLASS)
    yield from _privacy(writer)


def _name_restored(database: RdsDatabase) -> str:
    identifier = str(database.description[f"{database.prefix}Identifier"])
    return f"{identifier[:_LONGEST_NAME].rstrip('-')}-restored"


def _time_of(database: RdsDatabase) -> str:
    time = database.restorable_time
    assert time is not None
    return time.isoformat(timespec="seconds").replace("+00:00", "Z")


def _option(name: str, value: Any) -> tuple[str, ...]:
    return () if value is None or value == "" else (name, str(value))


def _security_groups(described: Any) -> Iterator[str]:
    groups = [group["VpcSecurityGroupId"] for group in described.get("VpcSecurityGroups") or []]
    if groups:
        yield from ("--vpc-security-group-ids", *groups)


def _serverless(described: Any) -> tuple[str, ...]:
    scaling = described.get("ServerlessV2ScalingConfiguration")
    if not scaling:
        return ()
    limits = ",".join(
        f"{key}={scaling[key]:g}" for key in ("MinCapacity", "MaxCapacity") if key in scaling
    )
    return ("--serverless-v2-scaling-configuration", limits)


def _privacy(described: Any) -> tuple[str, ...]:
    return () if described.get("PubliclyAccessible") else ("--no-publicly-accessible",)


def _iam(described: Any) -> tuple[str, ...]:
    is_on = described.get("IAMDatabaseAuthenticationEnabled")
    return ("--enable-iam-database-authentication",) if is_on else ()
