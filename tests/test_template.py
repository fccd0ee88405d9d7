"""The SAM template: valid, with existing settings, and complete for every choice of parameters."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.cfn_template import (
    PSEUDO_PARAMETERS,
    read_template,
    resolve,
    substitute,
)
from tests.support.permissions import find_actions
from tests.support.reach import must_reach, reached

from lockgate import __version__
from lockgate.awslambda.callers import cloudformation, direct
from lockgate.core.request import OPERATOR_ACTIONS, Action
from lockgate.errors import RequestInvalid
from lockgate.settings import SETTINGS, read_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[1]
TEMPLATE = ROOT / "template.yaml"


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    """Give the template as a value; `!Ref X` is ``{"Ref": "X"}``."""
    return read_template(TEMPLATE)


def read_function(template: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a function's properties, including those of all functions."""
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
    """Cfn-lint reports nothing with every rule enabled."""
    cfnlint = pytest.importorskip("cfnlint.api", reason="cfn-lint is in the extra `lint`")

    assert [str(match) for match in cfnlint.lint_file(TEMPLATE)] == []


@pytest.mark.skipif(shutil.which("sam") is None, reason="sam is not installed; cfn-lint has run")
def test_template_is_valid_for_sam() -> None:
    """SAM's own check succeeds."""
    done = subprocess.run(
        ["sam", "validate", "--lint", "--template", str(TEMPLATE)],
        env={**os.environ, "SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": "eu-west-1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_variable_is_a_setting(function: dict[str, Any]) -> None:
    """Every variable of the function is a setting: an unknown one would refuse each run."""
    variables = function["Environment"]["Variables"]

    assert set(variables) <= {setting.name for setting in SETTINGS}


def test_defaults_are_settings_that_can_be_read(
    template: dict[str, Any], function: dict[str, Any]
) -> None:
    """The defaults of the parameters are valid settings."""
    variables = function["Environment"]["Variables"]
    defaults = {
        name: template["Parameters"][value["Ref"]]["Default"]
        for name, value in variables.items()
        if "Ref" in value
    }

    assert read_settings(defaults).tls == "verify-full"


def test_every_allowed_value_is_accepted_by_the_setting(
    template: dict[str, Any], function: dict[str, Any]
) -> None:
    """Every value that a parameter allows is accepted by its setting."""
    checked = 0
    for name, value in function["Environment"]["Variables"].items():
        for choice in template["Parameters"].get(value.get("Ref"), {}).get("AllowedValues", ()):
            read_settings({name: choice})
            checked += 1

    assert checked == 3 + 3 + 3 + 3 + 2 + 2 + 4


def test_every_parameter_is_in_one_group(template: dict[str, Any]) -> None:
    """Every parameter is in exactly one group of the console."""
    groups = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    grouped = [name for group in groups for name in group["Parameters"]]

    assert sorted(template["Parameters"]) == sorted(grouped)


def test_application_has_the_version_of_the_package(template: dict[str, Any]) -> None:
    """The Serverless Application Repository shows this release, its licence and its readme."""
    shown = template["Metadata"]["AWS::ServerlessRepo::Application"]

    assert __version__ == shown["SemanticVersion"]
    assert all((ROOT / shown[name]).is_file() for name in ("LicenseUrl", "ReadmeUrl"))


def test_application_is_described_as_the_repository_demands(template: dict[str, Any]) -> None:
    """Names, labels and lengths conform to the repository's API."""
    shown = template["Metadata"]["AWS::ServerlessRepo::Application"]

    assert re.fullmatch(r"[a-zA-Z0-9-]{1,140}", shown["Name"])
    assert re.fullmatch(r"[a-z0-9](?:(?:[a-z0-9]|-(?!-)){0,125}[a-z0-9])?", shown["Author"])
    assert 1 <= len(shown["Description"]) <= 256
    assert len(shown["Labels"]) <= 10
    assert all(re.fullmatch(r"[a-zA-Z0-9+\-_:/@]{1,127}", label) for label in shown["Labels"])


def test_every_parameter_is_described_and_explains_its_pattern(template: dict[str, Any]) -> None:
    """Every parameter has a description, and each pattern has an explanation."""
    for name, parameter in template["Parameters"].items():
        assert parameter["Description"], name
        assert ("AllowedPattern" in parameter) == ("ConstraintDescription" in parameter), name


def test_backups_page_lists_the_permissions_of_its_policy(template: dict[str, Any]) -> None:
    """The backups page lists every permission of the policy."""
    page = (ROOT / "docs/backups.md").read_text("utf-8").partition("\n## Permissions\n")[2]
    listed = {word for word in re.findall(r"`(\w+:\w+)`", page) if word.startswith("rds:")}

    assert set(find_actions(template["Resources"]["BackUp"])) == listed


def test_nothing_can_be_written_unless_snapshots_are_enabled(template: dict[str, Any]) -> None:
    """Recording a backup needs only Describe permissions; other permissions require snapshots."""
    policy = template["Resources"]["BackUp"]
    looking, *others = policy["Properties"]["PolicyDocument"]["Statement"]

    assert policy["Condition"] == "BacksUp"
    assert {"TakesSnapshots"} == {statement["Fn::If"][0] for statement in others}
    assert all(action.startswith("rds:Describe") for action in find_actions(looking))


def test_resource_changes_with_the_package_and_waits_for_two_retries(
    template: dict[str, Any], function: dict[str, Any]
) -> None:
    """New code triggers a run, and the timeout covers two retries after a kill."""
    resource = template["Resources"]["Migration"]["Properties"]
    retries = template["Resources"]["MigrateRetries"]["Properties"]
    attempts = 1 + retries["MaximumRetryAttempts"]
    longest = attempts * function["Timeout"] + 60 + 120

    assert resource["CodeVersion"] == {"Ref": "Migrate.Version"}
    assert resource["ServiceToken"] == {"Fn::GetAtt": ["Migrate", "Arn"]}
    assert resource["ServiceTimeout"] == {"Ref": "ServiceTimeout"}
    assert longest <= template["Parameters"]["ServiceTimeout"]["Default"] <= 3_600
    assert retries["MaximumEventAgeInSeconds"] == resource["ServiceTimeout"]


# The two functions.


def test_functions_share_the_package_and_differ_in_permissions(
    function: dict[str, Any], operate: dict[str, Any]
) -> None:
    """The functions share package and network, and have separate actions, roles and logs."""
    different = {key for key in function | operate if function.get(key) != operate.get(key)}
    expected = {"AutoPublishAlias", "Description", "Environment", "LoggingConfig", "Role"}
    expected |= {"VersionDeletionPolicy"}
    settings = [each["Environment"]["Variables"] for each in (function, operate)]

    assert expected | {"ReservedConcurrentExecutions"} == different
    assert {"LOCKGATE_ALLOWED_ACTIONS", "LOCKGATE_OPERATE"} == {
        key for key in settings[0] if settings[0][key] != settings[1].get(key)
    }


def test_functions_together_allow_all_actions_and_share_only_reading(
    function: dict[str, Any], operate: dict[str, Any]
) -> None:
    """Together the functions allow every action, and they share only read-only ones."""
    assert (
        "AllowedActions" == function["Environment"]["Variables"]["LOCKGATE_ALLOWED_ACTIONS"]["Ref"]
    )
    deploys = set(read_settings({}).allowed_actions)
    operates = set(operate["Environment"]["Variables"]["LOCKGATE_ALLOWED_ACTIONS"].split(","))

    assert set(Action) == deploys | operates
    assert {"status", "plan", "history"} == deploys & operates
    assert operates >= OPERATOR_ACTIONS


def test_operate_refuses_what_deploys(operate: dict[str, Any]) -> None:
    """Operate refuses to migrate, for a stack's event and for an empty event."""
    allowed = operate["Environment"]["Variables"]["LOCKGATE_ALLOWED_ACTIONS"]
    settings = read_settings({"LOCKGATE_ALLOWED_ACTIONS": allowed})
    event = json.loads((ROOT / "tests/events/cloudformation_create.json").read_text("utf-8"))
    envelope = cloudformation.read_envelope(event)

    with pytest.raises(RequestInvalid, match='The action "up" is not allowed on this function'):
        direct.read_request({}, settings)
    with pytest.raises(RequestInvalid, match='The action "up" is not allowed on this function'):
        cloudformation.read_request(envelope, settings)


def test_operate_is_not_retried_and_is_optional(template: dict[str, Any]) -> None:
    """Operate does not retry, and one condition covers all its resources."""
    resources, outputs = template["Resources"], template["Outputs"]
    names = {name for name in resources if name.startswith("Operate")}

    assert resources["OperateRetries"]["Properties"]["MaximumRetryAttempts"] == 0
    assert names == {"Operate", "OperateLogs", "OperateRetries", "OperateRole"}
    for part in [*(resources[name] for name in names), outputs["OperateFunctionArn"]]:
        assert part["Condition"] == "HasOperate"


def test_every_built_function_has_its_target(template: dict[str, Any]) -> None:
    """handler/Makefile has a target for each function, as `sam build` requires."""
    made = (ROOT / "handler/Makefile").read_text("utf-8")
    functions = [
        name
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function"
    ]

    assert functions == ["Migrate", "Operate"]
    assert f"\n{' '.join(f'build-{name}' for name in functions)}:\n" in made


# Choices of parameters.

SECRET = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db-Ab12Cd"
IAM_USER = "arn:aws:rds-db:eu-west-1:111122223333:dbuser:cluster-ABC/lockgate"
KEY = "arn:aws:kms:eu-west-1:111122223333:key/1234"
TOPIC = "arn:aws:sns:eu-west-1:111122223333:alarms"
EXISTING = {
    "SecretArn": SECRET,
    "SubnetIds": "subnet-1,subnet-2",
    "SecurityGroupIds": "sg-00000001",
}
OWN_GROUP = {
    "SecretArn": SECRET,
    "SubnetIds": "subnet-1,subnet-2",
    "VpcId": "vpc-00000001",
    "DatabaseSecurityGroupId": "sg-00000002",
}
ENDPOINTS = {
    "S3RouteTableIds": "rtb-00000001",
    "WithSecretsManagerEndpoint": "true",
    "WithLambdaEndpoint": "true",
    "WithRdsEndpoint": "true",
}

ALWAYS = {
    *(
        "Migrate",
        "MigrateRetries",
        "MigrateContinues",
        "MigrateLogs",
        "MigrateRole",
        "ReachDatabase",
    ),
    *("RunFailedAlarm", "LockBusyAlarm", "ErrorsAlarm", "DurationAlarm", "EventDroppedAlarm"),
}
OPERATE = {"Operate", "OperateRetries", "OperateLogs", "OperateRole"}
USUAL = ALWAYS | OPERATE | {"CanAnswer", "Migration", "BackUp"}
GROUP = {"FunctionsGroup", "DatabaseAdmitsFunctions"}
ENDPOINTS_GROUP = {"EndpointsGroup", "EndpointsAdmitFunctions"}
PRIVATE = ENDPOINTS_GROUP | {"SecretsManagerEndpoint", "LambdaEndpoint", "RdsEndpoint"}
QUEUE = {"FailureQueue", "FailureQueuePolicy", "FailureQueueAlarm", "FailureNotDeliveredAlarm"}

CHOICES = {
    "groups that exist": (EXISTING, USUAL),
    "its own group": (OWN_GROUP, USUAL | GROUP),
    "no NAT": ({**OWN_GROUP, **ENDPOINTS}, USUAL | GROUP | PRIVATE | {"S3Endpoint"}),
    "no NAT, groups that exist": (
        {**EXISTING, **ENDPOINTS, "VpcId": "vpc-00000001"},
        USUAL | PRIVATE | {"S3Endpoint"},
    ),
    "the least": (
        {**EXISTING, "WithOperate": "false", "Backup": "off", "WithMigration": "false"},
        ALWAYS,
    ),
    "IAM": (
        {**EXISTING, "SecretArn": "", "IamDatabaseUserArn": IAM_USER, "Host": "db", "Username": "me"},
        USUAL,
    ),
    "its own queue": ({**EXISTING, "FailureDestination": "queue", "KmsKeyArn": KEY}, USUAL | QUEUE),
    "a topic for failures": (
        {**EXISTING, "FailureDestination": TOPIC},
        USUAL | {"FailureNotDeliveredAlarm"},
    ),
    "a dashboard": ({**EXISTING, "WithDashboard": "true"}, USUAL | {"Dashboard"}),
    "pipelines": (
        {
            **OWN_GROUP,
            "WithCodePipeline": "true",
            "WithCodeDeploy": "true",
            "WithCodePipelineEndpoint": "true",
            "WithCodeDeployEndpoint": "true",
        },
        USUAL
        | GROUP
        | ENDPOINTS_GROUP | {"CodePipelineEndpoint", "CodeDeployEndpoint"},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("chosen", "made"), CHOICES.values(), ids=CHOICES)
def test_choice_makes_what_it_needs_and_refers_to_nothing_else(
    template: dict[str, Any], chosen: Mapping[str, str], made: set[str]
) -> None:
    """Each choice creates exactly its resources, without dangling references."""
    resolved = resolve(template, chosen)

    assert (made, [], []) == (set(resolved.resources), resolved.dangling, resolved.broken_rules)


def _draw_parameters(template: dict[str, Any]) -> st.SearchStrategy[dict[str, str]]:
    given_values = {
        **OWN_GROUP,
        **ENDPOINTS,
        "SecurityGroupIds": "sg-00000001",
        "S3PrefixListId": "pl-00000001",
        "Port": "6432",
        "Host": "db",
        "Username": "me",
        "KmsKeyArn": KEY,
        "SecretKmsKeyArn": KEY,
        "IamDatabaseUserArn": IAM_USER,
        "AlarmTopicArn": TOPIC,
        "OperateConcurrency": "2",
    }
    choices = {
        name: st.sampled_from(parameter["AllowedValues"])
        for name, parameter in template["Parameters"].items()
        if "AllowedValues" in parameter and parameter["Type"] == "String"
    }
    choices |= {name: st.sampled_from(["", value]) for name, value in given_values.items()
                if name not in choices}  # fmt: skip
    choices["FailureDestination"] = st.sampled_from(["", "queue", TOPIC])
    choices["SubnetIds"] = st.just("subnet-1,subnet-2")
    return st.fixed_dictionaries(choices)


@must_reach(admitted=2, refused=5)
@settings(deadline=None)
@given(data=st.data())
def test_allowed_combinations_leave_no_dangling_reference(
    template: dict[str, Any], data: st.DataObject
) -> None:
    """No allowed combination of parameters has a dangling reference."""
    resolved = resolve(template, data.draw(_draw_parameters(template)))
    reached("admitted", when=not resolved.broken_rules)
    reached("refused", when=resolved.broken_rules)

    assert resolved.broken_rules or [] == resolved.dangling


def test_reference_that_dangles_is_found() -> None:
    """The check finds dangling references in a property, in a text, in DependsOn and in an output."""
    broken = {
        "Parameters": {"With": {"Default": "false"}},
        "Conditions": {"On": {"Fn::Equals": [{"Ref": "With"}, "true"]}},
        "Resources": {
            "Key": {"Condition": "On"},
            "A": {"Properties": {"Key": {"Fn::GetAtt": ["Key", "Arn"]}}},
            "B": {"Properties": {"Text": {"Fn::Sub": "${AWS::Region} ${Key.Arn}"}}},
            "C": {"DependsOn": "Key"},
            "D": {
                "Properties": {"Key": {"Fn::If": ["On", {"Ref": "Key"}, {"Ref": "AWS::NoValue"}]}}
            },
        },
        "Outputs": {"E": {"Value": {"Ref": "Key"}}},
    }

    assert ["A -> Key", "B -> Key", "C -> Key", "E -> Key"] == resolve(broken, {}).dangling
    assert [] == resolve(broken, {"With": "true"}).dangling


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        (
            {"SubnetIds": "subnet-1", "SecurityGroupIds": "sg-00000001"},
            [
                "Set SecretArn, or sign in with IAM (IamDatabaseUserArn, Host, Username).",
                "Without a secret, set Host and Username.",
            ],
        ),
        (
            {"SecretArn": SECRET, "SubnetIds": "subnet-1", "VpcId": "vpc-00000001"},
            ["Set SecurityGroupIds, or set VpcId and DatabaseSecurityGroupId to create a group."],
        ),
        (
            {**EXISTING, "S3RouteTableIds": "rtb-00000001", "WithRdsEndpoint": "true"},
            ["An endpoint for RDS needs VpcId.", "An endpoint for S3 needs VpcId."],
        ),
        (
            {**OWN_GROUP, "S3PrefixListId": "pl-00000001"},
            [
                "With S3PrefixListId a secret needs WithSecretsManagerEndpoint.",
                "With S3PrefixListId, set Host, or set WithRdsEndpoint to find it.",
            ],
        ),
    ],
    ids=["no credentials", "half a group", "endpoints without a VPC", "a secret out of reach"],
)
def test_choice_that_cannot_work_is_refused_in_words(
    template: dict[str, Any], chosen: dict[str, str], said: list[str]
) -> None:
    """A choice that cannot work is refused before anything is created, with what to set."""
    assert said == resolve(template, chosen).broken_rules


# The network.


def test_migration_waits_for_the_network_of_the_stack(template: dict[str, Any]) -> None:
    """The migration depends on everything it needs to reach the database and CloudFormation."""
    resolved = resolve(template, {**OWN_GROUP, **ENDPOINTS})
    network = GROUP | PRIVATE | {"S3Endpoint"}

    assert network <= resolved.find_needs("Migration")
    assert {"MigrateRetries", "MigrateContinues"} <= resolved.find_needs("Migration")


def test_migration_waits_only_for_existing_resources(template: dict[str, Any]) -> None:
    """With an existing network, the migration waits for no network resource."""
    properties = resolve(template, EXISTING).resources["CanAnswer"]["Properties"]

    assert [] == properties["WaitsFor"]


def test_connection_to_cloudformation_is_checked_before_the_migration(
    template: dict[str, Any],
) -> None:
    """The check of the route to S3 runs before the migration and fails after two minutes."""
    check = template["Resources"]["CanAnswer"]

    assert ("Custom::LockgateCheck", 120) == (check["Type"], check["Properties"]["ServiceTimeout"])
    assert "CanAnswer" in template["Resources"]["Migration"]["DependsOn"]
    assert "CodeVersion" not in check["Properties"], "it is asked once, and not at each deploy"


def test_built_template_fits_into_a_request(template: dict[str, Any]) -> None:
    """The built template fits CloudFormation's limit; `sam build` adds about 200 bytes."""
    built = yaml.dump(template, default_flow_style=False, sort_keys=False)

    assert len(built.encode()) < 51_200 - 250


def test_functions_reach_the_database_the_endpoints_and_s3_only(template: dict[str, Any]) -> None:
    """The functions' security group allows only three destinations, and no incoming traffic."""
    chosen = {**OWN_GROUP, **ENDPOINTS, "S3PrefixListId": "pl-00000001", "Port": "6432"}
    group = resolve(template, chosen).resources["FunctionsGroup"]["Properties"]
    kinds = ("DestinationSecurityGroupId", "DestinationPrefixListId", "CidrIp")
    rules = [
        (rule["FromPort"], rule["ToPort"], *(rule[kind] for kind in kinds if kind in rule))
        for rule in group["SecurityGroupEgress"]
    ]

    assert "SecurityGroupIngress" not in group
    assert [
        ({"Ref": "Port"}, {"Ref": "Port"}, {"Ref": "DatabaseSecurityGroupId"}),
        (443, 443, {"Ref": "S3PrefixListId"}),
        (443, 443, {"Ref": "EndpointsGroup"}),
    ] == rules


def test_https_goes_anywhere_unless_the_prefix_list_is_known(template: dict[str, Any]) -> None:
    """Without the prefix list, HTTPS is allowed to any address, since AWS services have public ones."""
    group = resolve(template, OWN_GROUP).resources["FunctionsGroup"]["Properties"]
    database, https = group["SecurityGroupEgress"]

    assert (5432, 443, "0.0.0.0/0") == (database["ToPort"], https["ToPort"], https["CidrIp"])


def test_endpoints_admit_the_functions_alone(template: dict[str, Any]) -> None:
    """The endpoints accept only the functions' security group and roles."""
    for chosen, source in (
        (OWN_GROUP, {"Ref": "FunctionsGroup"}),
        (
            {**EXISTING, "VpcId": "vpc-1"},
            {"Fn::Select": [0, {"Fn::Split": [",", {"Ref": "SecurityGroupIds"}]}]},
        ),
    ):
        made = resolve(template, {**chosen, **ENDPOINTS}).resources
        admits = made["EndpointsAdmitFunctions"]["Properties"]
        assert (source, 443) == (admits["SourceSecurityGroupId"], admits["ToPort"])
        for name in PRIVATE - ENDPOINTS_GROUP:
            (statement,) = made[name]["Properties"]["PolicyDocument"]["Statement"]
            roles = statement["Condition"]["ArnEquals"]["aws:PrincipalArn"]
            assert re.findall(r"\w+Role", str(roles))


def test_code_of_the_functions_cannot_change_their_network(template: dict[str, Any]) -> None:
    """The functions' code is denied EC2 actions; only Lambda uses the role for network interfaces."""
    policy = template["Resources"]["ReachDatabase"]["Properties"]["PolicyDocument"]
    denied = [one for one in policy["Statement"] if one.get("Effect") == "Deny"]

    assert [("ec2:*", "*")] == [(one["Action"], one["Resource"]) for one in denied]
    (pattern,) = denied[0]["Condition"]["ArnLike"]["lambda:SourceFunctionArn"].values()
    assert pattern.endswith(":function:*")


def test_gateway_lets_answers_to_cloudformation_through_and_nothing_else(
    template: dict[str, Any],
) -> None:
    """The S3 gateway allows only answers to CloudFormation's bucket of this region."""
    gateway = template["Resources"]["S3Endpoint"]["Properties"]
    (statement,) = gateway["PolicyDocument"]["Statement"]
    text, own = statement["Resource"]["Fn::Sub"]
    place = PSEUDO_PARAMETERS["AWS::Region"].replace("-", "")

    assert ("Gateway", "s3:PutObject") == (gateway["VpcEndpointType"], statement["Action"])
    assert {"Place": {"Fn::Join": ["", {"Fn::Split": ["-", {"Ref": "AWS::Region"}]}]}} == own
    assert "arn:aws:s3:::cloudformation-custom-resource-response-euwest1/*" == substitute(
        text, {**PSEUDO_PARAMETERS, "Place": place}
    )


# Failures and monitoring.


def test_dropped_event_goes_to_a_queue_that_the_role_can_use(template: dict[str, Any]) -> None:
    """Dropped events go to the destination that the role may send to: queue or topic."""
    for chosen, target in (
        ("queue", {"Fn::GetAtt": ["FailureQueue", "Arn"]}),
        (TOPIC, {"Ref": "FailureDestination"}),
    ):
        made = resolve(template, {**EXISTING, "FailureDestination": chosen}).resources
        retries = made["MigrateRetries"]["Properties"]
        policies = {
            policy["PolicyName"]: policy["PolicyDocument"]["Statement"]
            for policy in made["MigrateRole"]["Properties"]["Policies"]
        }

        assert target == retries["DestinationConfig"]["OnFailure"]["Destination"]
        assert [target] == [one["Resource"] for one in policies["hand-over-failed-events"]]


def test_queue_is_encrypted_with_the_key_or_else_by_sqs(template: dict[str, Any]) -> None:
    """The queue is encrypted and keeps events for one day, because they contain signed URLs."""
    chosen = {**EXISTING, "FailureDestination": "queue"}
    plain = resolve(template, chosen).resources["FailureQueue"]["Properties"]
    keyed = resolve(template, {**chosen, "KmsKeyArn": KEY}).resources["FailureQueue"]["Properties"]

    assert {"MessageRetentionPeriod": 86_400, "SqsManagedSseEnabled": True} == plain
    assert {"MessageRetentionPeriod": 86_400, "KmsMasterKeyId": {"Ref": "KmsKeyArn"}} == keyed


def test_key_encrypts_variables_and_logs(template: dict[str, Any]) -> None:
    """The key encrypts variables and logs."""
    assert {"Fn::If": ["HasKey", {"Ref": "KmsKeyArn"}, {"Ref": "AWS::NoValue"}]} == (
        template["Globals"]["Function"]["KmsKeyArn"]
    )
    made = resolve(template, {**EXISTING, "KmsKeyArn": KEY}).resources
    logs = [one["Properties"] for one in made.values() if one["Type"] == "AWS::Logs::LogGroup"]
    assert [{"Ref": "KmsKeyArn"}] * 2 == [one["KmsKeyId"] for one in logs]


def test_every_alarm_goes_to_the_topic(template: dict[str, Any]) -> None:
    """Every alarm notifies the topic and treats missing data alike."""
    chosen = {**EXISTING, "FailureDestination": "queue", "AlarmTopicArn": TOPIC}
    made = resolve(template, chosen).resources
    alarms = [one["Properties"] for one in made.values() if one["Type"].endswith("::Alarm")]

    assert 7 == len(alarms)
    assert all([{"Ref": "AlarmTopicArn"}] == alarm["AlarmActions"] for alarm in alarms)
    assert {"notBreaching"} == {alarm["TreatMissingData"] for alarm in alarms}


def test_alarm_on_time_comes_before_the_timeout(
    template: dict[str, Any], function: dict[str, Any]
) -> None:
    """The alarm on duration is at nine tenths of the timeout."""
    alarm = template["Resources"]["DurationAlarm"]["Properties"]

    assert function["Timeout"] * 900 == alarm["Threshold"]


def test_dashboard_shows_metrics_that_are_counted(template: dict[str, Any]) -> None:
    """The dashboard is valid JSON and shows metrics that the function counts."""
    body = template["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    alarms = re.findall(r"\$\{(\w+Alarm)\.Arn\}", body[0])
    names = {**PSEUDO_PARAMETERS, "Migrate": "f", "MigrateLogs": "g"}
    shown = json.loads(substitute(body, names | {f"{name}.Arn": name for name in alarms}))
    text = json.dumps(shown)
    source = (ROOT / "handler/lockgate/awslambda/app.py").read_text("utf-8")

    assert 5 == len(shown["widgets"])
    assert all(f'"{name}"' in source for name in re.findall(r'MetricName=\\"(\w+)', text))
    assert 'SEARCH(\'{Lockgate,database,function_name,service} function_name=\\"f\\"' in text
    assert set(alarms) <= set(template["Resources"])


def test_permission_to_answer_pipelines_is_optional(template: dict[str, Any]) -> None:
    """Only the parameter for a pipeline service grants permission to answer it."""
    services = {
        chosen: {
            action.partition(":")[0]
            for action in find_actions(
                resolve(template, {**EXISTING, chosen: "true"}).resources["MigrateRole"]
            )
        }
        - {"sts", "logs"}
        for chosen in ("WithDashboard", "WithCodePipeline", "WithCodeDeploy")
    }

    assert {
        "WithDashboard": set(),
        "WithCodePipeline": {"codepipeline"},
        "WithCodeDeploy": {"codedeploy"},
    } == services


def test_stack_that_does_not_migrate_promises_no_outcome(template: dict[str, Any]) -> None:
    """Without a migration resource, only the outputs of the functions remain."""
    left = resolve(template, {**EXISTING, "WithMigration": "false"}).outputs

    functions = {"FunctionName", "FunctionArn", "OperateFunctionArn", "PackageVersion"}
    assert functions | {"LogGroup", "OperateLogGroup"} == set(left)
