"""Each caller's event is run by Lambda's own runtime client, without patching the function.

The function's folder is laid out as deployed, AWS is on loopback, and the process is Lambda's.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.aws_api import AwsApi, Deployment, Pipeline
from tests.support.runtime_api import Runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.database import Database

# Messages to callers do not depend on the server.
pytestmark = pytest.mark.one_major

pytest.importorskip("awslambdaric", reason="awslambdaric is not installed")

HANDLER = Path(__file__).parents[2] / "handler"
EVENTS = Path(__file__).parents[1] / "events"


@dataclass(slots=True)
class Deployed:
    """A function's folder and environment, with AWS on loopback."""

    task_root: Path
    environment: dict[str, str]
    api: AwsApi
    logs: str = ""

    def start(self, **more: str) -> Runtime:
        """Return a runtime with the current package."""
        return Runtime(
            self.task_root, "lockgate.entry.lambda_handler", {**self.environment, **more}
        )

    def invoke(self, runtime: Runtime, event: Any) -> Any:
        """Invoke once, keep the log, and return the result."""
        invocation = runtime.invoke(event)
        self.logs += invocation.logs
        assert invocation.error is None, invocation.error
        return invocation.result


@pytest.fixture
def deployed(database: Database, tmp_path: Path) -> Iterator[Deployed]:
    """Return a deployed function with one migration."""
    task_root = tmp_path / "task"
    shutil.copytree(HANDLER / "lockgate", task_root / "lockgate")
    (task_root / "migrations").mkdir()
    (task_root / "migrations/1_account.sql").write_text("CREATE TABLE account (id int);\n")
    with AwsApi() as api:
        environment = {**database.environment, **api.environment, "LOCKGATE_BACKUP": "off"}
        yield Deployed(task_root, environment, api)


def read_event(name: str) -> Any:
    """Return a stored event."""
    return json.loads((EVENTS / f"{name}.json").read_text("utf-8"))


def test_every_caller_is_answered(deployed: Deployed) -> None:
    """One process handles the stored events of all callers, and each gets its own kind of answer."""
    job, hook = read_event("codepipeline"), read_event("codedeploy")
    deployed.api.waiting |= {job["CodePipeline.job"]["id"], hook["LifecycleEventHookExecutionId"]}
    returning = ("terraform_crud", "terraform_delete", "terraform_create_only", "step_functions")
    with deployed.start() as runtime:
        answered = [deployed.invoke(runtime, event)["answered"] for event in (job, hook)]
        reports = [deployed.invoke(runtime, read_event(name)) for name in returning]
        triggered = [deployed.invoke(runtime, read_event("cdk_trigger"))]
        triggered.append(deployed.invoke(runtime, None))
    assert ["Succeeded", "Succeeded"] == answered
    (told,) = deployed.api.heard("PutJobSuccessResult")
    assert ("applied", "1") == (
        told["outputVariables"]["Status"],
        told["outputVariables"]["ToVersion"],
    )
    (told,) = deployed.api.heard("PutLifecycleEventHookExecutionStatus")
    assert "Succeeded" == told["status"]
    assert [("terraform", "up"), ("terraform", None), ("direct", "up"), ("direct", "up")] == [
        (report["caller"], report["action"]) for report in reports
    ]
    assert {"up_to_date"} == {report["status"] for report in (*reports, *triggered)}
    assert "caller_answered" in deployed.logs
    assert "SENTINEL" not in deployed.logs


def test_framework_is_answered(deployed: Deployed) -> None:
    """Behind CDK's Provider framework the function returns the answer."""
    with deployed.start(LOCKGATE_CFN_RESPONSE="return") as runtime:
        created = deployed.invoke(runtime, read_event("cloudformation_create"))
        deleted = deployed.invoke(runtime, read_event("cloudformation_delete"))
    assert "applied" == created["Data"]["Status"]
    assert deleted.keys() == {"PhysicalResourceId"}


def test_package_that_cannot_be_imported_is_answered(deployed: Deployed) -> None:
    """Without its libraries the function still answers each caller, and Terraform's delete succeeds."""
    (deployed.task_root / "pg8000").mkdir()
    (deployed.task_root / "pg8000/__init__.py").write_text("raise ImportError('no pg8000 here')")
    with deployed.start() as runtime:
        pipeline = Pipeline(deployed.api, lambda event, _: deployed.invoke(runtime, event))
        deployment = Deployment(deployed.api, lambda event, _: deployed.invoke(runtime, event))
        action = pipeline.run()
        status = deployment.run_hook()
        deleted = deployed.invoke(runtime, read_event("terraform_delete"))
        failed = runtime.invoke(read_event("terraform_crud"))
    assert action.message.startswith(
        "The function's package cannot be imported. ImportError: no pg8000 here. Nothing was changed."
    )
    assert ("Failed", "up_to_date") == (status, deleted["status"])
    assert failed.error is not None
    assert "UnexpectedFailure" == failed.error["errorType"]
    assert "package_not_imported" in deployed.logs
    assert "hush" not in deployed.logs
