"""The state machine of the documentation is executed, since it relies on the error names.

moto runs the machine and its Lambda API; behind them is the real handler. Only the pauses between
retries are replaced, by a callback in which the test changes the situation.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws
from moto.awslambda.models import LambdaFunction
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.sns.models import sns_backends
from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl
from tests.docs.markdown import find_blocks
from tests.support.hurry import SLEEPS
from tests.support.waiting import Background, Gate, wait_until

from lockgate.errors import LockgateError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.flows.conftest import Function

# Messages to callers do not depend on the server.
pytestmark = pytest.mark.one_major

REGION = "eu-west-1"
TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})


def read_definition() -> str:
    """Return the machine of the documentation, with the account of moto."""
    (block,) = (b for b in find_blocks("docs/callers.md") if b.words == ("statemachine",))
    return block.text.replace("111122223333", DEFAULT_ACCOUNT_ID)


@dataclass(slots=True)
class Machine:
    """The state machine and what it did. ``on_wait`` is called instead of each pause."""

    handle: Callable[[Any], Any]
    on_wait: Callable[[], object] = lambda: None
    waits: list[float] = field(default_factory=list)
    arn: str = ""

    def sleep(self, seconds: float) -> None:
        """Replace the pause before a retry."""
        self.waits.append(seconds)
        self.on_wait()

    def invoke(self, event: Any) -> tuple[str, bool, str]:
        """Run the handler for moto and return payload, whether it is an error, and log."""
        try:
            return json.dumps(self.handle(event)), False, ""
        except LockgateError as error:
            kind = type(error).__name__
            payload = {"errorMessage": str(error), "errorType": kind, "stackTrace": []}
            return json.dumps(payload), True, ""

    def execute(self) -> dict[str, Any]:
        """Execute the machine and return the execution when it is over."""
        client = boto3.client("stepfunctions", region_name=REGION)
        self.arn = client.start_execution(stateMachineArn=self.arn, name="one")["executionArn"]
        found: list[dict[str, Any]] = []

        def is_over() -> bool:
            found.append(dict(client.describe_execution(executionArn=self.arn)))
            return bool(found[-1]["status"] != "RUNNING")

        wait_until(is_over, "the end of the execution")
        return found[-1]

    def published(self) -> list[tuple[str | None, dict[str, Any]]]:
        """Return subject and report of each message to the topic."""
        (topic,) = sns_backends[DEFAULT_ACCOUNT_ID][REGION].topics.values()
        return [(n[2], json.loads(n[1])) for n in topic.sent_notifications]


@pytest.fixture
def machine(function: Function, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """Return the machine, with the function and topic that it names, and one migration."""
    for name in ("LAMBDA", "CODEPIPELINE", "CODEDEPLOY"):
        monkeypatch.delenv(f"AWS_ENDPOINT_URL_{name}")
    function.project.write({"1_account.sql": "CREATE TABLE account (id int PRIMARY KEY);\n"})
    machine = Machine(function.handle)
    monkeypatch.setattr(LambdaFunction, "_invoke_lambda", lambda _, event: machine.invoke(event))
    monkeypatch.setattr(retrier_decl, "time", machine)
    config: Any = {"stepfunctions": {"execute_state_machine": True}}
    with mock_aws(config=config):
        _make_resources(machine)
        yield machine


def _make_resources(machine: Machine) -> None:
    iam = boto3.client("iam", region_name=REGION)
    role = iam.create_role(RoleName="machine", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("index.py", "")
    definition = read_definition()
    states = json.loads(definition)["States"]
    boto3.client("lambda", region_name=REGION).create_function(
        FunctionName=states["Migrate"]["Parameters"]["FunctionName"].rpartition(":")[2],
        Runtime="python3.13",
        Role=role,
        Handler="index.handler",
        Code={"ZipFile": archive.getvalue()},
    )
    topic = states["CallSomebody"]["Parameters"]["TopicArn"]
    boto3.client("sns", region_name=REGION).create_topic(Name=topic.rpartition(":")[2])
    client = boto3.client("stepfunctions", region_name=REGION)
    created = client.create_state_machine(name="release", definition=definition, roleArn=role)
    machine.arn = created["stateMachineArn"]


def test_machine_migrates_and_continues(machine: Machine, function: Function) -> None:
    """The report is the state's output, and the run is recorded with the execution."""
    execution = machine.execute()
    assert "SUCCEEDED" == execution["status"]
    report = json.loads(execution["output"])["report"]
    assert ("applied", "1") == (report["status"], report["to_version"])
    assert [["direct", {"execution": machine.arn}, None, "release 8"]] == function.recorded()
    assert [] == machine.waits


def test_run_longer_than_an_invocation_is_a_loop(machine: Machine, function: Function) -> None:
    """RunIncomplete is retried immediately, and the next invocation continues where the last stopped."""
    function.project.write({"2_slow.sql": SLEEPS, "3_c.sql": "SELECT 3;"})
    machine.handle = function.handle_hurried
    machine.on_wait = lambda: function.project.write({"2_slow.sql": "SELECT 1;"})
    execution = machine.execute()
    assert ("SUCCEEDED", [1]) == (execution["status"], machine.waits)
    assert ["incomplete", "applied"] == function.project.runs()


def test_busy_database_is_waited_for(machine: Machine, function: Function) -> None:
    """DatabaseBusy is retried after a minute, when the other run has done the work."""
    gate = Gate(function.project.database)
    function.project.write({"2_slow.sql": Gate.SQL})
    other = Background.start(lambda: function.handle({}))
    gate.wait()
    function.set(LOCKGATE_LOCK_WAIT="0")

    def finish_other() -> None:
        gate.open()
        other.result()

    machine.on_wait = finish_other
    execution = machine.execute()
    assert ("SUCCEEDED", [60]) == (execution["status"], machine.waits)
    assert "up_to_date" == json.loads(execution["output"])["report"]["status"]


def test_unreachable_database_is_waited_for(machine: Machine, function: Function) -> None:
    """DatabaseUnreachable is retried after a minute."""
    address = function.project.address()
    function.set(LOCKGATE_DATABASE_URL="postgresql://u:p@127.0.0.1:1/x")
    machine.on_wait = lambda: function.set(LOCKGATE_DATABASE_URL=address)
    execution = machine.execute()
    assert ("SUCCEEDED", [60]) == (execution["status"], machine.waits)
    assert [("1", "applied")] == function.project.history()


def test_lasting_unreachable_database_is_reported(machine: Machine, function: Function) -> None:
    """When the retries are used up, the topic gets the report."""
    function.set(LOCKGATE_DATABASE_URL="postgresql://u:p@127.0.0.1:1/x")
    execution = machine.execute()
    assert ("FAILED", [60] * 5) == (execution["status"], machine.waits)
    ((subject, report),) = machine.published()
    assert ("DatabaseUnreachable", "failed") == (subject, report["status"])


def test_permanent_failure_sends_a_notification(machine: Machine, function: Function) -> None:
    """The machine stops immediately, and the topic gets error class and report."""
    function.project.write({"2_broken.sql": "SELECT nonsense;\n"})
    execution = machine.execute()
    assert ("FAILED", "NotMigrated", []) == (
        execution["status"],
        execution["error"],
        machine.waits,
    )
    ((subject, report),) = machine.published()
    assert ("MigrationFailed", "42703") == (subject, report["error"]["sqlstate"])


@pytest.mark.parametrize(
    "error",
    ["ResourceNotReadyException", "ENINotReadyException", "SubnetIPAddressLimitReachedException"],
)
def test_machine_waits_for_a_function_that_lambda_has_not_started(error: str) -> None:
    """The retries last at least five minutes, the longest time an idle function needs to start."""
    retriers = json.loads(read_definition())["States"]["Migrate"]["Retry"]
    (retrier,) = (one for one in retriers if f"Lambda.{error}" in one["ErrorEquals"])
    assert retrier["IntervalSeconds"] * retrier["MaxAttempts"] >= 300
