"""A package that cannot be imported: each caller hears the reason, and a stack can be rolled back.

Callers that wait for an answer are in `test_awaiting`, too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.cloudformation import Bucket
from tests.support.lambda_context import LambdaContext

from lockgate import entry
from lockgate.awslambda import app, load
from lockgate.errors import LockgateError, UnexpectedFailure

if TYPE_CHECKING:
    from collections.abc import Iterator

Event = dict[str, Any]

HANDLER = Path(__file__).parents[2] / "handler"
URL = "http://127.0.0.1:1/x?X-Amz-Signature=hush"


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    """Return the server behind the signed URL."""
    with Bucket() as running:
        yield running


def make_event(url: str, **more: Any) -> Event:
    """Return a Create event as delivered."""
    return {
        "RequestType": "Create",
        "ResponseURL": url,
        "StackId": "arn:aws:cloudformation:eu-west-1:123456789012:stack/shop/1",
        "RequestId": "one",
        "LogicalResourceId": "Migration",
        "ResourceProperties": {"CodeVersion": "1"},
        **more,
    }


def test_delete_succeeds_without_the_package(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Delete succeeds with its id, so the stack can be rolled back."""
    monkeypatch.setenv("LOCKGATE_CFN_LOOPBACK", "true")
    substitute = load.make_substitute(ModuleNotFoundError("No module named 'pg8000'"))
    deletion = make_event(bucket.sign_url(), RequestType="Delete", PhysicalResourceId="x")
    substitute(deletion, LambdaContext())
    (deleted,) = (json.loads(put.body) for put in bucket.puts)
    assert ("SUCCESS", "x") == (deleted["Status"], deleted["PhysicalResourceId"])


def test_function_without_its_package_is_counted_where_the_alarm_looks(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An answered event is not a function error, so the metric has to count it."""
    monkeypatch.setenv("LOCKGATE_CFN_LOOPBACK", "true")
    load.make_substitute(ImportError("broken"))(make_event(bucket.sign_url()), LambdaContext())
    line = json.loads(capsys.readouterr().out)
    (directive,) = line["_aws"]["CloudWatchMetrics"]

    assert {
        "Namespace": "Lockgate",
        "Dimensions": [["database", "function_name", "service"]],
        "Metrics": [{"Name": "RunFailed", "Unit": "Count"}],
    } == directive
    assert 1_000_000_000_000 < line["_aws"]["Timestamp"]
    assert ("unknown", LambdaContext().function_name, "lockgate", 1) == (
        line["database"],
        line["function_name"],
        line["service"],
        line["RunFailed"],
    )


def test_function_without_its_package_quotes_no_other_error() -> None:
    """Only the message of an import error is quoted, since it contains nothing but names."""
    substitute = load.make_substitute(ValueError("hush"))
    with pytest.raises(UnexpectedFailure) as caught:
        substitute({}, LambdaContext())
    report = json.loads(str(caught.value))
    assert ("failed", "unexpected-failure") == (report["status"], report["error"]["code"])
    assert "ValueError. Nothing was changed." in report["error"]["message"]
    assert "hush" not in str(caught.value)


def test_function_without_its_package_is_readable_through_a_framework(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In return mode the reason is raised, and Delete returns its id."""
    monkeypatch.setenv("LOCKGATE_CFN_RESPONSE", "return")
    substitute = load.make_substitute(ImportError("broken"))
    with pytest.raises(LockgateError, match=r"^The function's package cannot be imported\."):
        substitute(make_event(URL), LambdaContext())
    deletion = make_event(URL, RequestType="Delete", PhysicalResourceId="x")
    assert {"PhysicalResourceId": "x"} == substitute(deletion, LambdaContext())


def test_entry_needs_no_library() -> None:
    """The entry can be imported without any library, and reports why the rest cannot."""
    script = (
        f"import sys; sys.path.insert(0, {str(HANDLER)!r})\n"
        "from lockgate.entry import lambda_handler\n"
        "try:\n    lambda_handler({}, None)\n"
        "except Exception as error:\n    print(type(error).__name__)\n"
    )
    # -S ignores installed packages, -I the environment.
    result = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script],
        env={"PATH": os.environ.get("PATH", os.defpath)},
        capture_output=True,
        text=True,
        check=True,
    )
    log, name = result.stdout.splitlines()
    assert "No module named 'aws_lambda_powertools'" in json.loads(log)["error"]
    assert "UnexpectedFailure" == name


def test_entry_is_the_app_where_it_can_be_imported() -> None:
    """Normally the entry point is the app's handler itself."""
    assert entry.lambda_handler is app.lambda_handler
