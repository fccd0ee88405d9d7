"""Makes the custom resources that call the function, and its permission to continue a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aws_cdk as cdk
from aws_cdk import aws_iam as iam

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aws_cdk import aws_lambda as lambda_
    from constructs import Construct

_MIGRATION_TYPE = "Custom::LockgateMigration"
# The function answers this type without connecting to the database.
_CHECK_TYPE = "Custom::LockgateCheck"
_CHECK_TIMEOUT = cdk.Duration.minutes(2)


def make_check(scope: Construct, function: lambda_.IFunction) -> cdk.CustomResource:
    """Return a resource that only asks ``function`` for an answer.

    If the function cannot reach S3, the first deploy fails here after two minutes. The migration would
    fail only after its own timeout.
    """
    return cdk.CustomResource(
        scope,
        "CanAnswer",
        resource_type=_CHECK_TYPE,
        service_token=function.function_arn,
        service_timeout=_CHECK_TIMEOUT,
    )


def make_migration(
    scope: Construct,
    function: lambda_.IFunction,
    timeout: cdk.Duration,
    properties: Mapping[str, str | int | None],
) -> cdk.CustomResource:
    """Return a resource for which CloudFormation calls ``function`` when a property changes.

    It calls the function directly: the CDK's Provider framework allows only 14 minutes, and writes the
    signed URL of the answer into the history of a state machine.
    """
    return cdk.CustomResource(
        scope,
        "Migration",
        resource_type=_MIGRATION_TYPE,
        service_token=function.function_arn,
        service_timeout=timeout,
        properties={name: value for name, value in properties.items() if value is not None},
    )


def let_continue(scope: Construct, function: lambda_.Function) -> iam.Policy:
    """Let a function invoke itself, in a separate policy because the function needs its role first."""
    role = function.role
    assert role is not None
    statement = iam.PolicyStatement(
        actions=["lambda:InvokeFunction"], resources=[function.function_arn]
    )
    return iam.Policy(scope, "MigrateContinues", roles=[role], statements=[statement])
