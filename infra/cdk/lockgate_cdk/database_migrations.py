"""The construct: creates all resources, and makes them wait for each other.

::

    function, its log, its role ─┐
    security groups ─────────────┼─> CanAnswer ─┐
    endpoints ───────────────────┘              │
    the database, its writer ───────────────────┼─> Migration ─> whatever depends on the construct
    package ── its digest ──────────────────────┘

CanAnswer and Migration are custom resources. CloudFormation calls the function for CanAnswer once, and
for Migration when one of its properties changes, and only then.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import aws_cdk as cdk
import jsii
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from lockgate.core.policy import BackupMode
from lockgate_cdk.alarms import make_alarms
from lockgate_cdk.arguments import (
    check_timeout,
    choose_database,
    choose_first_run,
    make_environment,
    read_access,
    refuse_request,
)
from lockgate_cdk.dashboard import make_dashboard
from lockgate_cdk.endpoints import Endpoint, make_endpoint
from lockgate_cdk.findings import BACK_UP, REACH_DATABASE, accept_findings
from lockgate_cdk.functions import MIGRATE, OPERATE, Shared, make_function
from lockgate_cdk.package import Order, compute_digest, list_options, make_code
from lockgate_cdk.policies import (
    Access,
    list_backup_statements,
    list_reach_statements,
    make_answer_policies,
)
from lockgate_cdk.resources import let_continue, make_check, make_migration

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping, Sequence

    from aws_cdk import aws_cloudwatch as cloudwatch
    from aws_cdk import aws_kms as kms
    from aws_cdk import aws_rds as rds
    from aws_cdk import aws_secretsmanager as secretsmanager
    from aws_cdk import aws_sns as sns
    from constructs import IConstruct

_AN_HOUR = cdk.Duration.hours(1)


@jsii.implements(ec2.IConnectable)
class DatabaseMigrations(Construct):
    """Migrations of a PostgreSQL database, run by a deploy if they have changed.

    The deploy continues after they have run, and fails if one fails. Resources that need the schema must
    depend on the construct: ``app.node.add_dependency(migrations)``.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        vpc: ec2.IVpc,
        cluster: rds.IDatabaseCluster | None = None,
        instance: rds.IDatabaseInstance | None = None,
        secret: secretsmanager.ISecret | None = None,
        iam_database_user_arn: str | None = None,
        host: str | None = None,
        port: int | None = None,
        dbname: str | None = None,
        username: str | None = None,
        migrations: str | os.PathLike[str],
        target: str | None = None,
        reason: str | None = None,
        first_run: str | None = None,
        with_migration: bool = True,
        service_timeout: cdk.Duration = _AN_HOUR,
        with_codepipeline: bool = False,
        with_codedeploy: bool = False,
        environment: Mapping[str, str] | None = None,
        backup: str | None = None,
        vpc_subnets: ec2.SubnetSelection | None = None,
        security_groups: Sequence[ec2.ISecurityGroup] | None = None,
        endpoints: Iterable[Endpoint] = (),
        with_operate: bool = True,
        operate_concurrency: int | None = None,
        architecture: lambda_.Architecture = lambda_.Architecture.ARM_64,
        memory_size: int = 512,
        log_retention: logs.RetentionDays = logs.RetentionDays.THREE_MONTHS,
        encryption_key: kms.IKey | None = None,
        on_failure: lambda_.IDestination | None = None,
        with_alarms: bool = True,
        alarm_topic: sns.ITopic | None = None,
        with_dashboard: bool = False,
        build_options: Sequence[str] = (),
    ) -> None:
        """Create the functions, the resources that they need, and the custom resource of the migration.

        Args:
            scope: the parent of the construct.
            construct_id: its name in the parent.
            vpc: the functions' VPC, which must reach the database, Secrets Manager and S3.
            cluster: the database, if it is a cluster. The migration waits for its writer instance, and
                its security groups admit the functions.
            instance: the database, if it is a single instance, with the same effects. With neither, call
                ``migrations.connections.allow_to(…)`` yourself.
            secret: the credentials; by default those of ``cluster`` or ``instance``.
            iam_database_user_arn: sign in with IAM as this user instead, an ARN of
                ``rds-db:…:dbuser:…``; needs ``host`` and ``username``.
            host: host to connect to; by default the secret's, or found through the secret's tags.
            port: port; by default the secret's, or 5432.
            dbname: database; by default the secret's, or postgres.
            username: user; by default the secret's.
            migrations: the folder of migrations, relative to where the app runs.
            target: the last version to apply; by default all of them.
            reason: text for the history of runs.
            first_run: ``allow`` or ``refuse`` a first run in a database that already has tables. By
                default, the setting ``LOCKGATE_FIRST_RUN`` in ``environment``, or else ``refuse``.
            with_migration: migrate when the stack is deployed. With ``False``, nothing runs until you
                invoke the function.
            service_timeout: how long CloudFormation waits for a migration, from a minute to an hour.
                Two retries after a kill need 48 minutes.
            with_codepipeline: permit the function to answer CodePipeline, which invokes it as an action.
            with_codedeploy: permit the function to answer CodeDeploy, which invokes it as a lifecycle
                hook.
            environment: further settings (docs/configuration.md) and variables of migrations.
            backup: ``off``, ``record`` or ``snapshot`` before a change; by default recorded if possible.
            vpc_subnets: subnets of the functions; by default the private ones.
            security_groups: security groups of the functions; by default a new one, which permits
                traffic to the database and to HTTPS.
            endpoints: the endpoints to create in a VPC without NAT.
            with_operate: also create the function for operators.
            operate_concurrency: concurrency reserved for it, 2 or more.
            architecture: the architecture of the functions and the package.
            memory_size: memory in MB. Lambda gives CPU in proportion to it.
            log_retention: how long logs are kept.
            encryption_key: key for the functions' variables and their logs; its policy must permit
                CloudWatch Logs to use it.
            on_failure: destination of events that Lambda gives up after its retries. Such an event
                contains the signed URL of its answer.
            with_alarms: create the alarms.
            alarm_topic: the topic that receives alarms.
            with_dashboard: create a CloudWatch dashboard of runs, times and reports.
            build_options: further options of the build, such as ``["--no-compile"]``.

        Raises:
            ValueError: arguments contradict each other, or a setting is invalid.
            PackageNotBuilt: there is no such folder of migrations.
        """
        super().__init__(scope, construct_id)
        check_timeout(service_timeout)
        if not with_migration:
            refuse_request(target=target, reason=reason, first_run=first_run)
        database = choose_database(cluster, instance)
        if secret is None and iam_database_user_arn is None:
            secret = getattr(database, "secret", None)
        access = read_access(secret, iam_database_user_arn, host, username)
        options = list_options(environment or {}, build_options)
        order = Order(Path(migrations).resolve(), architecture.name, options)
        digest = compute_digest(order)
        given_secret = None if secret is None else secret.secret_arn
        settings = {
            "LOCKGATE_SECRET_ARN": given_secret,
            "LOCKGATE_IAM_AUTH": None if iam_database_user_arn is None else "true",
            "LOCKGATE_HOST": host,
            "LOCKGATE_PORT": port,
            "LOCKGATE_DBNAME": dbname,
            "LOCKGATE_USERNAME": username,
            "LOCKGATE_BACKUP": backup,
        }
        groups = [_make_security_group(self, vpc)] if security_groups is None else security_groups
        self._connections = ec2.Connections(security_groups=list(groups))
        shared = Shared(
            code=make_code(order, digest),
            architecture=architecture,
            memory_size=memory_size,
            vpc=vpc,
            subnets=vpc_subnets,
            security_groups=groups,
            environment=make_environment(settings, environment or {}),
            policies=_make_policies(self, access, backup),
            log_retention=log_retention,
            key=encryption_key,
        )
        self.function, self.log_group = make_function(
            self,
            shared,
            # After that CloudFormation no longer waits, so a queued event must not run.
            replace(MIGRATE, max_event_age=service_timeout),
            on_failure=on_failure,
            answer_policies=make_answer_policies(
                codepipeline=with_codepipeline, codedeploy=with_codedeploy
            ),
        )
        self.operate_function: lambda_.Function | None = None
        self.operate_log_group: logs.LogGroup | None = None
        if with_operate:
            self.operate_function, self.operate_log_group = make_function(
                self, shared, OPERATE, reserved_concurrency=operate_concurrency
            )
            # Hints for operators contain its name.
            self.function.add_environment("LOCKGATE_OPERATE", self.operate_function.function_name)
        if database is not None:
            self.connections.allow_to_default_port(database, "Functions of Lockgate")
        # The function includes its retries, and the route out of its subnets.
        way_out = [
            self.function,
            *groups,
            *(make_endpoint(self, endpoint, vpc, vpc_subnets) for endpoint in endpoints),
        ]
        goes_on = let_continue(self, self.function)
        self._check: cdk.CustomResource | None = None
        self._resource: cdk.CustomResource | None = None
        if with_migration:
            self._check = make_check(self, self.function)
            self._check.node.add_dependency(*way_out)
            self._resource = make_migration(
                self,
                self.function,
                service_timeout,
                {
                    "PackageDigest": digest,
                    "SecretArn": given_secret,
                    "Host": host,
                    "Port": port,
                    "DbName": dbname,
                    "Target": target,
                    "Reason": reason,
                    "FirstRun": choose_first_run(first_run, environment or {}),
                },
            )
            self._resource.node.add_dependency(
                self._check, *way_out, goes_on, *_list_what_is_reached(database)
            )
        alarms: list[cloudwatch.Alarm] = []
        if with_alarms:
            alarms = make_alarms(
                self, self.function, alarm_topic, has_destination=on_failure is not None
            )
        if with_dashboard:
            make_dashboard(self, self.function, self.log_group, alarms)

    def before(self, *dependents: IConstruct) -> None:
        """Make each of ``dependents`` wait for the migration only, not for alarms and Operate."""
        for dependent in dependents:
            dependent.node.add_dependency(self.resource)

    @property
    def check(self) -> cdk.CustomResource:
        """The resource that checks that the function can answer, before the migration.

        Raises:
            ValueError: the construct was made with ``with_migration=False``.
        """
        return _expect_migration(self._check)

    @property
    def resource(self) -> cdk.CustomResource:
        """The migration: CloudFormation calls the function when one of its properties changes.

        Raises:
            ValueError: the construct was made with ``with_migration=False``.
        """
        return _expect_migration(self._resource)

    @property
    def connections(self) -> ec2.Connections:
        """The functions' connections, for rules that the construct does not create."""
        return self._connections

    @property
    def status(self) -> str:
        """Result of the last run of this stack: ``applied``, ``up_to_date`` or ``rolled_back``."""
        return str(self.resource.get_att_string("Status"))

    @property
    def from_version(self) -> str:
        """Version of the schema before that run; empty on a new database."""
        return str(self.resource.get_att_string("FromVersion"))

    @property
    def to_version(self) -> str:
        """Version of the schema after that run."""
        return str(self.resource.get_att_string("ToVersion"))

    @property
    def applied_count(self) -> str:
        """Number of migrations that the run applied, as text."""
        return str(self.resource.get_att_string("AppliedCount"))

    @property
    def run_id(self) -> str:
        """The run's id in the history and in the log."""
        return str(self.resource.get_att_string("RunId"))


def _expect_migration(resource: cdk.CustomResource | None) -> cdk.CustomResource:
    if resource is None:
        raise ValueError("With with_migration=False the stack has no migration to refer to.")
    return resource


def _make_security_group(scope: Construct, vpc: ec2.IVpc) -> ec2.SecurityGroup:
    group = ec2.SecurityGroup(
        scope,
        "SecurityGroup",
        vpc=vpc,
        description="Functions of Lockgate",
        allow_all_outbound=False,
    )
    group.add_egress_rule(ec2.Peer.any_ipv4(), ec2.Port.tcp(443), "AWS, by NAT or endpoints")
    return group


def _make_policies(scope: Construct, access: Access, backup: str | None) -> list[iam.ManagedPolicy]:
    reach = iam.ManagedPolicy(
        scope,
        "ReachDatabase",
        description="Use the network, find the database and sign in to it.",
        statements=list_reach_statements(access),
    )
    accept_findings(reach, REACH_DATABASE)
    if backup == BackupMode.OFF:
        return [reach]
    back_up = iam.ManagedPolicy(
        scope,
        "BackUp",
        description="Find or create a backup before a change.",
        statements=list_backup_statements(takes_snapshots=backup == BackupMode.SNAPSHOT),
    )
    accept_findings(back_up, BACK_UP)
    return [reach, back_up]


def _list_what_is_reached(
    database: rds.IDatabaseCluster | rds.IDatabaseInstance | None,
) -> list[IConstruct]:
    """Return the database with its instances, and its security groups, which admit the functions."""
    return [] if database is None else [database, *database.connections.security_groups]
