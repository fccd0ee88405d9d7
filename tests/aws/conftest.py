"""Fixtures for AWS: moto in the place of the account, and credentials that open nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws
from tests.support.aws import save_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REGION = "eu-west-1"


@pytest.fixture(autouse=True)
def _aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put moto in the place of AWS for every test of this folder."""
    save_time(monkeypatch)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_SESSION_TOKEN": "testing",
        "AWS_DEFAULT_REGION": REGION,
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with mock_aws():
        yield


@pytest.fixture
def secrets() -> Any:
    """Give a client of Secrets Manager."""
    return boto3.client("secretsmanager", region_name=REGION)


@pytest.fixture
def rds() -> Any:
    """Give a client of RDS."""
    return boto3.client("rds", region_name=REGION)


@pytest.fixture
def make_secret(secrets: Any) -> Callable[..., str]:
    """Give a function that stores a secret, as JSON unless it is text, and returns its ARN."""

    def make(value: object, *, name: str = "prod/db", tags: dict[str, str] | None = None) -> str:
        text = value if isinstance(value, str) else json.dumps(value)
        pairs = [{"Key": key, "Value": content} for key, content in (tags or {}).items()]
        arn: str = secrets.create_secret(Name=name, SecretString=text, Tags=pairs)["ARN"]
        return arn

    return make
