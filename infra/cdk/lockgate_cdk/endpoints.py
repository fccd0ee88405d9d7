"""The way to AWS's services for a VPC without NAT. Knows which there are; makes them on request."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from aws_cdk import aws_ec2 as ec2

from lockgate_cdk.findings import ENDPOINT, accept_findings

if TYPE_CHECKING:
    from constructs import Construct, IConstruct


class Endpoint(Enum):
    """A service that the function calls, and what for."""

    SECRETS_MANAGER = "SecretsManager"
    """The secret."""
    S3 = "S3"
    """The answer to CloudFormation."""
    LAMBDA = "Lambda"
    """Going on with a run that does not fit into one invocation."""
    RDS = "Rds"
    """Finding the host, where neither secret nor ``host`` says it; backups before a change."""
    CODE_PIPELINE = "CodePipeline"
    """The answer to CodePipeline."""
    CODE_DEPLOY = "CodeDeploy"
    """The answer to CodeDeploy."""


_SERVICES = {
    Endpoint.SECRETS_MANAGER: ec2.InterfaceVpcEndpointAwsService.SECRETS_MANAGER,
    Endpoint.LAMBDA: ec2.InterfaceVpcEndpointAwsService.LAMBDA_,
    Endpoint.RDS: ec2.InterfaceVpcEndpointAwsService.RDS,
    Endpoint.CODE_PIPELINE: ec2.InterfaceVpcEndpointAwsService.CODEPIPELINE,
    Endpoint.CODE_DEPLOY: ec2.InterfaceVpcEndpointAwsService.CODEDEPLOY,
}


def make_endpoint(
    scope: Construct, endpoint: Endpoint, vpc: ec2.IVpc, subnets: ec2.SubnetSelection | None
) -> IConstruct:
    """Return a new endpoint of ``vpc``, reachable from all of it, as its private names demand.

    With private DNS every caller in the VPC is led to an interface endpoint, and every caller in the
    subnets to S3's; so neither keeps others out.
    """
    name = f"{endpoint.value}Endpoint"
    if endpoint is Endpoint.S3:
        return ec2.GatewayVpcEndpoint(
            scope,
            name,
            vpc=vpc,
            service=ec2.GatewayVpcEndpointAwsService.S3,
            subnets=None if subnets is None else [subnets],
        )
    made = ec2.InterfaceVpcEndpoint(
        scope, name, vpc=vpc, service=_SERVICES[endpoint], subnets=subnets
    )
    accept_findings(made, ENDPOINT)
    return made
