"""The construct and template.yaml create the same: permissions, functions, retries, logs, alarms.

A change to only one of them fails one of these tests.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("aws_cdk", reason="the CDK is not installed here; `make infra` installs it")

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda_destinations as destinations
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_sqs as sqs
from tests.support.cdk_stack import NAME, make_shop, synthesise
from tests.support.flat_template import list_statements, make_by_template

from lockgate_cdk import DatabaseMigrations

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SECRET = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:shop/database-AbCdEf"
KEY = "arn:aws:kms:eu-west-1:111122223333:key/00000000-0000-4000-8000-000000000001"
IAM_USER = "arn:aws:rds-db:eu-west-1:111122223333:dbuser:cluster-ABCDEFGHIJKL01234/lockgate"

# Each choice: the template's parameters, and the equivalent arguments of the construct.
CHOICES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a secret": ({"SecretArn": SECRET}, {"secret": SECRET}),
    "a secret with a key": (
        {"SecretArn": SECRET, "SecretKmsKeyArn": KEY},
        {"secret": SECRET, "key": KEY},
    ),
    "a host that is known": (
        {"SecretArn": SECRET, "Host": "db", "Port": "6432", "DbName": "shop"},
        {"secret": SECRET, "host": "db", "port": 6432, "dbname": "shop"},
    ),
    "IAM": (
        {"IamDatabaseUserArn": IAM_USER, "Host": "db", "Username": "me"},
        {"iam_database_user_arn": IAM_USER, "host": "db", "username": "me"},
    ),
    "snapshots": ({"SecretArn": SECRET, "Backup": "snapshot"}, {"secret": SECRET, "backup": "snapshot"}),
    "a record": ({"SecretArn": SECRET, "Backup": "record"}, {"secret": SECRET, "backup": "record"}),
    "no backups": ({"SecretArn": SECRET, "Backup": "off"}, {"secret": SECRET, "backup": "off"}),
    "pipelines": (
        {"SecretArn": SECRET, "WithCodePipeline": "true", "WithCodeDeploy": "true"},
        {"secret": SECRET, "with_codepipeline": True, "with_codedeploy": True},
    ),
    "a first run beside other tables": (
        {"SecretArn": SECRET, "FirstRun": "allow"},
        {"secret": SECRET, "first_run": "allow"},
    ),
    "a shorter wait": (
        {"SecretArn": SECRET, "ServiceTimeout": 1_200},
        {"secret": SECRET, "service_timeout": cdk.Duration.minutes(20)},
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def migrations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a migration."""
    folder = tmp_path_factory.mktemp("migrations")
    (folder / "1_create_accounts.sql").write_text("create table accounts (id bigint);\n")
    return folder


@pytest.fixture(scope="module", params=CHOICES.values(), ids=list(CHOICES))
def pair(request: pytest.FixtureRequest, migrations: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the resources of the template and of the construct, for each choice."""
    parameters, arguments = request.param
    return make_by_template(parameters), make_by_construct(arguments, migrations)


def make_by_construct(arguments: Mapping[str, Any], migrations: Path) -> dict[str, Any]:
    """Return the flat resources of the construct, with secret and key given by their ARNs."""
    shop = make_shop()
    given = {name: value for name, value in arguments.items() if name not in {"secret", "key"}}
    if "secret" in arguments:
        key = arguments.get("key")
        given["secret"] = secretsmanager.Secret.from_secret_attributes(
            shop.stack,
            "Secret",
            secret_complete_arn=arguments["secret"],
            encryption_key=kms.Key.from_key_arn(shop.stack, "Key", key) if key else None,
        )
    DatabaseMigrations(shop.stack, NAME, vpc=shop.vpc, migrations=migrations, **given)
    return synthesise(shop.stack)


@pytest.mark.parametrize("role", ["MigrateRole", "OperateRole"])
def test_roles_have_the_same_permissions(
    pair: tuple[dict[str, Any], dict[str, Any]], role: str
) -> None:
    """The statements of each role are equal, whichever policy contains them."""
    template, construct = pair

    assert list_statements(role, template) == list_statements(role, construct)


@pytest.mark.parametrize("name", ["Migrate", "Operate"])
def test_functions_are_configured_the_same(
    pair: tuple[dict[str, Any], dict[str, Any]], name: str
) -> None:
    """Runtime, architecture, handler, timeout, memory, log and all non-default variables are equal."""
    template, construct = (resources[name]["Properties"] for resources in pair)
    alike = ("Description", "Runtime", "Architectures", "Handler", "Timeout", "MemorySize")

    for key in (*alike, "LoggingConfig"):
        assert template[key] == construct[key]
    assert list_chosen(template) == list_chosen(construct)


def list_chosen(function: Mapping[str, Any]) -> dict[str, str]:
    """Return a function's variables without those that are set to their default."""
    variables = function["Environment"]["Variables"]
    idle = {
        "LOCKGATE_TLS": "verify-full",
        "LOCKGATE_POOLER": "refuse",
        "LOCKGATE_ROLLBACK": "run",
        "LOCKGATE_ALLOW_DATA_LOSS": "false",
        "LOCKGATE_ATOMICITY": "auto",
        "LOCKGATE_OUT_OF_ORDER": "refuse",
    }
    return {name: value for name, value in variables.items() if value not in {"", idle.get(name)}}


def test_events_are_repeated_as_often(pair: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """The number of retries and the maximum event age of each function are equal."""
    template, construct = pair
    for name in ("Migrate", "Operate"):
        ours, theirs = template[f"{name}Retries"], construct[f"{name}EventInvokeConfig"]
        assert ours["Properties"] == theirs["Properties"]


def test_logs_are_kept_as_long(pair: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Log groups have the same retention, and are kept when the stack is deleted."""
    kept = [
        {
            name: (one["Properties"], one["DeletionPolicy"], one["UpdateReplacePolicy"])
            for name, one in resources.items()
            if one["Type"] == "AWS::Logs::LogGroup"
        }
        for resources in pair
    ]

    assert kept[0] == kept[1]


def test_migration_is_called_for_the_same_reasons(
    pair: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    """The migration resource has the same properties, apart from those that are not given."""
    template, construct = (resources["Migration"]["Properties"] for resources in pair)
    given = {name: value for name, value in template.items() if value not in ("", [])}
    given["PackageDigest"] = given.pop("CodeVersion")

    assert set(given) == set(construct)
    assert given["ServiceTimeout"] == int(construct["ServiceTimeout"])
    assert given["FirstRun"] == construct["FirstRun"]


def test_connection_for_the_answer_is_checked_in_the_same_way(
    pair: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    """The check runs before the migration, with the same function and timeout."""
    template, construct = (resources["CanAnswer"] for resources in pair)
    alike = ("ServiceToken", "ServiceTimeout")

    assert template["Type"] == construct["Type"]
    assert [str(template["Properties"][name]) for name in alike] == [
        construct["Properties"][name] for name in alike
    ]
    assert all("CanAnswer" in resources["Migration"]["DependsOn"] for resources in pair)


def test_migration_can_be_left_out_of_both(migrations: Path) -> None:
    """Without the migration, neither has a custom resource."""
    template = make_by_template({"SecretArn": SECRET, "WithMigration": "false"})
    construct = make_by_construct({"secret": SECRET, "with_migration": False}, migrations)

    for resources in (template, construct):
        assert [] == [name for name, one in resources.items() if one["Type"].startswith("Custom::")]


def test_alarms_go_off_at_the_same(pair: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Metric, threshold and description of each alarm are equal."""
    ours, theirs = (
        {
            name: describe_alarm(one["Properties"])
            for name, one in resources.items()
            if one["Type"] == "AWS::CloudWatch::Alarm"
        }
        for resources in pair
    )

    assert ours == theirs


def test_dashboards_show_the_same(migrations: Path) -> None:
    """The dashboards have the same widgets, without the failure alarms."""
    template = make_by_template({"SecretArn": SECRET, "WithDashboard": "true"})
    construct = make_by_construct({"secret": SECRET, "with_dashboard": True}, migrations)

    ours, theirs = (
        json.loads(resources["Dashboard"]["Properties"]["DashboardBody"])
        for resources in (template, construct)
    )
    assert ours == theirs


def test_alarm_of_a_destination_goes_off_at_the_same(migrations: Path) -> None:
    """The alarm for undelivered failures has the same description."""
    queue = "arn:aws:sqs:eu-west-1:111122223333:failed"
    template = make_by_template({"SecretArn": SECRET, "FailureDestination": queue})
    shop = make_shop()
    DatabaseMigrations(
        shop.stack,
        NAME,
        vpc=shop.vpc,
        cluster=shop.cluster,
        migrations=migrations,
        on_failure=destinations.SqsDestination(
            sqs.Queue.from_queue_arn(shop.stack, "Failed", queue)
        ),
    )
    construct = synthesise(shop.stack)

    ours, theirs = (
        describe_alarm(resources["FailureNotDeliveredAlarm"]["Properties"])
        for resources in (template, construct)
    )
    assert ours == theirs


def describe_alarm(alarm: dict[str, Any]) -> dict[str, Any]:
    """Return an alarm without the names that only one of the two uses."""
    described = {
        **alarm,
        "AlarmDescription": alarm["AlarmDescription"].replace("FailureDestination", "on_failure"),
    }
    for metric in described.get("Metrics", ()):
        del metric["Id"]
    return described
