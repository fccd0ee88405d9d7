"""Makes endpoints of AWS services, for a VPC without NAT."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from aws_cdk import aws_ec2 as ec2

from lockgate_cdk.findings import ENDPOINT, accept_findings

if TYPE_CHECKING:
    from constructs import Construct, IConstruct


class Endpoint(Enum):
    """A service that the function calls."""

    SECRETS_MANAGER = "SecretsManager"
    """For the secret."""
    S3 = "S3"
    """For the answer to CloudFormation."""
    LAMBDA = "Lambda"
    """To continue a run that does not fit into one invocation."""
    RDS = "Rds"
    """To find the host if neither the secret nor ``host`` has it, and for backups before a change."""
    CODE_PIPELINE = "CodePipeline"
    """For the answer to CodePipeline."""
    CODE_DEPLOY = "CodeDeploy"
    """For the answer to CodeDeploy."""


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
    """Return a new endpoint of ``vpc`` that everything in it can use.

    Private DNS directs every caller in the VPC to an interface endpoint, and routes direct every caller
    in the subnets to S3's. So an endpoint must not exclude other callers.
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
