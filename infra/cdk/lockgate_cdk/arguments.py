"""Checks and reads the construct's arguments."""

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
# Settings that arguments or the construct itself set, and what to do instead.
_OWN_SETTINGS = {
    "LOCKGATE_SECRET_ARN": "Give secret=.",
    "LOCKGATE_IAM_AUTH": "Give iam_database_user_arn=.",
    "LOCKGATE_HOST": "Give host=.",
    "LOCKGATE_PORT": "Give port=.",
    "LOCKGATE_DBNAME": "Give dbname=.",
    "LOCKGATE_USERNAME": "Give username=.",
    "LOCKGATE_BACKUP": "Give backup=.",
    "LOCKGATE_MIGRATIONS": "Give migrations=.",
    "LOCKGATE_OPERATE": "The construct sets it to the function that it creates.",
    "LOCKGATE_CFN_RESPONSE": "With the construct, the function itself answers CloudFormation.",
}


def check_timeout(service_timeout: cdk.Duration) -> None:
    """Refuse a timeout that the parameter ``ServiceTimeout`` of template.yaml refuses.

    Raises:
        ValueError: it is shorter than Lambda keeps an event, or longer than CloudFormation waits.
    """
    if not _SHORTEST_SECONDS <= service_timeout.to_seconds() <= _LONGEST_SECONDS:
        raise ValueError("service_timeout= must be from a minute to an hour.")


def refuse_request(**given: str | None) -> None:
    """Refuse arguments that are only for a migration, if there is none.

    Raises:
        ValueError: one of them was given.
    """
    for name, value in given.items():
        if value is not None:
            raise ValueError(
                f"{name}= is for the migration, but with_migration=False creates none."
            )


def choose_database(
    cluster: rds.IDatabaseCluster | None, instance: rds.IDatabaseInstance | None
) -> rds.IDatabaseCluster | rds.IDatabaseInstance | None:
    """Return the given cluster or instance, if any.

    Raises:
        ValueError: both are given.
    """
    if cluster is not None and instance is not None:
        raise ValueError(
            "Both cluster= and instance= were given. Give only the one with the database."
        )
    return cluster if cluster is not None else instance


def read_access(
    secret: secretsmanager.ISecret | None,
    iam_database_user_arn: str | None,
    host: str | None,
    username: str | None,
) -> Access:
    """Return how the functions reach the database and sign in.

    Raises:
        ValueError: there are no credentials, or no host or user for them.
    """
    if secret is None and iam_database_user_arn is None:
        raise ValueError(
            "There are no credentials. Give secret=, a cluster or an instance with a secret, or"
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
    """Return the ARN for policies; if its random ending is unknown, with wildcards for it."""
    return secret.secret_full_arn or f"{secret.secret_arn}-??????"


def choose_first_run(given: str | None, environment: Mapping[str, str]) -> str:
    """Return the property, which the template always sets; by default, it is the setting's value."""
    if given is None:
        return environment.get("LOCKGATE_FIRST_RUN", FirstRun.REFUSE.value)
    return FirstRun(given).value


def make_environment(
    own: Mapping[str, str | int | None], further: Mapping[str, str]
) -> dict[str, str]:
    """Return the functions' environment variables.

    Raises:
        ValueError: the construct itself sets one of ``further``.
        SettingInvalid: a setting is unknown or has an invalid value.
    """
    for name in further:
        if name in _OWN_SETTINGS:
            raise ValueError(f"environment= must not contain {name}. {_OWN_SETTINGS[name]}")
    given = {name: str(value) for name, value in own.items() if value is not None}
    environment = {**given, **further}
    # The function checks values that are known only when the stack is deployed.
    known = {k: v for k, v in environment.items() if not cdk.Token.is_unresolved(v)}
    read_settings(known)
    return environment
