"""Secrets of every form are read at a given stage, and each failure has a hint."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.stub import Stubber

from lockgate.aws.parts import ConnectionParts, SecretStage
from lockgate.aws.secrets import read_secret
from lockgate.errors import CredentialsRejected, LockgateError, SettingInvalid

if TYPE_CHECKING:
    from collections.abc import Callable

WORD = "hunter2"
MASTER = {"username": "app", "password": WORD}
RDS_SECRET = {
    "engine": "aurora-postgresql",
    "host": "db.example",
    "port": "6543",
    "dbname": "orders",
    "dbClusterIdentifier": "main",
    **MASTER,
}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (RDS_SECRET, ConnectionParts("app", WORD, "db.example", 6543, "orders")),
        ({**MASTER, "port": 6543, "ssl": True}, ConnectionParts("app", WORD, port=6543)),
        (MASTER, ConnectionParts("app", WORD)),
        ({**MASTER, "host": "", "dbname": "", "port": ""}, ConnectionParts("app", WORD)),
        ({**MASTER, "engine": "postgres", "dbname": None}, ConnectionParts("app", WORD)),
        ({"username": "app"}, ConnectionParts("app")),
        ({"url": f"postgresql://app:{WORD}@h/d"}, ConnectionParts("app", WORD, "h", None, "d")),
        (f"postgres://app:{WORD}@h/d\n", ConnectionParts("app", WORD, "h", None, "d")),
        (f'"postgres://app:{WORD}@h/d"', ConnectionParts("app", WORD, "h", None, "d")),
    ],
)
def test_secret_of_each_shape_is_read(
    make_secret: Callable[..., str], secrets: Any, value: object, expected: ConnectionParts
) -> None:
    """Each common form of a secret is read, and an empty field counts as missing."""
    secret = read_secret(secrets, make_secret(value), SecretStage.CURRENT)
    assert secret is not None
    assert expected == secret.parts


WHOLE = ConnectionParts("app", WORD, "db.example", 6543, "orders")


@pytest.mark.parametrize(
    "value",
    [
        {**MASTER, "host": "db.example:6543", "dbname": "orders"},
        {**MASTER, "host": "db.example:6543", "port": 6543, "dbname": "orders"},
        {**MASTER, "host": " db.example\n", "port": 6543, "database": "orders"},
        {**MASTER, "hostname": "db.example", "port": "6543", "db": "orders"},
        {**MASTER, "endpoint": "db.example:6543", "dbName": "orders"},
        {**MASTER, "host": "db.example", "port": 6543, "db_name": "orders"},
        {**MASTER, "host": "db.example", "port": 6543, "databaseName": "orders"},
        {**MASTER, "host": "db.example", "port": 6543, "dbname": "orders", "database": "orders"},
        {"user": "app", "passwd": WORD, "host": "db.example:6543", "db": "orders"},
        {
            "PGUSER": "app",
            "PGPASSWORD": WORD,
            "PGHOST": "db.example",
            "PGPORT": "6543",
            "PGDATABASE": "orders",
        },
        {
            "DB_USER": "app",
            "DB_PASSWORD": WORD,
            "DB_HOST": "db.example",
            "DB_PORT": "6543",
            "DB_NAME": "orders",
        },
        {
            "POSTGRES_USER": "app",
            "POSTGRES_PASSWORD": WORD,
            "POSTGRES_HOST": "db.example",
            "POSTGRES_PORT": "6543",
            "POSTGRES_DB": "orders",
        },
        {"DATABASE_URL": f"postgresql://app:{WORD}@db.example:6543/orders"},
        {"uri": f"postgresql://app:{WORD}@db.example:6543", "database": "orders"},
    ],
)
def test_secret_with_other_keys_is_read_as_it_is_meant(
    make_secret: Callable[..., str], secrets: Any, value: object
) -> None:
    """Other common key names are recognised, so that no part of the address is ignored."""
    secret = read_secret(secrets, make_secret(value), SecretStage.CURRENT)
    assert secret is not None
    assert secret.parts == WHOLE


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"host": "h:5432", "port": 5433}, "has a port in host and a different one in port."),
        ({"host": "h", "hostname": "i"}, "has 2 values for host: host, hostname differ."),
        ({"dbname": "a", "database": "b"}, "has 2 values for dbname: database, dbname differ."),
        ({"user": "other"}, "has 2 values for username: user, username differ."),
        ({"host": "https://h"}, "has a host that is not a host name or address."),
        ({"host": "postgresql://h/d"}, "has a host that is not a host name"),
        ({"host": "h/d"}, "has a host that is not a host name"),
        ({"host": "h:54x"}, "has a host that is not a host name"),
        ({"host": "u@h"}, "has a host that is not a host name"),
        (
            {"url": f"postgresql://app:{WORD}@h/a", "dbname": "b"},
            "has a dbname in url and a different",
        ),
        ({"dbname": "\ud800"}, "has a dbname that is not text."),
    ],
)
def test_contradictory_secret_is_refused_without_its_values(
    make_secret: Callable[..., str], secrets: Any, value: dict[str, Any], problem: str
) -> None:
    """Contradictory or invalid values are refused, so that no other database is migrated."""
    arn = make_secret({**MASTER, **value})
    with pytest.raises(SettingInvalid) as caught:
        read_secret(secrets, arn, SecretStage.CURRENT)
    assert problem in caught.value.message
    assert WORD not in str(caught.value)


def test_secret_keeps_what_names_it(make_secret: Callable[..., str], secrets: Any) -> None:
    """Name, version, stage and RDS identifiers are kept, and the origin shows no value."""
    arn = make_secret({**RDS_SECRET, "dbInstanceIdentifier": "main-1"})
    secret = read_secret(secrets, "prod/db", SecretStage.CURRENT)
    assert secret is not None
    version = secrets.describe_secret(SecretId=arn)["VersionIdsToStages"].popitem()[0]
    assert ("main", "main-1", arn) == (secret.cluster_id, secret.instance_id, secret.arn)
    assert f"secret prod/db version {version[:8]}… (AWSCURRENT)" == secret.origin


def test_stage_decides_which_version_is_read(make_secret: Callable[..., str], secrets: Any) -> None:
    """During a rotation each stage has its own version, and otherwise nothing is pending."""
    arn = make_secret(MASTER)
    assert read_secret(secrets, arn, SecretStage.PENDING) is None
    secrets.put_secret_value(
        SecretId=arn,
        SecretString=json.dumps({**MASTER, "password": "next"}),
        VersionStages=["AWSPENDING"],
    )
    pending = read_secret(secrets, arn, SecretStage.PENDING)
    current = read_secret(secrets, arn, SecretStage.CURRENT)
    assert pending is not None
    assert current is not None
    assert (pending.parts.password, current.parts.password) == ("next", WORD)
    assert pending.version_id != current.version_id


@pytest.mark.parametrize(
    ("value", "error", "problem"),
    [
        (
            f"app:{WORD}",
            CredentialsRejected,
            "holds neither a JSON object nor a postgresql:// URL.",
        ),
        (
            f'["{WORD}"]',
            CredentialsRejected,
            "holds neither a JSON object nor a postgresql:// URL.",
        ),
        (
            f'{{"password": "{WORD}"',
            CredentialsRejected,
            "holds neither a JSON object nor a postgresql:// URL.",
        ),
        (
            {"password": WORD},
            CredentialsRejected,
            "lacks username, and it has no url either.",
        ),
        (
            {"token": WORD},
            CredentialsRejected,
            "lacks username, password, and it has no url either.",
        ),
        (
            {"engine": "mysql", **MASTER},
            SettingInvalid,
            'is for the engine "mysql"; Lockgate migrates PostgreSQL only.',
        ),
        (
            {"engine": f"Pass {WORD}", **MASTER},
            SettingInvalid,
            "is for the engine another one; Lockgate migrates PostgreSQL only.",
        ),
        ({"username": "app", "password": 5}, SettingInvalid, "has a password that is not text."),
        ({**MASTER, "username": f"{WORD}\0"}, SettingInvalid, "has a username that is not text."),
        ({**MASTER, "port": WORD}, SettingInvalid, "has a port that is not a port number."),
        ({**MASTER, "port": True}, SettingInvalid, "has a port that is not a port number."),
        ({**MASTER, "port": 0}, SettingInvalid, "has a port that is not a port number."),
    ],
)
def test_secret_without_credentials_is_refused_unquoted(
    make_secret: Callable[..., str],
    secrets: Any,
    value: object,
    error: type[LockgateError],
    problem: str,
) -> None:
    """The message names secret, version and key, never a value, and no parser error is its context."""
    make_secret(value)
    version = secrets.describe_secret(SecretId="prod/db")["VersionIdsToStages"].popitem()[0]
    with pytest.raises(error) as caught:
        read_secret(secrets, "prod/db", SecretStage.CURRENT)
    expected = f"Secret prod/db version {version[:8]}… (AWSCURRENT) {problem}"
    assert expected == str(caught.value)
    assert caught.value.__context__ is None
    assert caught.value.hint is not None
    assert WORD not in caught.value.hint


def test_bad_url_in_a_secret_names_the_secret(
    make_secret: Callable[..., str], secrets: Any
) -> None:
    """The error names the secret's version as the source of the URL."""
    make_secret({"url": f"postgresql://app:{WORD}@h:x/d"})
    with pytest.raises(SettingInvalid, match=r"URL in secret prod/db version .{8}… \(AWSCURRENT\)"):
        read_secret(secrets, "prod/db", SecretStage.CURRENT)


def test_binary_secret_is_refused(secrets: Any) -> None:
    """A binary secret is refused."""
    secrets.create_secret(Name="blob", SecretBinary=b"hunter2")
    with pytest.raises(CredentialsRejected, match=r"Secret blob version .* is binary"):
        read_secret(secrets, "blob", SecretStage.CURRENT)


def test_missing_secret_is_rejected_with_the_setting_to_check(secrets: Any) -> None:
    """The error for a missing secret names the setting to check."""
    with pytest.raises(CredentialsRejected) as caught:
        read_secret(secrets, "prod/nothing", SecretStage.CURRENT)
    assert str(caught.value) == (
        "Secret prod/nothing (AWSCURRENT) cannot be read: there is no such secret here, or it has"
        " no version staged AWSCURRENT."
    )
    assert caught.value.hint is not None
    assert "LOCKGATE_SECRET_ARN" in caught.value.hint


@pytest.mark.parametrize(
    ("code", "problem", "advice"),
    [
        (
            "AccessDeniedException",
            "this role may not read it (AccessDeniedException)",
            "kms:Decrypt",
        ),
        ("DecryptionFailure", "its KMS key cannot decrypt it (DecryptionFailure)", "kms:Decrypt"),
        (
            "InvalidRequestException",
            "it is marked for deletion, or its state does not allow it (InvalidRequestException)",
            "Restore the secret",
        ),
        (
            "ExpiredTokenException",
            "AWS does not accept the credentials of this process (ExpiredTokenException)",
            "Sign in",
        ),
        ("ThrottlingException", "AWS answered ThrottlingException", "Invoke again"),
    ],
)
@pytest.mark.parametrize("stage", SecretStage)
def test_refusal_by_aws_has_a_hint(
    code: str, problem: str, advice: str, stage: SecretStage
) -> None:
    """Each error code has its own message and hint, and the cause is kept."""
    client = boto3.client("secretsmanager")
    with Stubber(client) as stubber:
        stubber.add_client_error(
            "get_secret_value",
            service_error_code=code,
            service_message="User: me is not authorized",
            expected_params={"SecretId": "prod/db", "VersionStage": stage.value},
        )
        with pytest.raises(CredentialsRejected) as caught:
            read_secret(client, "prod/db", stage)
    expected = f"Secret prod/db ({stage}) cannot be read: {problem}."
    assert expected == str(caught.value)
    assert caught.value.hint is not None
    assert advice in caught.value.hint
    assert caught.value.__cause__ is not None
