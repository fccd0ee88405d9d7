"""Makes the functions' policies, the same as in template.yaml, statement by statement.

A test compares the two. The comments in template.yaml say why each permission is needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aws_cdk import Aws
from aws_cdk import aws_iam as iam

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True, slots=True)
class Access:
    """How the functions reach the database, as ARNs; ``finds_host`` if no host is given."""

    secret_arn: str | None
    secret_key_arn: str | None
    iam_database_user_arn: str | None
    finds_host: bool


def list_reach_statements(access: Access) -> list[iam.PolicyStatement]:
    """Return the statements to use the network, find the database and sign in to it."""
    return [iam.PolicyStatement.from_json(value) for value in _list_reach(access)]


def list_backup_statements(*, takes_snapshots: bool) -> list[iam.PolicyStatement]:
    """Return the statements to find or create a backup."""
    return [
        iam.PolicyStatement.from_json(value)
        for value in _list_backup(takes_snapshots=takes_snapshots)
    ]


def make_answer_policies(*, codepipeline: bool, codedeploy: bool) -> dict[str, iam.PolicyDocument]:
    """Return the policies for answering CodePipeline and CodeDeploy, by their names."""
    wanted = {"answer-codepipeline": codepipeline, "answer-codedeploy": codedeploy}
    return {
        name: iam.PolicyDocument(statements=[iam.PolicyStatement.from_json(_ANSWERS[name])])
        for name, is_wanted in wanted.items()
        if is_wanted
    }


def _list_reach(access: Access) -> Iterator[dict[str, Any]]:
    yield _allow(
        [
            "ec2:CreateNetworkInterface",
            "ec2:DescribeNetworkInterfaces",
            "ec2:DescribeSubnets",
            "ec2:DeleteNetworkInterface",
            "ec2:AssignPrivateIpAddresses",
            "ec2:UnassignPrivateIpAddresses",
        ],
        ["*"],
    )
    yield {
        "Effect": "Deny",
        "Action": "ec2:*",
        "Resource": "*",
        "Condition": {"ArnLike": {"lambda:SourceFunctionArn": _arn("lambda", "function:*")}},
    }
    if access.secret_arn is not None:
        yield _allow(
            ["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"],
            [access.secret_arn],
        )
    if access.secret_key_arn is not None:
        service = f"secretsmanager.{Aws.REGION}.{Aws.URL_SUFFIX}"
        yield _allow(["kms:Decrypt"], [access.secret_key_arn]) | {
            "Condition": {"StringEquals": {"kms:ViaService": service}}
        }
    if access.finds_host:
        yield _allow(
            ["rds:DescribeDBClusters", "rds:DescribeDBInstances"],
            [_arn("rds", "cluster:*"), _arn("rds", "db:*")],
        )
    if access.iam_database_user_arn is not None:
        yield _allow(["rds-db:connect"], [access.iam_database_user_arn])


def _list_backup(*, takes_snapshots: bool) -> Iterator[dict[str, Any]]:
    yield _allow(
        [
            "rds:DescribeDBClusters",
            "rds:DescribeDBInstances",
            "rds:DescribeDBClusterEndpoints",
            "rds:DescribeDBProxies",
            "rds:DescribeDBProxyEndpoints",
            "rds:DescribeDBProxyTargets",
            "rds:DescribeBlueGreenDeployments",
        ],
        [_arn("rds", "*")],
    )
    if not takes_snapshots:
        return
    snapshots = [_arn("rds", "cluster-snapshot:lockgate-*"), _arn("rds", "snapshot:lockgate-*")]
    yield _allow(
        ["rds:DescribeDBClusterSnapshots", "rds:DescribeDBSnapshots"],
        [_arn("rds", "*")],
    )
    yield _allow(
        ["rds:CreateDBClusterSnapshot", "rds:CreateDBSnapshot"],
        [_arn("rds", "cluster:*"), snapshots[0], _arn("rds", "db:*"), snapshots[1]],
    )
    yield _allow(["rds:AddTagsToResource"], snapshots)
    yield _allow(["rds:DeleteDBClusterSnapshot", "rds:DeleteDBSnapshot"], snapshots) | {
        "Condition": {"Null": {"aws:ResourceTag/lockgate:run": "false"}}
    }


def _allow(actions: Sequence[str], resources: Sequence[str]) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": list(actions), "Resource": list(resources)}


def _arn(service: str, resource: str) -> str:
    return f"arn:{Aws.PARTITION}:{service}:{Aws.REGION}:{Aws.ACCOUNT_ID}:{resource}"


_ANSWERS = {
    "answer-codepipeline": _allow(
        ["codepipeline:PutJobSuccessResult", "codepipeline:PutJobFailureResult"], ["*"]
    ),
    "answer-codedeploy": _allow(
        ["codedeploy:PutLifecycleEventHookExecutionStatus"],
        [_arn("codedeploy", "deploymentgroup:*")],
    ),
}
