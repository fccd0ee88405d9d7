"""Fixtures for AWS: moto in place of the account, with dummy credentials."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.client import BaseClient
from moto import mock_aws
from tests.support.aws import save_time
from tests.support.permissions import PACKAGE, list_allowed_actions, name_action

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

REGION = "eu-west-1"


@pytest.fixture(autouse=True)
def _aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Replace AWS by moto for every test in this folder."""
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


@pytest.fixture(autouse=True)
def _permitted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Check every AWS call of Lockgate's own code against the template's permissions."""
    call = BaseClient._make_api_call  # type: ignore[attr-defined]  # the stubs omit it
    forbidden: list[str] = []

    def watch(client: BaseClient, operation: str, parameters: dict[str, Any]) -> Any:
        action = name_action(client.meta.service_model.service_name, operation)
        if _is_asked_by_lockgate() and action not in list_allowed_actions():
            forbidden.append(action)
        return call(client, operation, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", watch)
    yield
    assert [] == forbidden


def _is_asked_by_lockgate() -> bool:
    """Return whether Lockgate made the call, ignoring frames of libraries and of tests/support."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(str(PACKAGE)):
            return True
        if "/tests/" in name and "/tests/support/" not in name:
            return False
        frame = frame.f_back
    return False


@pytest.fixture
def secrets() -> Any:
    """Return a client of Secrets Manager."""
    return boto3.client("secretsmanager", region_name=REGION)


@pytest.fixture
def rds() -> Any:
    """Return a client of RDS."""
    return boto3.client("rds", region_name=REGION)


@pytest.fixture
def make_secret(secrets: Any) -> Callable[..., str]:
    """Return a function that stores a secret, as JSON unless it is a string, and returns its ARN."""

    def make(value: object, *, name: str = "prod/db", tags: dict[str, str] | None = None) -> str:
        text = value if isinstance(value, str) else json.dumps(value)
        pairs = [{"Key": key, "Value": content} for key, content in (tags or {}).items()]
        arn: str = secrets.create_secret(Name=name, SecretString=text, Tags=pairs)["ARN"]
        return arn

    return make
