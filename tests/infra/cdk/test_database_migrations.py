"""The construct: its resources, their order, and what it refuses."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("aws_cdk", reason="the CDK is not installed here; `make infra` installs it")

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda_destinations as destinations
from aws_cdk import aws_rds as rds
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from tests.support.cdk_stack import (
    NAME,
    make_app,
    make_cluster,
    make_shop,
    make_vpc,
    migrate,
    synthesise,
)

from lockgate.errors import SettingInvalid
from lockgate_cdk import DatabaseMigrations, Endpoint

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:shop/database-AbCdEf"
IAM_USER = "arn:aws:rds-db:eu-west-1:111122223333:dbuser:cluster-ABCDEFGHIJKL01234/lockgate"


@pytest.fixture(scope="module")
def migrations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a migration."""
    folder = tmp_path_factory.mktemp("migrations")
    (folder / "1_create_accounts.sql").write_text("create table accounts (id bigint);\n")
    return folder


@pytest.fixture(scope="module")
def made(migrations: Path) -> dict[str, Any]:
    """Return the resources of a stack with only a cluster given."""
    return migrate(migrations)


# The run.


def test_resource_is_cloudformations_own_and_has_an_hour(made: dict[str, Any]) -> None:
    """The function answers by itself, and Lambda's two retries fit into the resource's timeout."""
    properties = made["Migration"]["Properties"]
    retries = made["MigrateEventInvokeConfig"]["Properties"]

    assert "Custom::LockgateMigration" == made["Migration"]["Type"]
    assert ("<Migrate.Arn>", "3600") == (properties["ServiceToken"], properties["ServiceTimeout"])
    assert (2, 3_600) == (retries["MaximumRetryAttempts"], retries["MaximumEventAgeInSeconds"])
    assert {"AWS::Lambda::Function"} == {
        one["Type"] for one in made.values() if one["Type"].startswith("AWS::Lambda::F")
    }


def test_migration_waits_for_the_writer_the_network_and_the_rights(made: dict[str, Any]) -> None:
    """The first event is sent when the database is reachable and the function has its permissions."""
    waits = made["Migration"]["DependsOn"]
    writers = [name for name in made if name.startswith("DatabaseWriter")]
    admitted = [name for name in made if made[name]["Type"] == "AWS::EC2::SecurityGroupIngress"]
    let_out = [name for name in made if made[name]["Type"] == "AWS::EC2::SecurityGroupEgress"]

    assert (1, 1, 1) == (len(writers), len(admitted), len(let_out))
    assert "AWS::RDS::DBInstance" == made[writers[0]]["Type"]
    assert {
        *writers,
        *admitted,
        *let_out,
        "Migrate",
        "MigrateContinues",
        "MigrateEventInvokeConfig",
    } <= set(waits)


def test_connection_for_the_answer_is_checked_before_the_database_is_ready(
    made: dict[str, Any],
) -> None:
    """A VPC without access to S3 fails within minutes, while the writer is still being created."""
    waits = made["CanAnswer"]["DependsOn"]

    assert "Custom::LockgateCheck" == made["CanAnswer"]["Type"]
    assert "CanAnswer" in made["Migration"]["DependsOn"]
    assert {"Migrate", "MigrateEventInvokeConfig", "SecurityGroup"} <= set(waits)
    assert [] == [name for name in waits if made[name]["Type"] == "AWS::RDS::DBInstance"]


def test_functions_wait_for_the_route_out_of_their_subnets(migrations: Path) -> None:
    """With NAT, the functions wait for the default route, since CanAnswer times out quickly."""
    stack = cdk.Stack(make_app(), "Shop")
    vpc = ec2.Vpc(stack, "Network", max_azs=2)
    cluster = make_cluster(stack, vpc, subnets=ec2.SubnetType.PRIVATE_WITH_EGRESS)
    DatabaseMigrations(stack, NAME, vpc=vpc, cluster=cluster, migrations=migrations)
    made = synthesise(stack)

    routes = {
        name
        for name in made["Migrate"]["DependsOn"]
        if "NatGatewayId" in made[name].get("Properties", {})
    }
    assert 2 == len(routes)
    assert "Migrate" in made["CanAnswer"]["DependsOn"]


def test_endpoint_of_ones_own_can_be_waited_for(migrations: Path) -> None:
    """A dependency of the check is also a dependency of the migration."""
    shop = make_shop()
    own = DatabaseMigrations(
        shop.stack, NAME, vpc=shop.vpc, cluster=shop.cluster, migrations=migrations
    )
    s3 = shop.vpc.add_gateway_endpoint("S3", service=ec2.GatewayVpcEndpointAwsService.S3)
    own.check.node.add_dependency(s3)
    made = synthesise(shop.stack)

    (endpoint,) = (name for name, one in made.items() if one["Type"] == "AWS::EC2::VPCEndpoint")
    assert endpoint in made["CanAnswer"]["DependsOn"]
    assert "CanAnswer" in made["Migration"]["DependsOn"]


def test_database_lets_the_functions_in_and_they_are_let_out_to_it_and_https(
    made: dict[str, Any],
) -> None:
    """There is exactly one rule each for the database, for the functions and for HTTPS."""
    (admitted,) = (one["Properties"] for one in made.values() if one["Type"].endswith("Ingress"))
    (let_out,) = (one["Properties"] for one in made.values() if one["Type"].endswith("Egress"))
    (https,) = made["SecurityGroup"]["Properties"]["SecurityGroupEgress"]
    both = [made[name]["Properties"]["VpcConfig"] for name in ("Migrate", "Operate")]

    assert "<SecurityGroup.GroupId>" == admitted["SourceSecurityGroupId"]
    assert admitted["GroupId"] == let_out["DestinationSecurityGroupId"]
    assert (443, 443, "0.0.0.0/0") == (https["FromPort"], https["ToPort"], https["CidrIp"])
    assert "SecurityGroupIngress" not in made["SecurityGroup"]["Properties"]
    assert [["<SecurityGroup.GroupId>"]] * 2 == [one["SecurityGroupIds"] for one in both]


def test_secret_is_the_clusters_once_it_knows_its_host(made: dict[str, Any]) -> None:
    """The secret is used after its attachment, which adds the database address."""
    attachment = made["Migrate"]["Properties"]["Environment"]["Variables"]["LOCKGATE_SECRET_ARN"]

    assert "AWS::SecretsManager::SecretTargetAttachment" == made[attachment.strip("<>")]["Type"]
    assert attachment == made["Migration"]["Properties"]["SecretArn"]


def test_instance_is_waited_for_and_lets_the_functions_in(migrations: Path) -> None:
    """The migration waits for a single instance, which admits the functions."""
    shop = make_shop()
    engine = rds.DatabaseInstanceEngine.postgres(version=rds.PostgresEngineVersion.VER_16)
    subnets = ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED)
    instance = rds.DatabaseInstance(
        shop.stack, "Instance", engine=engine, vpc=shop.vpc, vpc_subnets=subnets
    )
    DatabaseMigrations(shop.stack, NAME, vpc=shop.vpc, instance=instance, migrations=migrations)
    made = synthesise(shop.stack)

    waits = {made[name]["Type"] for name in made["Migration"]["DependsOn"]}
    assert {"AWS::RDS::DBInstance", "AWS::EC2::SecurityGroupIngress"} <= waits
    assert "AWS::RDS::DBCluster" not in waits


def test_database_of_another_stack_is_reached_without_a_circle(migrations: Path) -> None:
    """The ingress rule is in the functions' stack, so there is no circular dependency."""
    app = make_app()
    below, above = cdk.Stack(app, "Below"), cdk.Stack(app, "Above")
    vpc = make_vpc(below)
    cluster = make_cluster(below, vpc)
    DatabaseMigrations(above, NAME, vpc=vpc, cluster=cluster, migrations=migrations)
    made = synthesise(above)

    (rule,) = (name for name, one in made.items() if one["Type"].endswith("SecurityGroupIngress"))
    assert rule in made["Migration"]["DependsOn"]
    assert [below] == above.dependencies


def test_existing_database_is_let_to_its_owner(migrations: Path) -> None:
    """Without cluster and instance, the secret has the address and the owner opens the database."""
    shop = make_shop()
    secret = secretsmanager.Secret.from_secret_complete_arn(shop.stack, "Secret", SECRET)
    group = ec2.SecurityGroup.from_security_group_id(shop.stack, "Theirs", "sg-00000001")
    own = DatabaseMigrations(
        shop.stack, NAME, vpc=shop.vpc, secret=secret, migrations=migrations, dbname="shop"
    )
    own.connections.allow_to(group, ec2.Port.tcp(6432))
    made = synthesise(shop.stack)

    (admitted,) = (one["Properties"] for one in made.values() if one["Type"].endswith("Ingress"))
    assert ("sg-00000001", 6_432) == (admitted["GroupId"], admitted["ToPort"])
    assert (SECRET, "shop") == tuple(
        made["Migration"]["Properties"][name] for name in ("SecretArn", "DbName")
    )


def test_dependents_wait_for_the_migration(migrations: Path) -> None:
    """A resource can depend on the whole construct or on the migration alone."""
    shop = make_shop()
    own = DatabaseMigrations(
        shop.stack, NAME, vpc=shop.vpc, cluster=shop.cluster, migrations=migrations
    )
    whole, alone = sns.Topic(shop.stack, "Whole"), sns.Topic(shop.stack, "Alone")
    whole.node.add_dependency(own)
    own.before(alone)
    waits = {
        re.sub("[0-9A-F]{8}$", "", name): set(one["DependsOn"])
        for name, one in synthesise(shop.stack).items()
        if one["Type"] == "AWS::SNS::Topic"
    }

    assert {"Migration"} == waits["Alone"]
    assert {"Migration", "Migrate", "Operate"} < waits["Whole"]


def test_outcome_can_be_referred_to(migrations: Path) -> None:
    """The function's answer can be used in outputs and in other resources."""
    shop = make_shop()
    own = DatabaseMigrations(
        shop.stack, NAME, vpc=shop.vpc, cluster=shop.cluster, migrations=migrations
    )
    said = [own.status, own.from_version, own.to_version, own.applied_count, own.run_id]

    assert ["Status", "FromVersion", "ToVersion", "AppliedCount", "RunId"] == [
        shop.stack.resolve(one)["Fn::GetAtt"][1] for one in said
    ]


# Options.


def test_target_and_reason_are_handed_on(migrations: Path) -> None:
    """Target and reason become properties only if they are given."""
    made = migrate(migrations, target="20261122093000", reason="release 8")
    properties = made["Migration"]["Properties"]

    assert ("20261122093000", "release 8") == (properties["Target"], properties["Reason"])
    assert not {"Target", "Reason"} & set(migrate(migrations)["Migration"]["Properties"])


@pytest.mark.parametrize(
    ("arguments", "property_"),
    [
        ({}, "refuse"),
        ({"first_run": "allow"}, "allow"),
        ({"environment": {"LOCKGATE_FIRST_RUN": "allow"}}, "allow"),
        ({"first_run": "refuse", "environment": {"LOCKGATE_FIRST_RUN": "allow"}}, "refuse"),
    ],
)
def test_first_run_is_chosen_by_the_argument_and_else_by_the_setting(
    migrations: Path, arguments: dict[str, Any], property_: str
) -> None:
    """The FirstRun property is always set, and the setting decides unless the argument is given."""
    made = migrate(migrations, **arguments)

    assert property_ == made["Migration"]["Properties"]["FirstRun"]


def test_events_live_as_long_as_cloudformation_waits(migrations: Path) -> None:
    """The maximum event age equals the timeout, so that no event runs after it."""
    made = migrate(migrations, service_timeout=cdk.Duration.minutes(20))
    retries = made["MigrateEventInvokeConfig"]["Properties"]

    assert "1200" == made["Migration"]["Properties"]["ServiceTimeout"]
    assert 1_200 == retries["MaximumEventAgeInSeconds"]
    assert "120" == made["CanAnswer"]["Properties"]["ServiceTimeout"]


def test_signing_in_with_iam_needs_no_secret(migrations: Path) -> None:
    """With IAM the address must be given, and the cluster's secret is not used."""
    made = migrate(
        migrations,
        iam_database_user_arn=IAM_USER,
        host="db.example.com",
        port=6432,
        username="lockgate",
    )

    assert {
        "LOCKGATE_IAM_AUTH": "true",
        "LOCKGATE_HOST": "db.example.com",
        "LOCKGATE_PORT": "6432",
        "LOCKGATE_USERNAME": "lockgate",
        "LOCKGATE_OPERATE": "<Operate>",
    } == made["Migrate"]["Properties"]["Environment"]["Variables"]


def test_further_settings_and_variables_reach_both_functions(migrations: Path) -> None:
    """Additional settings and variables reach both functions."""
    further = {"LOCKGATE_ATOMICITY": "run", "APP_ROLE": "shop"}
    made = migrate(migrations, environment=further)
    variables = [
        made[name]["Properties"]["Environment"]["Variables"] for name in ("Migrate", "Operate")
    ]

    assert all(further.items() <= one.items() for one in variables)


def test_endpoints_are_made_and_waited_for(migrations: Path) -> None:
    """In a VPC without NAT, an endpoint for each service exists before the first event."""
    made = migrate(migrations, endpoints=Endpoint)
    services = {
        name: one["Properties"]["ServiceName"].rpartition(".")[2]
        for name, one in made.items()
        if one["Type"] == "AWS::EC2::VPCEndpoint"
    }

    assert {
        "SecretsManagerEndpoint": "secretsmanager",
        "S3Endpoint": "s3",
        "LambdaEndpoint": "lambda",
        "RdsEndpoint": "rds",
        "CodePipelineEndpoint": "codepipeline",
        "CodeDeployEndpoint": "codedeploy",
    } == services
    assert set(services) <= set(made["Migration"]["DependsOn"])
    assert set(services) <= set(made["CanAnswer"]["DependsOn"])


def test_security_groups_of_ones_own_take_the_place_of_a_new_one(migrations: Path) -> None:
    """The database admits the given security group, and no new one is created."""
    shop = make_shop()
    group = ec2.SecurityGroup(shop.stack, "Mine", vpc=shop.vpc)
    DatabaseMigrations(
        shop.stack,
        NAME,
        vpc=shop.vpc,
        cluster=shop.cluster,
        migrations=migrations,
        security_groups=[group],
    )
    made = synthesise(shop.stack)
    (admitted,) = (one["Properties"] for one in made.values() if one["Type"].endswith("Ingress"))

    assert "SecurityGroup" not in made
    assert admitted["SourceSecurityGroupId"].startswith("<Mine")


def test_operate_and_alarms_are_optional(migrations: Path) -> None:
    """Without Operate and alarms, none of their resources remain."""
    made = migrate(migrations, with_operate=False, with_alarms=False, backup="off")

    assert [] == [name for name in made if name.startswith("Operate") or "Alarm" in name]
    assert "BackUp" not in made


def test_migration_on_deploy_is_optional(migrations: Path) -> None:
    """Without the migration the function is the same, and references to its outcome are refused."""
    shop = make_shop()
    own = DatabaseMigrations(
        shop.stack,
        NAME,
        vpc=shop.vpc,
        cluster=shop.cluster,
        migrations=migrations,
        with_migration=False,
    )
    made = synthesise(shop.stack)
    usual = migrate(migrations)

    assert {"CanAnswer", "Migration"} == set(usual) - set(made)
    assert made["Migrate"] == usual["Migrate"]
    for refer in (lambda: own.status, lambda: own.check, lambda: own.before(shop.vpc)):
        with pytest.raises(ValueError, match=r"^With with_migration=False the stack has no"):
            refer()


def test_dashboard_without_alarms_has_no_place_for_them(migrations: Path) -> None:
    """A dashboard without alarms has no alarm widget, and by default there is no dashboard."""
    made = migrate(migrations, with_alarms=False, with_dashboard=True)
    body = json.loads(made["Dashboard"]["Properties"]["DashboardBody"])

    assert ["metric", "metric", "metric", "log"] == [one["type"] for one in body["widgets"]]
    assert "Dashboard" not in migrate(migrations)


def test_operate_can_have_its_own_concurrency(migrations: Path) -> None:
    """Reserved concurrency keeps an unlock from being throttled by the run it should stop."""
    made = migrate(migrations, operate_concurrency=2)

    assert 2 == made["Operate"]["Properties"]["ReservedConcurrentExecutions"]
    assert "ReservedConcurrentExecutions" not in made["Migrate"]["Properties"]


def test_alarms_key_and_failures_use_the_given_targets(migrations: Path) -> None:
    """Topic, key and queue are used for alarms, for encryption and for failed events."""
    shop = make_shop()
    key, queue = kms.Key(shop.stack, "Key"), sqs.Queue(shop.stack, "Failures")
    DatabaseMigrations(
        shop.stack,
        NAME,
        vpc=shop.vpc,
        cluster=shop.cluster,
        migrations=migrations,
        alarm_topic=sns.Topic(shop.stack, "Alarms"),
        encryption_key=key,
        on_failure=destinations.SqsDestination(queue),
    )
    made = synthesise(shop.stack)
    alarms = [one["Properties"] for one in made.values() if one["Type"].endswith("::Alarm")]
    retries = made["MigrateEventInvokeConfig"]["Properties"]
    sends = made["MigrateRoleDefaultPolicy"]["Properties"]["PolicyDocument"]["Statement"][0]

    assert 6 == len(alarms)
    assert all(re.fullmatch("<Alarms.*>", alarm["AlarmActions"][0]) for alarm in alarms)
    assert (
        made["Migrate"]["Properties"]["KmsKeyArn"]
        == (made["MigrateLogs"]["Properties"]["KmsKeyId"])
    )
    assert sends["Resource"] == retries["DestinationConfig"]["OnFailure"]["Destination"]
    assert "sqs:SendMessage" in sends["Action"]


# Refusals.


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            {"cluster": None},
            (
                "There are no credentials. Give secret=, a cluster or an instance with a secret, or"
                " iam_database_user_arn= with host= and username=."
            ),
        ),
        (
            {"iam_database_user_arn": IAM_USER, "host": "db"},
            "Without a secret, host= and username= must be given.",
        ),
        (
            {"environment": {"LOCKGATE_HOST": "db"}},
            "environment= must not contain LOCKGATE_HOST. Give host=.",
        ),
        (
            {"with_migration": False, "target": "1"},
            "target= is for the migration, but with_migration=False creates none.",
        ),
        (
            {"service_timeout": cdk.Duration.seconds(59)},
            "service_timeout= must be from a minute to an hour.",
        ),
        (
            {"service_timeout": cdk.Duration.minutes(61)},
            "service_timeout= must be from a minute to an hour.",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(
    migrations: Path, arguments: dict[str, Any], said: str
) -> None:
    """Arguments that contradict each other fail with a message that names the fix."""
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        migrate(migrations, **arguments)


def test_two_databases_are_refused(migrations: Path) -> None:
    """One construct migrates one database."""
    with pytest.raises(ValueError, match=r"^Both cluster= and instance= were given\."):
        migrate(migrations, instance=object())


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"LOCKGATE_ATOMICTY": "run"}, "Did you mean LOCKGATE_ATOMICITY?"),
        ({"LOCKGATE_LOCK_WAIT": "soon"}, 'LOCKGATE_LOCK_WAIT cannot be "soon"'),
    ],
)
def test_setting_that_the_function_would_refuse_is_refused_before_the_deploy(
    migrations: Path, environment: dict[str, str], said: str
) -> None:
    """Invalid settings fail at synthesis, since the function's own reader checks them."""
    with pytest.raises(SettingInvalid, match=re.escape(said)):
        migrate(migrations, environment=environment)


def test_setting_that_only_the_deploy_knows_is_left_to_the_function(migrations: Path) -> None:
    """A setting with an unresolved reference is not checked at synthesis."""
    made = migrate(migrations, environment={"LOCKGATE_SCHEMA": cdk.Fn.import_value("Schema")})

    variables = made["Migrate"]["Properties"]["Environment"]["Variables"]
    assert {"Fn::ImportValue": "Schema"} == variables["LOCKGATE_SCHEMA"]
