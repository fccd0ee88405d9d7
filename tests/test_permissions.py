"""The roles' permissions are exactly the calls that the code makes."""

from __future__ import annotations

from tests.support.permissions import (
    SNAPSHOTS,
    list_allowed_actions,
    list_calls,
    list_dynamic_calls,
    list_traces,
)

# Permissions that Lockgate's code does not use, and who uses them.
BY_OTHERS = {
    "sts:AssumeRole": "Lambda takes the role",
    "logs:CreateLogStream": "Lambda writes the log",
    "logs:PutLogEvents": "Lambda writes the log",
    "ec2:CreateNetworkInterface": "Lambda joins the VPC",
    "ec2:DescribeNetworkInterfaces": "Lambda joins the VPC",
    "ec2:DescribeSubnets": "Lambda joins the VPC",
    "ec2:DeleteNetworkInterface": "Lambda leaves the VPC",
    "ec2:AssignPrivateIpAddresses": "Lambda joins the VPC",
    "ec2:UnassignPrivateIpAddresses": "Lambda leaves the VPC",
    "sqs:SendMessage": "Lambda sends an event that it gave up",
    "sns:Publish": "Lambda sends an event that it gave up",
    "kms:GenerateDataKey": "SQS or SNS encrypts that event in the role's name",
    "kms:Decrypt": "Secrets Manager decrypts a secret, and SQS or SNS an event, in the role's name",
    "rds:AddTagsToResource": "RDS asks for it where a snapshot is created with tags",
}

# Modules with a computed call name, and how the call is found.
COMPUTED = {
    SNAPSHOTS: "put together here as it is there",
    "awslambda/callers/codepipeline_caller.py": "whole in a text of callers/codepipeline_answer.py",
}


def test_template_allows_what_is_called_and_nothing_else() -> None:
    """Every call has its permission, and every permission has its call or its reason."""
    needed, given = {*list_calls(), *BY_OTHERS}, list_allowed_actions()

    assert {"missing": set(), "left over": set()} == {
        "missing": needed - given,
        "left over": given - needed,
    }


def test_permissions_of_other_functions_are_not_called_by_the_code() -> None:
    """The list of exceptions contains no permission that the code uses."""
    assert set() == set(BY_OTHERS) & set(list_calls())


def test_every_permission_is_traced_to_the_module_that_calls() -> None:
    """The comment above a permission names a module that makes the call."""
    calls = list_calls()
    lost = [
        (line, action)
        for line, action, named in list_traces()
        if action in calls and not named & calls[action]
    ]

    assert [] == lost


def test_calls_of_clients_can_be_read_off_the_source() -> None:
    """Client calls have computed names only in known modules."""
    assert set() == set(list_dynamic_calls()) - set(COMPUTED)


def test_reader_of_the_source_finds_calls_of_each_kind() -> None:
    """Plain, renamed, offline and composed calls are found in their modules."""
    calls = list_calls()

    assert {"aws/secrets.py"} == calls["secretsmanager:GetSecretValue"]
    assert {"aws/continuation.py"} <= calls["lambda:InvokeFunction"]
    assert {"aws/secret_source.py"} == calls["rds-db:connect"]
    assert {SNAPSHOTS} == calls["rds:DeleteDBSnapshot"]
