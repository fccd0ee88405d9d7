"""The warm-up before the first event, and that a failing warm-up does not prevent an answer."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from moto import mock_aws

from lockgate.aws import clients
from lockgate.aws.clients import make_client
from lockgate.awslambda.warm_up import warm_up
from lockgate.postgres.server.tls import make_verifying_context

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:shop/database-AbCdEf"


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave no client and no context to other tests."""
    monkeypatch.setattr(clients, "_cached", {})
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    make_verifying_context.cache_clear()
    with mock_aws():
        yield
    make_verifying_context.cache_clear()


def test_run_finds_the_client_of_its_secret() -> None:
    """A run uses the client that the warm-up made for the secret's region."""
    warm_up({"LOCKGATE_SECRET_ARN": SECRET})

    first = make_client("secretsmanager", "eu-west-1")
    assert first is make_client("secretsmanager", "eu-west-1")
    assert "eu-west-1" == first.meta.region_name
    assert first is not make_client("secretsmanager", "eu-west-2")


def test_client_with_other_retries_is_another() -> None:
    """A client with another number of attempts is not the cached one."""
    warm_up({"LOCKGATE_SECRET_ARN": SECRET})

    assert make_client("secretsmanager", "eu-west-1") is not make_client(
        "secretsmanager", "eu-west-1", attempts=1
    )


def test_run_finds_the_certificates(tmp_path: Path) -> None:
    """The certificates are read once, with the file of the settings."""
    ca_file = tmp_path / "none.pem"

    warm_up({"LOCKGATE_IAM_AUTH": "true"})
    warm_up({"LOCKGATE_IAM_AUTH": "true", "LOCKGATE_CA_FILE": str(ca_file)})

    assert 1 == make_verifying_context.cache_info().currsize, "the second file is not there"


def test_format_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """The warm-up imports the format's module."""
    monkeypatch.delitem(sys.modules, "lockgate.formats.goose.tool", raising=False)

    warm_up({"LOCKGATE_FORMAT": "goose"})

    assert "lockgate.formats.goose.tool" in sys.modules


@pytest.mark.parametrize(
    "environment",
    [
        {"LOCKGATE_NO_SUCH": "x"},
        {"LOCKGATE_FORMAT": "nobody's"},
        {"LOCKGATE_CA_FILE": "/nowhere"},
        {"LOCKGATE_SECRET_ARN": "no ARN, and no region"},
    ],
)
def test_broken_settings_are_left_to_the_run(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The warm-up ignores invalid settings, so that the run reports them."""
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)

    warm_up(environment)

    assert {} == clients._cached
