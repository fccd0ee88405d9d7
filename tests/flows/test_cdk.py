"""Two ways in which the CDK calls a function during a deploy: the Provider framework and a Trigger.

Both answer CloudFormation themselves. The tests imitate what they do with a function's result or
error: `ProviderFramework` merges and checks the result, and `Trigger` uses the whole error message.
Neither respects CloudFormation's limit of 4,096 bytes, so Lockgate has to.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.cloudformation import LIMIT_BYTES
from tests.support.lambda_context import FUNCTION_NAME

from lockgate.errors import LockgateError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.flows.conftest import Function

# Messages to callers do not depend on the server.
pytestmark = pytest.mark.one_major

Event = dict[str, Any]

ACCOUNT = "CREATE TABLE account (id int PRIMARY KEY);\n"
BROKEN = "ALTER TABLE account ADD COLUMN id int;\n"
CREATE_FAILED = "AWSCDK::CustomResourceProviderFramework::CREATE_FAILED"
STACK_ID = (
    "arn:aws:cloudformation:eu-central-1:123456789012:stack/"
    f"{'a-stack-with-the-longest-name-there-may-be-' * 3}/51af3dc0-da77-11e4-872e-1234567db123"
)
# The stack trace that Node.js appends to a message.
TRACE = "\n".join(
    f"    at process.processTicksAndRejections (node:internal/process/task_queues:{n}:5)"
    for n in range(6)
)


@dataclass(slots=True)
class ProviderFramework:
    """The framework's own function: it invokes Lockgate's function and answers at the URL."""

    function: Callable[[Any], Any]
    answers: list[dict[str, Any]] = field(default_factory=list)

    def handle(self, event: Event) -> dict[str, Any]:
        """Return the answer to one event from CloudFormation."""
        answer = self._respond(event)
        body = json.dumps(answer, ensure_ascii=False).encode()
        assert len(body) <= LIMIT_BYTES, "Response object is too long."
        self.answers.append(answer)
        return answer

    def _respond(self, event: Event) -> dict[str, Any]:
        physical_id = event.get("PhysicalResourceId")
        if event["RequestType"] == "Delete" and physical_id == CREATE_FAILED:
            return self._answer(event, "SUCCESS", physical_id)
        try:
            result = json.loads(json.dumps(self.function(event)))
        except LockgateError as error:
            reason = f"Error: {error}\n\nLogs: /aws/lambda/{FUNCTION_NAME}\n\n{TRACE}"
            failed_id = physical_id or CREATE_FAILED
            return {**self._answer(event, "FAILED", failed_id), "Reason": reason}
        assert isinstance(result, dict)
        assert result.keys() <= {"PhysicalResourceId", "Data", "NoEcho"}
        new_id = result.get("PhysicalResourceId") or physical_id or event["RequestId"]
        if event["RequestType"] == "Delete":
            assert new_id == physical_id, "DELETE: cannot change the physical resource ID"
        return {**self._answer(event, "SUCCESS", new_id), "Data": result.get("Data")}

    def _answer(self, event: Event, status: str, physical_id: str) -> dict[str, Any]:
        echoed = {key: event[key] for key in ("StackId", "RequestId", "LogicalResourceId")}
        return {"Status": status, "Reason": status, "PhysicalResourceId": physical_id, **echoed}


@pytest.fixture
def framework(function: Function) -> ProviderFramework:
    """Return the framework in front of Lockgate's function, with one migration."""
    function.set(LOCKGATE_CFN_RESPONSE="return", LOCKGATE_CFN_LOOPBACK="false")
    function.project.write({"1_account.sql": ACCOUNT})
    return ProviderFramework(function.handle)


def make_event(kind: str, **more: Any) -> Event:
    """Return an event as the framework passes it on, with a URL that Lockgate must not use."""
    return {
        "RequestType": kind,
        "ServiceToken": "arn:aws:lambda:eu-west-1:123456789012:function:framework-onEvent",
        "ResponseURL": "https://example.com/?X-Amz-Signature=hush",
        "StackId": STACK_ID,
        "RequestId": str(uuid.uuid4()),
        "LogicalResourceId": "MigrationResource" * 4,
        "ResourceType": "Custom::LockgateMigration",
        "ResourceProperties": {"ServiceToken": "x", "MigrationsHash": "1"},
        **more,
    }


def test_lifecycle_of_a_resource_through_the_framework(
    function: Function, framework: ProviderFramework
) -> None:
    """Create and Update migrate and keep the same id; Delete returns it and changes nothing."""
    created = framework.handle(make_event("Create"))
    physical_id = created["PhysicalResourceId"]
    assert ("applied", "1") == (created["Data"]["Status"], created["Data"]["ToVersion"])
    assert all(isinstance(value, str) for value in created["Data"].values())
    function.project.write({"2_orders.sql": "CREATE TABLE orders ();\n"})
    updated = framework.handle(make_event("Update", PhysicalResourceId=physical_id))
    before = function.project.database.dump(without=())
    deleted = framework.handle(make_event("Delete", PhysicalResourceId=physical_id))
    assert {physical_id} == {answer["PhysicalResourceId"] for answer in framework.answers}
    assert ("2", "SUCCESS") == (updated["Data"]["ToVersion"], deleted["Status"])
    assert before == function.project.database.dump(without=())
    assert ["cloudformation", "cloudformation"] == [row[0] for row in function.recorded()]
    assert "hush" not in function.read_output()


@pytest.mark.parametrize("variables", [{"LOCKGATE_TLS": "perhaps"}, {"LOCKGATE_MIGRATIONS": "no"}])
def test_delete_succeeds_with_any_settings(
    function: Function, framework: ProviderFramework, variables: dict[str, str]
) -> None:
    """Delete succeeds even for an id that the framework invented after a failed Create."""
    function.set(**variables)
    answer = framework.handle(make_event("Delete", PhysicalResourceId="made-up"))
    assert ("SUCCESS", "made-up") == (answer["Status"], answer["PhysicalResourceId"])


def test_failure_through_the_framework_is_readable(
    function: Function, framework: ProviderFramework
) -> None:
    """The reason begins with the migration, and the Delete of a failed Create is not passed on."""
    function.project.write({"2_broken.sql": BROKEN})
    created = framework.handle(make_event("Create"))
    assert ("FAILED", CREATE_FAILED) == (created["Status"], created["PhysicalResourceId"])
    assert created["Reason"].startswith("Error: Migration 2 broken failed (42701).")
    calls = len(function.results)
    framework.handle(make_event("Delete", PhysicalResourceId=CREATE_FAILED))
    assert calls == len(function.results)


def test_failing_update_through_the_framework_keeps_its_id(
    function: Function, framework: ProviderFramework
) -> None:
    """A failed Update keeps its id, so CloudFormation rolls back without deleting the resource."""
    created = framework.handle(make_event("Create"))
    function.project.write({"2_broken.sql": BROKEN})
    failed = framework.handle(
        make_event("Update", PhysicalResourceId=created["PhysicalResourceId"])
    )
    assert ("FAILED", created["PhysicalResourceId"]) == (
        failed["Status"],
        failed["PhysicalResourceId"],
    )


@pytest.mark.parametrize("word", ["é", '"', "𝄞", "\\"])
def test_long_reason_fits_into_the_frameworks_answer(
    function: Function, framework: ProviderFramework, word: str
) -> None:
    """Even the longest error, with any JSON escapes, fits into the answer to CloudFormation."""
    text = word * 5_000
    function.project.write(
        {"2_raises.py": f"def up(connection):\n    raise ValueError({text!r})\n"}
    )
    assert "FAILED" == framework.handle(make_event("Create"))["Status"]


# A Trigger.


@dataclass(slots=True)
class Trigger:
    """The function of a Trigger: it invokes Lockgate's function and answers at the URL."""

    function: Callable[[Any], Any]
    payload: Any = None

    def handle(self, event: Event) -> dict[str, Any]:
        """Return the answer to one event from CloudFormation."""
        answer = {key: event[key] for key in ("StackId", "RequestId", "LogicalResourceId")}
        answer |= {"Status": "SUCCESS", "PhysicalResourceId": CREATE_FAILED}
        if event["RequestType"] != "Delete":
            try:
                self.function(self.payload)
            except LockgateError as error:
                answer |= {"Status": "FAILED", "Reason": f"Error: {error}\n{TRACE}"}
        assert len(json.dumps(answer, ensure_ascii=False).encode()) <= LIMIT_BYTES
        return answer


@pytest.mark.parametrize("payload", [None, {}])
def test_trigger_migrates(function: Function, payload: Any) -> None:
    """An empty payload means up, for the rollback to an older function as well."""
    function.project.write({"1_account.sql": ACCOUNT, "2_orders.sql": "CREATE TABLE orders ();\n"})
    trigger = Trigger(function.handle, payload)
    trigger.handle(make_event("Create"))
    function.project.remove("2_orders.sql")
    assert "SUCCESS" == trigger.handle(make_event("Update"))["Status"]
    assert ["applied", "up_to_date"] == [result["status"] for result in function.results]
    assert [("1", "applied"), ("2", "applied")] == function.project.history()


@pytest.mark.parametrize("payload", [None, {}])
@pytest.mark.parametrize("word", ["x", "é", '"', "𝄞"])
def test_failure_fits_into_the_triggers_answer(function: Function, payload: Any, word: str) -> None:
    """For an error of any length, the report is short enough and is valid JSON."""
    pending = {f"{n}_add_something_to_orders.sql": "SELECT 1;\n" for n in range(3, 60)}
    raising = f"def up(connection):\n    raise ValueError({word * 5_000!r})\n"
    function.project.write({"1_account.sql": ACCOUNT, "2_raises.py": raising, **pending})
    reason = Trigger(function.handle, payload).handle(make_event("Create"))["Reason"]
    report = json.loads(reason.removeprefix("Error: ").partition("\n")[0])
    assert ("failed", "2 raises", 58) == (
        report["status"],
        report["error"]["migration"],
        report["counts"]["pending"],
    )
    assert report["error"]["message"].startswith("Migration 2 raises failed")
