"""The roles' permissions are the calls that the code makes: none is missing, none is left over."""

from __future__ import annotations

from tests.support.permissions import (
    SNAPSHOTS,
    list_allowed_actions,
    list_calls,
    list_dynamic_calls,
    list_traces,
)

# What no code of ours calls, and who does in its place.
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

# Where the name of a call is computed, and how it is found all the same.
COMPUTED = {
    SNAPSHOTS: "put together here as it is there",
    "awslambda/callers/codepipeline_caller.py": "whole in a text of callers/codepipeline_answer.py",
}


def test_template_allows_what_is_called_and_nothing_else() -> None:
    """Every call of the code has its permission, and every permission its call or its reason."""
    needed, given = {*list_calls(), *BY_OTHERS}, list_allowed_actions()

    assert {"missing": set(), "left over": set()} == {
        "missing": needed - given,
        "left over": given - needed,
    }


def test_no_permission_of_others_is_one_that_the_code_calls() -> None:
    """The list of exceptions holds exceptions only."""
    assert set() == set(BY_OTHERS) & set(list_calls())


def test_every_permission_is_traced_to_the_module_that_calls() -> None:
    """The comment above a permission names a module in which the call stands."""
    calls = list_calls()
    lost = [
        (line, action)
        for line, action, named in list_traces()
        if action in calls and not named & calls[action]
    ]

    assert [] == lost


def test_calls_of_clients_can_be_read_off_the_source() -> None:
    """A call by a computed name is made only where the reader of the source knows the names."""
    assert set() == set(list_dynamic_calls()) - set(COMPUTED)


def test_reader_of_the_source_finds_calls_of_each_kind() -> None:
    """Plain, renamed, offline and put together: one of each is found where it stands."""
    calls = list_calls()

    assert {"aws/secrets.py"} == calls["secretsmanager:GetSecretValue"]
    assert {"aws/continuation.py"} <= calls["lambda:InvokeFunction"]
    assert {"aws/secret_source.py"} == calls["rds-db:connect"]
    assert {SNAPSHOTS} == calls["rds:DeleteDBSnapshot"]
