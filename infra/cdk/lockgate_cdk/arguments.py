"""The construct's arguments, checked and read. Makes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aws_cdk as cdk

from lockgate.core.policy import FirstRun
from lockgate.settings import read_settings
from lockgate_cdk.policies import Access

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aws_cdk import aws_rds as rds
    from aws_cdk import aws_secretsmanager as secretsmanager

_SHORTEST_SECONDS, _LONGEST_SECONDS = 60, 3_600
# Set by arguments, or by how the construct works; each with the way to say it.
_OWN_SETTINGS = {
    "LOCKGATE_SECRET_ARN": "Give secret=.",
    "LOCKGATE_IAM_AUTH": "Give iam_database_user_arn=.",
    "LOCKGATE_HOST": "Give host=.",
    "LOCKGATE_PORT": "Give port=.",
    "LOCKGATE_DBNAME": "Give dbname=.",
    "LOCKGATE_USERNAME": "Give username=.",
    "LOCKGATE_BACKUP": "Give backup=.",
    "LOCKGATE_MIGRATIONS": "Give migrations=.",
    "LOCKGATE_OPERATE": "The construct names the function that it makes.",
    "LOCKGATE_CFN_RESPONSE": "The function itself answers CloudFormation here.",
}


def check_timeout(service_timeout: cdk.Duration) -> None:
    """Refuse what the parameter ``ServiceTimeout`` of template.yaml refuses.

    Raises:
        ValueError: Lambda keeps no event for so short, or CloudFormation does not wait for so long.
    """
    if not _SHORTEST_SECONDS <= service_timeout.to_seconds() <= _LONGEST_SECONDS:
        raise ValueError("service_timeout= must be from a minute to an hour.")


def refuse_request(**given: str | None) -> None:
    """Refuse arguments for a migration where there is none.

    Raises:
        ValueError: one of them was given.
    """
    for name, value in given.items():
        if value is not None:
            raise ValueError(
                f"{name}= is for the migration, and with with_migration=False there is none."
            )


def choose_database(
    cluster: rds.IDatabaseCluster | None, instance: rds.IDatabaseInstance | None
) -> rds.IDatabaseCluster | rds.IDatabaseInstance | None:
    """Return the database that the construct is given, if any.

    Raises:
        ValueError: there are two.
    """
    if cluster is not None and instance is not None:
        raise ValueError(
            "A cluster and an instance were given. Give the one that has the database."
        )
    return cluster if cluster is not None else instance


def read_access(
    secret: secretsmanager.ISecret | None,
    iam_database_user_arn: str | None,
    host: str | None,
    username: str | None,
) -> Access:
    """Return how the functions get to the database.

    Raises:
        ValueError: there are no credentials, or they lead nowhere.
    """
    if secret is None and iam_database_user_arn is None:
        raise ValueError(
            "There are no credentials. Give secret=, a cluster or an instance that has one, or"
            " iam_database_user_arn= with host= and username=."
        )
    if secret is None and (host is None or username is None):
        raise ValueError("Without a secret, host= and username= must be given.")
    key = None if secret is None else secret.encryption_key
    return Access(
        secret_arn=None if secret is None else _find_full_arn(secret),
        secret_key_arn=None if key is None else key.key_arn,
        iam_database_user_arn=iam_database_user_arn,
        finds_host=secret is not None and host is None,
    )


def _find_full_arn(secret: secretsmanager.ISecret) -> str:
    """Return the ARN as policies need it; one without its ending matches any six characters."""
    return secret.secret_full_arn or f"{secret.secret_arn}-??????"


def choose_first_run(given: str | None, environment: Mapping[str, str]) -> str:
    """Return the property as the template always has it; the setting counts if nothing is given."""
    if given is None:
        return environment.get("LOCKGATE_FIRST_RUN", FirstRun.REFUSE.value)
    return FirstRun(given).value


def make_environment(
    own: Mapping[str, str | int | None], further: Mapping[str, str]
) -> dict[str, str]:
    """Return the functions' variables.

    Raises:
        ValueError: one of ``further`` is the construct's own.
        SettingInvalid: one is no setting, or has a value that it cannot have.
    """
    for name in further:
        if name in _OWN_SETTINGS:
            raise ValueError(f"{name} is not taken from environment=. {_OWN_SETTINGS[name]}")
    given = {name: str(value) for name, value in own.items() if value is not None}
    environment = {**given, **further}
    # What is known only to the deploy is looked at by the function.
    known = {k: v for k, v in environment.items() if not cdk.Token.is_unresolved(v)}
    read_settings(known)
    return environment
