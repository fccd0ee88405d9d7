"""Clients fail within seconds, and their exceptions are translated to Lockgate's errors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    ProfileNotFound,
    ReadTimeoutError,
    UnauthorizedSSOTokenError,
    UnknownServiceError,
)

from lockgate.aws.call import Call, region_of
from lockgate.aws.clients import make_client, may_pass, translated
from lockgate.errors import CredentialsRejected, DatabaseUnreachable

CALL = Call("Secret prod/db", "secretsmanager:GetSecretValue", "secretsmanager")
URL = "https://secretsmanager.eu-west-1.amazonaws.com/"
UNREACHABLE = "the endpoint of secretsmanager cannot be reached"


def test_client_fails_within_seconds() -> None:
    """The client waits 3 s to connect and 5 s to read, and makes at most three attempts."""
    config = make_client("secretsmanager", "eu-central-1").meta.config
    assert (config.connect_timeout, config.read_timeout) == (3, 5)
    assert config.retries == {"mode": "standard", "total_max_attempts": 3}
    assert config.region_name == "eu-central-1"


def test_client_uses_the_region_of_the_aws_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS_REGION takes precedence over AWS_DEFAULT_REGION, which botocore alone would use."""
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    assert "eu-north-1" == make_client("secretsmanager", None).meta.region_name
    assert "eu-west-3" == make_client("secretsmanager", "eu-west-3").meta.region_name


def test_client_without_region_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a region, the hint says how to set one."""
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    with pytest.raises(CredentialsRejected, match=r"no region is set \(NoRegionError\)") as caught:
        make_client("secretsmanager", None)
    assert caught.value.hint is not None
    assert "AWS_REGION" in caught.value.hint


@pytest.mark.parametrize(
    ("error", "problem", "advice"),
    [
        (
            EndpointConnectionError(endpoint_url=URL),
            f"{UNREACHABLE} (EndpointConnectionError)",
            "needs an interface endpoint for secretsmanager",
        ),
        (
            ConnectTimeoutError(endpoint_url=URL),
            f"{UNREACHABLE} (ConnectTimeoutError)",
            "needs an interface endpoint for secretsmanager",
        ),
        (
            ReadTimeoutError(endpoint_url=URL),
            f"{UNREACHABLE} (ReadTimeoutError)",
            "needs an interface endpoint for secretsmanager",
        ),
        (
            NoCredentialsError(),
            "this process has no AWS credentials (NoCredentialsError)",
            "Give the function a role",
        ),
        (NoRegionError(), "no region is set (NoRegionError)", "AWS_REGION"),
        (
            ProfileNotFound(profile="x"),
            "the AWS configuration has no such profile (ProfileNotFound)",
            "aws configure list-profiles",
        ),
        (
            UnauthorizedSSOTokenError(),
            "this process has no AWS credentials (UnauthorizedSSOTokenError)",
            "sign in to AWS",
        ),
        (
            UnknownServiceError(service_name="x", known_service_names="y"),
            "the AWS client failed (UnknownServiceError)",
            "Check the names",
        ),
        (
            ClientError({"Error": {"Code": "SlowDown"}}, "GetSecretValue"),
            "AWS answered SlowDown",
            "Invoke again",
        ),
        (
            ClientError({}, "GetSecretValue"),
            "AWS answered an unnamed error",
            "Invoke again",
        ),
    ],
)
def test_failure_of_the_client_is_translated(
    error: BotoCoreError | ClientError, problem: str, advice: str
) -> None:
    """Each kind of failure has its own message and hint, and keeps its cause."""
    with pytest.raises(CredentialsRejected) as caught, translated(CALL):
        raise error
    expected = f"Secret prod/db cannot be read: {problem}."
    assert expected == str(caught.value)
    assert caught.value.hint is not None
    assert advice in caught.value.hint
    assert error is caught.value.__cause__


def test_call_chooses_the_error_class() -> None:
    """A failure to look up a database endpoint is not reported as a credentials error."""
    call = Call("The endpoint", "rds:DescribeDBInstances", "rds", error_class=DatabaseUnreachable)
    with pytest.raises(DatabaseUnreachable), translated(call):
        raise NoCredentialsError


def answer_of(status: int, code: str) -> ClientError:
    """Return an AWS error with this HTTP status and error code."""
    metadata: Any = {"HTTPStatusCode": status}
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": metadata}, "GetSecretValue")


def translate(error: BotoCoreError | ClientError) -> CredentialsRejected:
    """Return the translated error."""
    with pytest.raises(CredentialsRejected) as caught, translated(CALL):
        raise error
    return caught.value


@pytest.mark.parametrize(
    "error",
    [
        answer_of(400, "ThrottlingException"),
        answer_of(429, "TooManyRequestsException"),
        answer_of(500, "InternalFailure"),
        answer_of(503, "ServiceUnavailable"),
        EndpointConnectionError(endpoint_url=URL),
        ReadTimeoutError(endpoint_url=URL),
    ],
)
def test_transient_error_is_retried(error: BotoCoreError | ClientError) -> None:
    """Throttling, AWS's server errors and network errors are temporary."""
    assert may_pass(translate(error))


@pytest.mark.parametrize(
    "error",
    [
        answer_of(400, "AccessDeniedException"),
        answer_of(404, "ResourceNotFoundException"),
        ClientError({}, "GetSecretValue"),
        NoCredentialsError(),
    ],
)
def test_refusal_is_not_retried(error: BotoCoreError | ClientError) -> None:
    """A refusal by AWS is permanent."""
    assert not may_pass(translate(error))


@pytest.mark.parametrize(
    ("arn", "expected"),
    [
        ("arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-AbCdEf", "eu-west-1"),
        ("arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:prod/db", "cn-north-1"),
        ("prod/db", None),
        ("arn:aws:iam::123456789012:role/x", None),
        (None, None),
    ],
)
def test_region_is_read_off_an_arn(arn: str | None, expected: str | None) -> None:
    """The region is read from an ARN, and a plain name has none."""
    assert expected == region_of(arn)


def test_boto3_is_not_imported_for_a_database_url() -> None:
    """With a database URL, boto3 is not imported."""
    script = (
        "import sys\n"
        "from lockgate.aws.access import AccessSource\n"
        "from lockgate.aws.parts import SecretStage\n"
        "from lockgate.settings import Settings\n"
        "settings = Settings(database_url='postgresql://app:pw@localhost/d')\n"
        "AccessSource(settings).access(SecretStage.CURRENT)\n"
        "print([name for name in sys.modules if name.startswith(('boto', 'moto'))])\n"
    )
    handler = Path(__file__).parents[2] / "handler"
    ran = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": str(handler)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout == "[]\n"


def test_endpoint_setting_replaces_aws_by_moto() -> None:
    """The tests in this folder use moto's account."""
    identity = boto3.client("sts").get_caller_identity()
    assert identity["Account"] == "123456789012"
