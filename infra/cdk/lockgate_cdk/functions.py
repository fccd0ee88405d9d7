"""Makes the functions Migrate and Operate, each with its role and its log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs

from lockgate_cdk.findings import ANSWERS, FUNCTION, accept_findings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aws_cdk import aws_ec2 as ec2
    from aws_cdk import aws_kms as kms
    from constructs import Construct


@dataclass(frozen=True, slots=True)
class Shared:
    """The parts that both functions share: package, network, settings and permissions."""

    code: lambda_.Code
    architecture: lambda_.Architecture
    memory_size: int
    vpc: ec2.IVpc
    subnets: ec2.SubnetSelection | None
    security_groups: Sequence[ec2.ISecurityGroup]
    environment: Mapping[str, str]
    policies: Sequence[iam.IManagedPolicy]
    log_retention: logs.RetentionDays
    key: kms.IKey | None


@dataclass(frozen=True, slots=True)
class Duty:
    """The differences of one function: its name, its actions, and the retries of its events."""

    name: str
    description: str
    role_description: str
    actions: str | None
    retry_attempts: int
    max_event_age: Duration


# Keep the two retries: Lambda repeats a killed invocation, which takes over the lock, resumes, and still
# answers CloudFormation. CloudFormation waits at most an hour.
MIGRATE = Duty(
    "Migrate",
    description="Applies this package's migrations to the database.",
    role_description="Permissions of the function for deploys.",
    actions=None,
    retry_attempts=2,
    max_event_age=Duration.hours(1),
)
# Lambda does not repeat an operator's command without the operator's knowledge.
OPERATE = Duty(
    "Operate",
    description="For operators: down, repair, baseline, adopt and unlock.",
    role_description="Permissions of the function for operators.",
    actions="status,plan,history,down,repair,baseline,adopt,unlock",
    retry_attempts=0,
    # Lambda needs minutes to activate an idle function. The event must not expire before that.
    max_event_age=Duration.minutes(10),
)


def make_function(
    scope: Construct,
    shared: Shared,
    duty: Duty,
    *,
    reserved_concurrency: int | None = None,
    on_failure: lambda_.IDestination | None = None,
    answer_policies: Mapping[str, iam.PolicyDocument] | None = None,
) -> tuple[lambda_.Function, logs.LogGroup]:
    """Return a new function and its log, which is kept when a first deploy is rolled back."""
    log_group = logs.LogGroup(
        scope,
        f"{duty.name}Logs",
        retention=shared.log_retention,
        encryption_key=shared.key,
        removal_policy=RemovalPolicy.RETAIN,
    )
    role = _make_role(scope, shared, duty, log_group, answer_policies or {})
    actions = {} if duty.actions is None else {"LOCKGATE_ALLOWED_ACTIONS": duty.actions}
    function = lambda_.Function(
        scope,
        duty.name,
        description=duty.description,
        runtime=lambda_.Runtime.PYTHON_3_13,
        architecture=shared.architecture,
        handler="lockgate.entry.lambda_handler",
        code=shared.code,
        timeout=Duration.minutes(15),
        memory_size=shared.memory_size,
        reserved_concurrent_executions=reserved_concurrency,
        role=role,
        vpc=shared.vpc,
        vpc_subnets=shared.subnets,
        security_groups=shared.security_groups,
        environment={**shared.environment, **actions},
        environment_encryption=shared.key,
        log_group=log_group,
        logging_format=lambda_.LoggingFormat.JSON,
        retry_attempts=duty.retry_attempts,
        max_event_age=duty.max_event_age,
        on_failure=on_failure,
    )
    accept_findings(function, FUNCTION)
    return function, log_group


def _make_role(
    scope: Construct,
    shared: Shared,
    duty: Duty,
    log_group: logs.ILogGroup,
    answer_policies: Mapping[str, iam.PolicyDocument],
) -> iam.Role:
    write_log = iam.PolicyStatement(
        actions=["logs:CreateLogStream", "logs:PutLogEvents"], resources=[log_group.log_group_arn]
    )
    role = iam.Role(
        scope,
        f"{duty.name}Role",
        description=duty.role_description,
        assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
        managed_policies=list(shared.policies),
        inline_policies={
            "write-log": iam.PolicyDocument(statements=[write_log]),
            **answer_policies,
        },
    )
    for name in answer_policies:
        accept_findings(role, ANSWERS[name])
    return role
