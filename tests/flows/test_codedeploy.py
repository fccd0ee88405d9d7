"""What only CodeDeploy has: an answer without a reason, and a hook's id that is a secret.

The contract of all callers that wait for an answer is in `test_awaiting`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.support.aws_api import Deployment

if TYPE_CHECKING:
    from tests.flows.conftest import Function
    from tests.support.aws_api import AwsApi

# Messages to callers do not depend on the server.
pytestmark = pytest.mark.one_major

ACCOUNT = "CREATE TABLE account (id int PRIMARY KEY);\n"
BROKEN = "ALTER TABLE account ADD COLUMN id int;\n"


@pytest.fixture
def deployment(function: Function, api: AwsApi) -> Deployment:
    """Return a deployment whose hook is the function, with one migration."""
    function.project.write({"1_account.sql": ACCOUNT})
    return Deployment(api, function.handle)


def test_run_is_recorded_with_a_digest_of_the_hook(
    function: Function, deployment: Deployment
) -> None:
    """The run is recorded with its deployment, and with a digest instead of the hook's id."""
    assert "Succeeded" == deployment.run_hook()
    ((caller, reference, *rest),) = function.recorded()
    assert ("codedeploy", "d-ABCDEF123", [None, None]) == (
        caller,
        reference["deployment_id"],
        rest,
    )
    assert {"deployment_id", "hook_digest"} == reference.keys()


def test_failing_migration_fails_the_hook(function: Function, deployment: Deployment) -> None:
    """The status has no room for a reason, so the log has it, and the failure is counted."""
    function.project.write({"2_broken.sql": BROKEN})
    assert "Failed" == deployment.run_hook()
    lines = [json.loads(line) for line in function.log_stream.getvalue().splitlines()]
    (failed,) = (line for line in lines if line["message"] == "run_failed")
    assert ("failed", "migration-failed") == (failed["status"], failed["error_code"])
    assert "2_broken.sql:1:1. " in failed["error"]
    assert (
        "The failed migration was rolled back. Applied before it by this run, and still there: 1."
        in failed["error"]
    )
    assert [1] == function.failures_measured()
