"""The SAM template: valid, with settings that exist and no permission that nobody has explained."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lockgate.settings import SETTINGS, read_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
TEMPLATE = ROOT / "template.yaml"

_REASON = "cfn-lint is not installed: it is in the extra `lint`"
cfnlint = pytest.importorskip("cfnlint.api", reason=_REASON)
cfn_yaml = pytest.importorskip("cfnlint.decode.cfn_yaml", reason=_REASON)

# What the function may do, and why. A permission that is not here is not given.
ALLOWED = {
    "sts:AssumeRole": "Lambda takes the role",
    "logs:CreateLogStream": "Lambda writes the log",
    "logs:PutLogEvents": "Lambda writes the log",
    "ec2:CreateNetworkInterface": "Lambda joins the VPC",
    "ec2:DescribeNetworkInterfaces": "Lambda joins the VPC",
    "ec2:DescribeSubnets": "Lambda joins the VPC",
    "ec2:DeleteNetworkInterface": "Lambda leaves the VPC",
    "ec2:AssignPrivateIpAddresses": "Lambda joins the VPC",
    "ec2:UnassignPrivateIpAddresses": "Lambda leaves the VPC",
    "secretsmanager:GetSecretValue": "the credentials",
    "secretsmanager:DescribeSecret": "the tags that lead to the database of an RDS secret",
    "kms:Decrypt": "a secret with a key of one's own",
    "rds:DescribeDBClusters": "the endpoint of a cluster",
    "rds:DescribeDBInstances": "the endpoint of an instance",
    "rds-db:connect": "signing in with IAM",
    "lambda:InvokeFunction": "going on in a further invocation",
}


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    """Give the template as a value; `!Ref X` is ``{"Ref": "X"}``."""
    return dict(cfn_yaml.load(str(TEMPLATE)))


@pytest.fixture(scope="module")
def function(template: dict[str, Any]) -> dict[str, Any]:
    """Give the function's properties."""
    properties: dict[str, Any] = template["Resources"]["Migrate"]["Properties"]
    return properties


def test_template_has_no_findings() -> None:
    """Cfn-lint, with every rule on, says nothing."""
    assert [str(match) for match in cfnlint.lint_file(TEMPLATE)] == []


@pytest.mark.skipif(shutil.which("sam") is None, reason="sam is not installed; cfn-lint has run")
def test_template_is_valid_for_sam() -> None:
    """SAM's own check agrees."""
    done = subprocess.run(
        ["sam", "validate", "--lint", "--template", str(TEMPLATE)],
        env={**os.environ, "SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": "eu-west-1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_variable_is_a_setting(function: dict[str, Any]) -> None:
    """A name that Lockgate does not know would make each run fail."""
    variables = function["Environment"]["Variables"]

    assert set(variables) <= {setting.name for setting in SETTINGS}


def test_defaults_are_settings_that_can_be_read(
    template: dict[str, Any], function: dict[str, Any]
) -> None:
    """A stack that names only its secret and its network has settings that work."""
    variables = function["Environment"]["Variables"]
    defaults = {
        name: template["Parameters"][value["Ref"]]["Default"]
        for name, value in variables.items()
        if "Ref" in value
    }

    assert read_settings(defaults).tls == "verify-full"


def test_every_allowed_value_is_one_that_the_setting_takes(
    template: dict[str, Any], function: dict[str, Any]
) -> None:
    """What the console offers, the function accepts."""
    checked = 0
    for name, value in function["Environment"]["Variables"].items():
        for choice in template["Parameters"].get(value.get("Ref"), {}).get("AllowedValues", ()):
            read_settings({name: choice})
            checked += 1

    assert checked == 3 + 3 + 3 + 2


def test_every_parameter_is_described_and_explains_its_pattern(template: dict[str, Any]) -> None:
    """A value that is refused is refused in words."""
    for name, parameter in template["Parameters"].items():
        assert parameter["Description"], name
        assert ("AllowedPattern" in parameter) == ("ConstraintDescription" in parameter), name


def test_every_permission_has_a_reason(template: dict[str, Any]) -> None:
    """The role may do what is needed, and nothing needed is listed that it may not do."""
    resources = template["Resources"]
    role = [resources[name]["Properties"] for name in ("MigrateRole", "MigrateContinues")]

    assert set(ALLOWED) == set(_list_allowed_actions(role))


def test_resource_changes_with_the_package_and_waits_for_two_retries(
    template: dict[str, Any], function: dict[str, Any]
) -> None:
    """CloudFormation asks for a run when there is new code, and hears of one that was killed."""
    resource = template["Resources"]["Migration"]["Properties"]
    retries = template["Resources"]["MigrateRetries"]["Properties"]
    attempts = 1 + retries["MaximumRetryAttempts"]
    longest = attempts * function["Timeout"] + 60 + 120

    assert resource["CodeVersion"] == {"Ref": "Migrate.Version"}
    assert resource["ServiceToken"] == {"Fn::GetAtt": ["Migrate", "Arn"]}
    assert longest <= resource["ServiceTimeout"] <= 3_600
    assert retries["MaximumEventAgeInSeconds"] == resource["ServiceTimeout"]


def _list_allowed_actions(value: Any) -> Iterator[str]:
    """Yield the actions of every Allow statement, however deep in conditions."""
    if isinstance(value, dict):
        if value.get("Effect") == "Allow":
            actions = value["Action"]
            yield from [actions] if isinstance(actions, str) else actions
        for item in value.values():
            yield from _list_allowed_actions(item)
    elif isinstance(value, list):
        for item in value:
            yield from _list_allowed_actions(item)
