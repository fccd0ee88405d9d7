"""The SAM template: valid, with settings that exist and no permission that nobody has explained."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lockgate.callers import cloudformation, direct
from lockgate.core.request import OPERATOR_ACTIONS, Action
from lockgate.errors import RequestInvalid
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
    "rds:DescribeDBClusters": "the endpoint of a cluster, and to which time it can be restored",
    "rds:DescribeDBInstances": "the same of an instance",
    "rds:DescribeDBClusterEndpoints": "the cluster behind a custom endpoint",
    "rds:DescribeDBProxies": "the database behind a proxy",
    "rds:DescribeDBProxyEndpoints": "the database behind a proxy",
    "rds:DescribeDBProxyTargets": "the database behind a proxy",
    "rds:DescribeBlueGreenDeployments": "no change that a switchover would lose",
    "rds:DescribeDBClusterSnapshots": "waiting for a snapshot of a cluster",
    "rds:DescribeDBSnapshots": "waiting for a snapshot of an instance",
    "rds:CreateDBClusterSnapshot": "a snapshot before a change",
    "rds:CreateDBSnapshot": "a snapshot before a change",
    "rds:AddTagsToResource": "the tags by which a snapshot is found again",
    "rds:DeleteDBClusterSnapshot": "pruning to the newest",
    "rds:DeleteDBSnapshot": "pruning to the newest",
    "rds-db:connect": "signing in with IAM",
    "lambda:InvokeFunction": "going on in a further invocation",
}


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    """Give the template as a value; `!Ref X` is ``{"Ref": "X"}``."""
    return dict(cfn_yaml.load(str(TEMPLATE)))


def read_function(template: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a function's properties, those of all functions included."""
    common: dict[str, Any] = template["Globals"]["Function"]
    own: dict[str, Any] = template["Resources"][name]["Properties"]
    variables = common["Environment"]["Variables"] | own["Environment"]["Variables"]
    return common | own | {"Environment": {"Variables": variables}}


@pytest.fixture(scope="module")
def function(template: dict[str, Any]) -> dict[str, Any]:
    """Give the properties of the function that deploys."""
    return read_function(template, "Migrate")


@pytest.fixture(scope="module")
def operate(template: dict[str, Any]) -> dict[str, Any]:
    """Give the properties of the function for operators."""
    return read_function(template, "Operate")


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

    assert checked == 3 + 3 + 3 + 3 + 2 + 2 + 4


def test_every_parameter_is_described_and_explains_its_pattern(template: dict[str, Any]) -> None:
    """A value that is refused is refused in words."""
    for name, parameter in template["Parameters"].items():
        assert parameter["Description"], name
        assert ("AllowedPattern" in parameter) == ("ConstraintDescription" in parameter), name


def test_every_permission_has_a_reason(template: dict[str, Any]) -> None:
    """The role may do what is needed, and nothing needed is listed that it may not do."""
    resources = template["Resources"]
    names = ("MigrateRole", "MigrateContinues", "OperateRole", "ReachDatabase", "BackUp")
    role = [resources[name]["Properties"] for name in names]

    assert set(ALLOWED) == set(_list_allowed_actions(role))


def test_backups_page_lists_the_permissions_of_its_policy(template: dict[str, Any]) -> None:
    """Whoever writes a role by hand finds every right there is."""
    page = (ROOT / "docs/backups.md").read_text("utf-8").partition("\n## Permissions\n")[2]
    listed = {word for word in re.findall(r"`(\w+:\w+)`", page) if word.startswith("rds:")}

    assert set(_list_allowed_actions(template["Resources"]["BackUp"])) == listed


def test_nothing_may_be_written_unless_snapshots_are_asked_for(template: dict[str, Any]) -> None:
    """To record takes rights to look alone, to do without backups none."""
    policy = template["Resources"]["BackUp"]
    looking, *others = policy["Properties"]["PolicyDocument"]["Statement"]

    assert policy["Condition"] == "BacksUp"
    assert {"TakesSnapshots"} == {statement["Fn::If"][0] for statement in others}
    assert all(action.startswith("rds:Describe") for action in _list_allowed_actions(looking))


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


# The two functions.


def test_functions_share_the_package_and_differ_in_what_they_may_do(
    function: dict[str, Any], operate: dict[str, Any]
) -> None:
    """One artifact and one network; each has actions, a role and a log of its own."""
    different = {key for key in function | operate if function.get(key) != operate.get(key)}
    expected = {"AutoPublishAlias", "Description", "Environment", "LoggingConfig", "Role"}
    settings = [each["Environment"]["Variables"] for each in (function, operate)]

    assert expected | {"ReservedConcurrentExecutions"} == different
    assert {"LOCKGATE_ALLOWED_ACTIONS"} == {
        key for key in settings[0] if settings[0][key] != settings[1][key]
    }


def test_functions_together_may_do_everything_and_share_only_looking(
    function: dict[str, Any], operate: dict[str, Any]
) -> None:
    """No action of an operator's is the deploy's, and none is nobody's."""
    assert (
        "AllowedActions" == function["Environment"]["Variables"]["LOCKGATE_ALLOWED_ACTIONS"]["Ref"]
    )
    deploys = set(read_settings({}).allowed_actions)
    operates = set(operate["Environment"]["Variables"]["LOCKGATE_ALLOWED_ACTIONS"].split(","))

    assert set(Action) == deploys | operates
    assert {"status", "plan", "history"} == deploys & operates
    assert operates >= OPERATOR_ACTIONS


def test_operate_refuses_what_deploys(operate: dict[str, Any]) -> None:
    """Neither a stack nor an empty event makes it migrate."""
    allowed = operate["Environment"]["Variables"]["LOCKGATE_ALLOWED_ACTIONS"]
    settings = read_settings({"LOCKGATE_ALLOWED_ACTIONS": allowed})
    event = json.loads((ROOT / "tests/events/cloudformation_create.json").read_text("utf-8"))
    envelope = cloudformation.read_envelope(event)

    with pytest.raises(RequestInvalid, match='The action "up" is not allowed on this function'):
        direct.read_request({}, settings)
    with pytest.raises(RequestInvalid, match='The action "up" is not allowed on this function'):
        cloudformation.read_request(envelope, settings)


def test_operate_is_not_repeated_and_may_be_left_out(template: dict[str, Any]) -> None:
    """A down that failed is not tried again unseen; all that Operate has is under one condition."""
    resources, outputs = template["Resources"], template["Outputs"]
    names = {name for name in resources if name.startswith("Operate")}

    assert resources["OperateRetries"]["Properties"]["MaximumRetryAttempts"] == 0
    assert names == {"Operate", "OperateLogs", "OperateRetries", "OperateRole"}
    for part in [*(resources[name] for name in names), outputs["OperateFunctionArn"]]:
        assert part["Condition"] == "HasOperate"


def test_every_built_function_has_its_target(template: dict[str, Any]) -> None:
    """`sam build` asks infra/Makefile for a target by the name of each function."""
    made = (ROOT / "infra/Makefile").read_text("utf-8")
    functions = [
        name
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function"
    ]

    assert functions == ["Migrate", "Operate"]
    assert f"\n{' '.join(f'build-{name}' for name in functions)}:\n" in made


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
