"""CDK stacks for tests: a network, a database, the construct. Importing it requires the CDK.

The package is not built: a template contains only its digest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_rds as rds
from aws_cdk.assertions import Template
from tests.support.flat_template import flatten

from lockgate_cdk import DatabaseMigrations

if TYPE_CHECKING:
    from pathlib import Path

# The construct's name in its stack, and the prefix of its logical ids.
NAME = "Migrations"
_OWN = re.compile(rf"{NAME}(\w+?)[0-9A-F]{{8}}")
WITHOUT_BUNDLING: dict[str, list[str]] = {"aws:cdk:bundling-stacks": []}


@dataclass(frozen=True, slots=True)
class Shop:
    """A stack with a network and an Aurora cluster, to which a construct can be added."""

    app: cdk.App
    stack: cdk.Stack
    vpc: ec2.Vpc
    cluster: rds.DatabaseCluster


def make_app(**options: Any) -> cdk.App:
    """Return a new app that does not build assets."""
    return cdk.App(context=WITHOUT_BUNDLING, **options)


def make_vpc(stack: cdk.Stack) -> ec2.Vpc:
    """Return a network without NAT, in two zones."""
    subnets = ec2.SubnetConfiguration(name="private", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED)
    return ec2.Vpc(stack, "Network", max_azs=2, subnet_configuration=[subnets])


def make_cluster(
    stack: cdk.Stack,
    vpc: ec2.IVpc,
    name: str = "Database",
    subnets: ec2.SubnetType = ec2.SubnetType.PRIVATE_ISOLATED,
) -> rds.DatabaseCluster:
    """Return an Aurora cluster with a writer instance and a secret."""
    version = rds.AuroraPostgresEngineVersion.VER_16_8
    return rds.DatabaseCluster(
        stack,
        name,
        engine=rds.DatabaseClusterEngine.aurora_postgres(version=version),
        writer=rds.ClusterInstance.serverless_v2("Writer"),
        vpc=vpc,
        vpc_subnets=ec2.SubnetSelection(subnet_type=subnets),
    )


def make_shop(**options: Any) -> Shop:
    """Return a stack without a construct."""
    app = make_app(**options)
    stack = cdk.Stack(app, "Shop")
    vpc = make_vpc(stack)
    return Shop(app, stack, vpc, make_cluster(stack, vpc))


def synthesise(stack: cdk.Stack, known: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return a stack's resources without references, with short names for the construct's."""
    resources = Template.from_stack(stack).to_json()["Resources"]
    return {
        shorten(name): {
            **flatten(resource, known or {}, shorten),
            "DependsOn": sorted(shorten(other) for other in resource.get("DependsOn", ())),
        }
        for name, resource in resources.items()
    }


def shorten(name: str) -> str:
    """Return a construct's short name for a resource: Migrate for MigrationsMigrate1A2B3C4D."""
    found = _OWN.fullmatch(name)
    return name if found is None else found[1]


def migrate(migrations: Path, **arguments: Any) -> dict[str, Any]:
    """Return the resources of a stack with a cluster and a construct with these ``arguments``."""
    shop = make_shop()
    given = {"vpc": shop.vpc, "cluster": shop.cluster, "migrations": migrations, **arguments}
    DatabaseMigrations(shop.stack, NAME, **given)
    return synthesise(shop.stack)
