"""The deployed handler, in this process: each caller gets one answer, in time and without secrets.

After every test, no connection, no thread and no change of the environment may remain.
"""

from __future__ import annotations

import io
import json
import os
import threading
import traceback
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema  # type: ignore[import-untyped]  # ships no types
import pytest
from tests.support.cfn_template import read_template
from tests.support.cloudformation import Bucket, Stack, StackStatus
from tests.support.engine import DEFECTS, act_before_segment
from tests.support.hurry import HANGS
from tests.support.lambda_context import FUNCTION_NAME, LambdaContext
from tests.support.lambda_version import VersionedStack
from tests.support.leftovers import check_nothing_is_left, list_sessions
from tests.support.waiting import Background, is_asleep, wait_until

from lockgate import errors
from lockgate.awslambda import app
from lockgate.errors import LockgateError
from lockgate.wiring import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.cloudformation import Event, Exchange, Handler
    from tests.support.database import Database

    from lockgate.core.segment import Segment

VALIDATOR = jsonschema.Draft202012Validator(
    json.loads((Path(__file__).parents[1] / "docs/report.schema.json").read_text("utf-8"))
)
TEMPLATE = Path(__file__).parents[1] / "template.yaml"
ACCOUNT = "CREATE TABLE account (id int PRIMARY KEY);\n"
EMAIL = "ALTER TABLE account ADD COLUMN email text;\n"
UP = "-- migrate:up\n"
EMAIL_DOWN = "-- migrate:down\nALTER TABLE account DROP COLUMN email;\n"
BROKEN = "CREATE TABLE half ();\nALTER TABLE account ADD COLUMN id int;\n"
SLOW = "CREATE TABLE slow ();\nSELECT pg_sleep(60);\n"
# Less than another invocation would need, so an incomplete run is answered and not continued.
NO_TIME_TO_GO_ON = {"ServiceTimeout": "50"}


@dataclass(slots=True)
class Function:
    """The function as deployed: its environment, its package, and its output."""

    folder: Path
    database: Database
    patch: pytest.MonkeyPatch
    log_stream: io.StringIO
    capture: pytest.CaptureFixture[str]
    context: LambdaContext = field(default_factory=LambdaContext)
    environment: dict[str, str] = field(default_factory=dict)
    printed: list[str] = field(default_factory=list)

    def set(self, **variables: str) -> None:
        """Change the function's environment."""
        for name, value in variables.items():
            self.patch.setenv(name, value)
        self.environment = read_environment()

    def write(self, package: str = "package", **files: str) -> Handler:
        """Write migrations into a package (``_1_account`` is 1_account.sql) and return its handler."""
        folder = self.folder / package
        folder.mkdir(exist_ok=True)
        for name, text in files.items():
            stem, _, suffix = name.lstrip("_").partition("__")
            (folder / f"{stem}.{suffix or 'sql'}").write_text(text)

        def handle(event: Event, context: LambdaContext) -> object:
            self.set(LOCKGATE_MIGRATIONS=str(folder))
            return app.lambda_handler(event, context)  # type: ignore[arg-type]

        return handle

    def invoke(self, event: object = None) -> dict[str, Any]:
        """Invoke with an event, as a direct caller."""
        return app.lambda_handler(event, self.context)  # type: ignore[arg-type]

    def invoke_failing(self, event: object = None) -> tuple[LockgateError, dict[str, Any]]:
        """Invoke with an event that fails; return the error and the report in it."""
        with pytest.raises(LockgateError) as caught:
            self.invoke(event)
        report: dict[str, Any] = json.loads(str(caught.value))
        return caught.value, report

    def read_output(self) -> str:
        """Return everything written to standard output, standard error and the log."""
        captured = self.capture.readouterr()
        self.printed += [captured.out, captured.err]
        return "".join(self.printed) + self.log_stream.getvalue()

    def log(self) -> list[dict[str, Any]]:
        """Return the lines of the log."""
        return [json.loads(line) for line in self.log_stream.getvalue().splitlines()]

    def logged(self, message: str) -> list[dict[str, Any]]:
        """Return the log lines of that event."""
        return [line for line in self.log() if line["message"] == message]

    def metrics(self) -> list[dict[str, Any]]:
        """Return the metrics that CloudWatch would read, one entry per invocation."""
        self.read_output()
        lines = "".join(self.printed).splitlines()
        return [json.loads(line) for line in lines if '"_aws"' in line]

    def history(self) -> list[str]:
        """Return the ids of the applied migrations; an empty list if there is no history."""
        if self.database.run("SELECT to_regclass('lockgate.migration_history')") == [[None]]:
            return []
        rows = self.database.run(
            "SELECT migration_id FROM lockgate.migration_history ORDER BY migration_id"
        )
        return [row[0] for row in rows]

    def lock_owner(self) -> str | None:
        """Return the lock's holder."""
        owner: str | None = self.database.run("SELECT owner FROM lockgate.migration_lock")[0][0]
        return owner


def read_environment() -> dict[str, str]:
    """Return the environment, without the variable that pytest sets."""
    return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}


@pytest.fixture
def function(
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Iterator[Function]:
    """Give a function with one migration, and check that nothing remains afterwards."""
    stream = io.StringIO()
    monkeypatch.setattr(app.logger.registered_handler, "stream", stream)
    function = Function(tmp_path, database, monkeypatch, stream, capfd)
    function.write(_1_account=ACCOUNT)
    function.set(
        **database.environment,
        LOCKGATE_MIGRATIONS=str(tmp_path / "package"),
        LOCKGATE_CFN_LOOPBACK="true",
        LOCKGATE_CONNECT_BUDGET="0",
    )
    yield function
    check_nothing_is_left(database)
    assert function.environment == read_environment()
    assert database.password not in function.read_output()
    assert "X-Amz-Signature" not in function.read_output()


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    """Give the server behind CloudFormation's signed URLs."""
    with Bucket() as opened:
        yield opened


@pytest.fixture
def stack(function: Function, bucket: Bucket) -> Stack:
    """Give a stack whose custom resource is the function."""
    return Stack(function.write(), bucket, make_context=lambda: function.context)


def kinds(stack: Stack) -> list[tuple[str, str]]:
    """Return the kind of every event and the status of its answer."""
    return [(exchange.kind, exchange.answer.status) for exchange in stack.exchanges]


def answer_of(stack: Stack) -> str:
    """Return the reason of the first failed answer."""
    return next(x.answer.reason for x in stack.exchanges if not x.answer.is_success)


# CloudFormation: a stack's life.


def test_create_applies_and_answers(function: Function, stack: Stack) -> None:
    """A new stack gets its schema and every output attribute."""
    assert StackStatus.CREATE_COMPLETE == stack.create({"CodeVersion": "1"})
    assert ["1"] == function.history()
    run_id = function.log()[0]["correlation_id"]
    assert {
        "Status": "applied",
        "RunId": run_id,
        "FromVersion": "",
        "ToVersion": "1",
        "AppliedCount": "1",
        "PendingCount": "0",
        "RevertedCount": "0",
    } == stack.data
    reference = {"stack_id": stack.stack_id, "logical_id": "Migration"}
    (row,) = function.database.run(
        "SELECT run_id, caller, caller_reference FROM lockgate.migration_run"
    )
    assert [run_id, "cloudformation"] == row[:2]
    assert reference.items() <= row[2].items()


def test_update_with_nothing_to_do_changes_nothing(function: Function, stack: Stack) -> None:
    """An update without new migrations takes no lock and keeps the resource's id."""
    stack.create({"CodeVersion": "1"})
    physical_id = stack.physical_id
    assert StackStatus.UPDATE_COMPLETE == stack.update({"CodeVersion": "2"})
    assert (physical_id, "up_to_date") == (stack.physical_id, stack.data["Status"])
    assert [("Create", "SUCCESS"), ("Update", "SUCCESS")] == kinds(stack)
    assert [[1]] == function.database.run("SELECT token FROM lockgate.migration_lock")


def test_failing_update_leaves_the_schema_unchanged(function: Function, stack: Stack) -> None:
    """A failing update names the failed statement, and the rollback finds the schema unchanged."""
    stack.create({"CodeVersion": "1"})
    before = function.database.dump()
    newer = function.write("newer", _1_account=ACCOUNT, _2_broken=BROKEN)
    status = stack.update({"CodeVersion": "2"}, handler=newer)
    assert StackStatus.UPDATE_ROLLBACK_COMPLETE == status
    assert before == function.database.dump()
    assert [("Create", "SUCCESS"), ("Update", "FAILED"), ("Update", "SUCCESS")] == kinds(stack)
    assert answer_of(stack).startswith("Migration 2 broken failed (42701).")
    assert "2_broken.sql:2:1. It was rolled back; the schema is as it was." in answer_of(stack)
    assert function.lock_owner() is None


AUDIT_LOG = f"""{UP}CREATE TABLE IF NOT EXISTS audit_log (id int);
-- migrate:down
DROP TABLE IF EXISTS audit_log;
"""


def test_failing_update_keeps_a_table_that_it_did_not_create(
    function: Function, stack: Stack
) -> None:
    """A down script that would drop a full table is not run, and the rollback still succeeds."""
    stack.create({"CodeVersion": "1"})
    function.database.run("CREATE TABLE audit_log AS SELECT generate_series(1, 1000) AS id")
    newer = function.write("newer", _1_account=ACCOUNT, _2_audit_log=AUDIT_LOG, _3_broken=BROKEN)
    status = stack.update({"CodeVersion": "2"}, handler=newer)
    assert StackStatus.UPDATE_ROLLBACK_COMPLETE == status
    assert [("Create", "SUCCESS"), ("Update", "FAILED"), ("Update", "SUCCESS")] == kinds(stack)
    assert "table public.audit_log would be gone." in answer_of(stack)
    assert '"action": "down", "steps": 1' in answer_of(stack)
    assert [[1000]] == function.database.run("SELECT count(*) FROM audit_log")
    assert ["1", "2"] == function.history()


ROWS = "CREATE TABLE email (address text);\nINSERT INTO email VALUES ('a'), ('a');"
UNIQUE = "CREATE UNIQUE INDEX ON email (address);"


@pytest.mark.parametrize(
    ("policy", "expected", "reasons"),
    [
        (None, StackStatus.UPDATE_COMPLETE, []),
        # SAM's default.
        ("Retain", StackStatus.UPDATE_ROLLBACK_COMPLETE, ["Version already exists (409)"]),
    ],
)
def test_same_package_is_deployed_again_after_the_data_is_corrected(
    function: Function,
    stack: Stack,
    policy: str | None,
    expected: StackStatus,
    reasons: list[str],
) -> None:
    """After a failed deploy, the same package can be deployed again, since its version is deleted."""
    migrate = read_template(TEMPLATE)["Resources"]["Migrate"]["Properties"]
    versioned = VersionedStack(stack, policy or migrate.get("VersionDeletionPolicy", "Retain"))
    versioned.create("1", function.write("older", _1_rows=ROWS))
    newer = function.write("newer", _1_rows=ROWS, _2_unique=UNIQUE)
    assert StackStatus.UPDATE_ROLLBACK_COMPLETE == versioned.deploy("2", newer)
    function.database.run("TRUNCATE email")
    assert expected == versioned.deploy("2", newer)
    assert reasons == versioned.reasons


def test_check_is_answered_without_reading_the_database(function: Function, bucket: Bucket) -> None:
    """The check resource succeeds without connecting to the database."""
    function.set(LOCKGATE_PORT="1")
    check = Stack(
        function.write(),
        bucket,
        "CanAnswer",
        make_context=lambda: function.context,
        resource_type="Custom::LockgateCheck",
    )
    assert StackStatus.CREATE_COMPLETE == check.create({"ServiceTimeout": 120})
    assert StackStatus.DELETE_COMPLETE == check.delete()
    assert [] == function.history()


def test_older_package_is_content_with_a_newer_database(function: Function, stack: Stack) -> None:
    """After a rollback by a later resource, the older function accepts the newer schema."""
    stack.create({"CodeVersion": "1"})
    newer = function.write("newer", _1_account=ACCOUNT, _2_email=EMAIL)
    status = stack.update({"CodeVersion": "2"}, handler=newer, later_resource_fails=True)
    assert StackStatus.UPDATE_ROLLBACK_COMPLETE == status
    assert ("up_to_date", "2") == (stack.data["Status"], stack.data["ToVersion"])
    assert ["1", "2"] == function.history()
    status = stack.update({"CodeVersion": "3"}, handler=newer)
    assert (StackStatus.UPDATE_COMPLETE, "up_to_date") == (status, stack.data["Status"])


def test_rolled_back_stack_brings_the_database_back(function: Function, stack: Stack) -> None:
    """With `deploy`, a stack rollback undoes the newer package by its stored scripts."""
    function.set(LOCKGATE_ROLLBACK="deploy")
    stack.create({"CodeVersion": "1"})
    before = function.database.dump(without=("lockgate",))
    newer = function.write("newer", _1_account=ACCOUNT, _2_email=UP + EMAIL + EMAIL_DOWN)
    status = stack.update({"CodeVersion": "2"}, handler=newer, later_resource_fails=True)
    assert StackStatus.UPDATE_ROLLBACK_COMPLETE == status
    assert ("rolled_back", "1", "1") == (
        stack.data["Status"],
        stack.data["ToVersion"],
        stack.data["RevertedCount"],
    )
    assert ["1"] == function.history()
    assert before == function.database.dump(without=("lockgate",))
    status = stack.update({"CodeVersion": "3"}, handler=newer)
    assert (StackStatus.UPDATE_COMPLETE, "applied") == (status, stack.data["Status"])


@pytest.mark.parametrize(
    "down",
    [
        pytest.param("", id="no down script"),
        pytest.param("-- migrate:down\nSELECT nonsense;\n", id="broken way back"),
        pytest.param("-- migrate:down\nDROP TABLE account;\n", id="rows would be lost"),
    ],
)
def test_rollback_of_a_stack_never_fails(function: Function, stack: Stack, down: str) -> None:
    """A stack rollback succeeds even if the newer migrations cannot be undone."""
    function.set(LOCKGATE_ROLLBACK="deploy")
    stack.create({"CodeVersion": "1"})
    function.database.run("INSERT INTO account VALUES (1)")
    newer = function.write("newer", _1_account=ACCOUNT, _2_email=UP + EMAIL + down)
    status = stack.update({"CodeVersion": "2"}, handler=newer, later_resource_fails=True)
    assert StackStatus.UPDATE_ROLLBACK_COMPLETE == status
    assert ("up_to_date", "2") == (stack.data["Status"], stack.data["ToVersion"])
    assert ["1", "2"] == function.history()
    (warned,) = function.logged("rollback_refused")
    assert warned["code"] in {"undo-refused", "migration-failed", "data-loss-refused"}


def test_failed_create_is_deleted_and_can_be_repeated(function: Function, stack: Stack) -> None:
    """After a failed create and its delete, the next create succeeds with the same id."""
    function.write(_2_broken=BROKEN)
    assert StackStatus.ROLLBACK_COMPLETE == stack.create({"CodeVersion": "1"})
    failed, deleted = stack.exchanges
    assert failed.answer.physical_id == deleted.event["PhysicalResourceId"]
    assert [] == function.history()
    function.write(_2_broken=EMAIL)
    assert StackStatus.CREATE_COMPLETE == stack.create({"CodeVersion": "2"})
    assert stack.physical_id == failed.answer.physical_id


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"LOCKGATE_TLS": "perhaps"},
        {"LOCKGATE_NONSENSE": "1"},
        {"LOCKGATE_CFN_RESPONSE": "perhaps"},
        {"LOCKGATE_DATABASE_URL": "postgresql://u:p@127.0.0.1:1/x"},
        {"LOCKGATE_DATABASE_URL": "not an address"},
        {"LOCKGATE_MIGRATIONS": "nowhere"},
        {"LOCKGATE_ALLOWED_ACTIONS": "status"},
    ],
)
def test_delete_always_succeeds(function: Function, stack: Stack, broken: dict[str, str]) -> None:
    """Delete succeeds with any settings and does not change the schema."""
    stack.create({"CodeVersion": "1"})
    before = function.database.dump(without=())
    stack.handler = app.lambda_handler  # type: ignore[assignment]
    function.set(**broken)
    assert StackStatus.DELETE_COMPLETE == stack.delete()
    assert before == function.database.dump(without=())


def test_delete_writes_nothing_to_standard_error(function: Function, stack: Stack) -> None:
    """Delete prints no warning about missing metrics."""
    stack.create({"CodeVersion": "1"})
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        stack.delete()
    function.read_output()
    assert ([], "") == (warned, "".join(function.printed[1::2]))
    assert ["1"] == function.history()


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ({"LOCKGATE_TLS": "perhaps"}, 'LOCKGATE_TLS cannot be "perhaps": it takes one of'),
        (
            {"LOCKGATE_TSL": "off"},
            "Unknown setting LOCKGATE_TSL. Did you mean LOCKGATE_TLS?",
        ),
        ({"LOCKGATE_CFN_RESPONSE": "x"}, 'LOCKGATE_CFN_RESPONSE cannot be "x": it takes one of'),
        (
            {"LOCKGATE_DATABASE_URL": "postgresql://u:hush@127.0.0.1:1/x"},
            "127.0.0.1:1 could not be",
        ),
        ({"LOCKGATE_DATABASE_URL": "hush"}, "LOCKGATE_DATABASE_URL"),
        ({"LOCKGATE_MIGRATIONS": "nowhere"}, "The migrations folder nowhere does not exist."),
        ({"LOCKGATE_ALLOWED_ACTIONS": "status"}, 'The action "up" is not allowed on this function'),
        ({"LOCKGATE_SCHEMA": "pg_mine"}, "that schema belongs to PostgreSQL"),
    ],
)
def test_create_with_broken_settings_is_answered(
    function: Function, stack: Stack, broken: dict[str, str], reason: str
) -> None:
    """With broken settings, create fails with the reason, and its rollback succeeds."""
    stack.handler = app.lambda_handler  # type: ignore[assignment]
    function.set(**broken)
    assert StackStatus.ROLLBACK_COMPLETE == stack.create({"CodeVersion": "1"})
    assert reason in answer_of(stack)
    assert [("Create", "FAILED"), ("Delete", "SUCCESS")] == kinds(stack)
    assert [] == function.history()
    assert "hush" not in function.read_output() + answer_of(stack)


@pytest.mark.parametrize(
    ("properties", "reason"),
    [
        ({"Target": ["1"]}, "The property Target cannot be read."),
        ({"Target": {"Version": "1"}}, "The property Target cannot be read."),
        ({"Target": "latest"}, "The target latest is not a version in"),
        ({"Target": "9"}, "The target 9 is not a version in"),
        ({"target": "1"}, "The property target is not known; did you mean Target?"),
        ({"Reason": ["why"]}, "The property Reason cannot be read."),
        ({"Reason": "x" * 1_001}, "The property Reason cannot be read."),
    ],
)
def test_property_that_cannot_be_read_is_refused(
    function: Function, stack: Stack, properties: dict[str, Any], reason: str
) -> None:
    """A property that cannot be read is refused with the reason, and nothing runs."""
    assert StackStatus.ROLLBACK_COMPLETE == stack.create(properties)
    assert reason in answer_of(stack)
    assert "Nothing was run." in answer_of(stack) or "Nothing was changed." in answer_of(stack)
    assert [] == function.history()


def test_other_properties_are_free(stack: Stack) -> None:
    """Other properties are allowed: templates use them to trigger an event."""
    properties = {"CodeVersion": 7, "Tags": ["a", {"b": True}], "Target": "1", "Reason": "größer"}
    assert StackStatus.CREATE_COMPLETE == stack.create(properties)


# CloudFormation: the answer.


def event_of(stack: Stack, url: str | None) -> Event:
    """Return a Create event with this response URL."""
    event: Event = {
        "RequestType": "Create",
        "ResponseURL": url,
        "StackId": stack.stack_id,
        "RequestId": "r",
        "LogicalResourceId": "Migration",
        "ResourceProperties": {},
    }
    if url is None:
        del event["ResponseURL"]
    return event


@pytest.mark.parametrize("loopback", ["true", "false"])
@pytest.mark.parametrize(
    "url",
    [
        None,
        "",
        "https://example.com/?X-Amz-Signature=hush",
        "http://cloudformation-custom-resource-response-euwest1.s3.amazonaws.com/x?hush",
        "https://cloudformation-custom-resource-response-euwest1.s3.amazonaws.com.example.com/hush",
        "https://127.0.0.1@example.com/hush",
        "file:///etc/hush",
    ],
)
def test_forged_url_is_refused_and_nothing_is_run(
    function: Function, stack: Stack, bucket: Bucket, url: str | None, loopback: str
) -> None:
    """A forged response URL gets no request, and nothing runs."""
    function.set(LOCKGATE_CFN_LOOPBACK=loopback)
    with pytest.raises(errors.RequestRefused, match="does not point to CloudFormation") as caught:
        function.invoke(event_of(stack, url))
    assert [] == bucket.puts
    assert [] == function.history()
    assert "hush" not in "".join(traceback.format_exception(caught.value))
    assert "hush" not in function.read_output()


def test_loopback_url_is_forged_unless_allowed(
    function: Function, stack: Stack, bucket: Bucket
) -> None:
    """Outside of tests, a loopback URL counts as forged."""
    function.set(LOCKGATE_CFN_LOOPBACK="false")
    with pytest.raises(errors.RequestRefused):
        function.invoke(event_of(stack, bucket.sign_url()))
    assert ([], []) == (bucket.puts, function.history())


def test_repeated_event_is_answered_twice(function: Function, stack: Stack) -> None:
    """A repeated event gets its own answer, and nothing is done twice."""
    stack.create({"CodeVersion": "1"})
    again: Exchange = stack.deliver_again(stack.exchanges[0])
    assert again.answer.is_success
    assert stack.physical_id == again.answer.physical_id
    assert [[1]] == function.database.run("SELECT count(*) FROM lockgate.migration_run")


def let_time_run_out(function: Function, milliseconds: int) -> Background:
    """Advance the clock as soon as a migration sleeps on the server."""

    def run() -> None:
        wait_until(lambda: is_asleep(function.database), "a statement that sleeps")
        function.context.clock.advance(milliseconds)

    return Background.start(run)


def test_answer_arrives_in_time_while_a_statement_runs(function: Function, stack: Stack) -> None:
    """A statement that outlives the invocation is cancelled and rolled back, with an answer in time."""
    function.write(_2_slow=SLOW)
    function.context = LambdaContext(deadline_ms=60_000)
    before = function.database.dump()
    timer = let_time_run_out(function, 50_000)
    assert StackStatus.ROLLBACK_COMPLETE == stack.create(NO_TIME_TO_GO_ON)
    timer.result()
    assert "The run stopped before it was done" in answer_of(stack)
    assert [] == list_sessions(function.database)
    assert before == function.database.dump()
    assert function.lock_owner() is None
    assert ["incomplete"] == [x["status"] for x in function.logged("run_finished")]


def is_in_transaction(function: Function) -> bool:
    """Return whether a run's session has an open transaction."""
    found = function.database.run(
        "SELECT FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name LIKE 'lockgate run=%' AND state LIKE 'idle in transaction%'"
    )
    return bool(found)


def test_answer_arrives_in_time_while_python_hangs(
    function: Function,
    stack: Stack,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If Python code hangs, a second thread answers in time, and the migration never commits."""
    begun, mark = tmp_path / "begun", tmp_path / "mark"
    function.write(_2_hangs__py=HANGS.format(begun=str(begun), mark=str(mark)))
    before = function.database.dump()
    function.context = LambdaContext(deadline_ms=60_000)
    make_timer = threading.Timer
    intervals: list[float] = []

    def make_hurried(seconds: float, answer: Callable[[], None]) -> threading.Timer:
        """Trigger the second thread's timer as soon as the migration hangs."""

        def run() -> None:
            try:
                wait_until(begun.exists, "a migration that hangs")
                function.context.clock.advance(55_000)
                answer()
                wait_until(lambda: not is_in_transaction(function), "the end of the session")
                function.context = LambdaContext()
            finally:
                mark.touch()

        intervals.append(seconds)
        return make_timer(0, run) if len(intervals) == 1 else make_timer(seconds, answer)

    with monkeypatch.context() as patch:
        patch.setattr(threading, "Timer", make_hurried)
        assert StackStatus.ROLLBACK_COMPLETE == stack.create(NO_TIME_TO_GO_ON)
    assert intervals[0] < 50, "before CloudFormation gives up"
    assert answer_of(stack).startswith(
        "The run did not stop in time; its session ends with this invocation."
        " The state of the database is unknown: the run is still at work."
    )
    (line,) = function.logged("emergency_answer_sent")
    assert function.logged("lock_taken")[0]["correlation_id"] == line["correlation_id"]
    assert [("Create", "FAILED"), ("Delete", "SUCCESS")] == kinds(stack)
    assert before == function.database.dump()
    assert [] == function.history()


# CloudFormation: a framework that answers itself.


def test_return_mode_returns_the_answer(function: Function, stack: Stack, bucket: Bucket) -> None:
    """In return mode, the handler returns id and data and does not use the response URL."""
    function.set(LOCKGATE_CFN_RESPONSE="return")
    event = event_of(stack, bucket.sign_url())
    created = function.invoke(event)
    assert {"PhysicalResourceId", "Data"} == created.keys()
    assert ("applied", "1") == (created["Data"]["Status"], created["Data"]["ToVersion"])
    physical_id = created["PhysicalResourceId"]
    deleted = function.invoke({**event, "RequestType": "Delete", "PhysicalResourceId": physical_id})
    assert {"PhysicalResourceId": physical_id} == deleted
    assert [] == bucket.puts


def test_return_mode_raises_a_readable_failure(
    function: Function, stack: Stack, bucket: Bucket
) -> None:
    """In return mode, a failure raises an error with a readable message, not JSON."""
    function.set(LOCKGATE_CFN_RESPONSE="return")
    function.write(_2_broken=BROKEN)
    with pytest.raises(errors.MigrationFailed) as caught:
        function.invoke(event_of(stack, bucket.sign_url()))
    assert str(caught.value).startswith("Migration 2 broken failed (42701).")
    assert [] == bucket.puts


# Unexpected failures.


def break_with(secret: str) -> Callable[..., Any]:
    """Return a function that fails with a message that must not be shown."""

    def fail(*_: object, **__: object) -> Any:
        raise RuntimeError(f"connecting with {secret} failed")

    return fail


@pytest.mark.parametrize(("module", "name"), [(app, "make_runner"), *DEFECTS])
def test_defect_is_answered_without_its_message(
    function: Function, stack: Stack, monkeypatch: pytest.MonkeyPatch, module: Any, name: str
) -> None:
    """A defect anywhere is reported to CloudFormation by its class, without its message."""
    monkeypatch.setattr(module, name, break_with("hush"))
    assert StackStatus.ROLLBACK_COMPLETE == stack.create({"CodeVersion": "1"})
    assert "An unexpected RuntimeError ended the run." in answer_of(stack)
    (line,) = function.logged("unexpected_failure")
    assert "RuntimeError" == line["error_type"]
    assert "test_app.py" in line["frames"][-1]
    assert "hush" not in function.read_output() + answer_of(stack)


def test_defect_is_an_error_to_a_direct_caller(
    function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A direct caller gets a public class and a report, without the defect's message."""
    monkeypatch.setattr(*DEFECTS[0], break_with("hush"))
    error, report = function.invoke_failing({})
    assert errors.UnexpectedFailure is type(error)
    assert ("failed", "unexpected-failure") == (report["status"], report["error"]["code"])
    assert "hush" not in "".join(traceback.format_exception(error)) + function.read_output()


def break_second(segment: Segment) -> None:
    """Fail at the second migration."""
    if segment.steps[0].migration.migration_id == "2":
        raise RuntimeError("hush")


STATE_AFTER_DEFECT = (
    "The state of the database is unknown: the run ended before it could check."
    " Before that, this run applied: 1."
)


def test_defect_is_answered_with_what_was_applied(
    function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a defect, the report lists what was applied; the state of what was under way is unknown."""
    function.write(_2_email=EMAIL)
    function.set(LOCKGATE_ATOMICITY="migration")
    act_before_segment(monkeypatch, break_second)
    _, report = function.invoke_failing({})
    VALIDATOR.validate(report)
    assert ("up", ["1"], ["2"], "unknown") == (
        report["action"],
        [entry["version"] for entry in report["applied"]],
        [entry["version"] for entry in report["pending"]],
        report["error"]["state_after"],
    )
    assert report["error"]["message"].endswith(STATE_AFTER_DEFECT)
    assert ["1"] == function.history()


def test_defect_is_reported_to_cloudformation_with_what_was_applied(
    function: Function, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a defect, the reason names what was applied."""
    function.write(_2_email=EMAIL)
    function.set(LOCKGATE_ATOMICITY="migration")
    act_before_segment(monkeypatch, break_second)
    assert StackStatus.ROLLBACK_COMPLETE == stack.create({"CodeVersion": "1"})
    assert STATE_AFTER_DEFECT in answer_of(stack)


def test_defect_before_any_work_leaves_everything_unchanged(
    function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a defect before the first segment, the report says that nothing was changed."""
    monkeypatch.setattr(*DEFECTS[0], break_with("hush"))
    _, report = function.invoke_failing({})
    assert ("up", "unchanged") == (report["action"], report["error"]["state_after"])
    assert report["error"]["message"].endswith("Nothing was changed.")


# Direct callers.


@pytest.mark.parametrize("event", [None, {}, {"action": "up"}, {"action": "up", "target": "1"}])
def test_empty_event_migrates(function: Function, event: object) -> None:
    """An empty event applies the pending migrations."""
    report = function.invoke(event)
    VALIDATOR.validate(json.loads(json.dumps(report)))
    assert ("applied", "up", "direct") == (report["status"], report["action"], report["caller"])
    assert ["1"] == function.history()
    assert "up_to_date" == function.invoke(event)["status"]


@pytest.mark.parametrize("action", ["plan", "status", "validate"])
def test_looking_changes_nothing(function: Function, action: str) -> None:
    """Read-only actions report what is pending and leave the database unchanged."""
    before = function.database.dump(without=())
    report = function.invoke({"action": action})
    VALIDATOR.validate(json.loads(json.dumps(report)))
    assert ("planned", action) == (report["status"], report["action"])
    assert ["1"] == [entry["version"] for entry in report["pending"]]
    assert before == function.database.dump(without=())


def test_history_of_another_tool_is_taken_over_by_the_function(function: Function) -> None:
    """The function can adopt another tool's history: dry run first, then adopt, then apply the rest."""
    handle = function.write(
        _1_account=f"-- +goose Up\n{ACCOUNT}", _2_email=f"-- +goose Up\n{EMAIL}"
    )
    function.set(LOCKGATE_FORMAT="goose", LOCKGATE_ALLOWED_ACTIONS="up,adopt")
    function.database.run(
        f"{ACCOUNT} CREATE TABLE goose_db_version"
        " (id int, version_id bigint, is_applied bool, tstamp timestamp);"
        "INSERT INTO goose_db_version VALUES (1, 0, true, now()), (2, 1, true, now())"
    )
    command = {"action": "adopt", "from": "goose", "reason": "we move", "requested_by": "ada"}
    events: list[dict[str, Any]] = [{**command, "dry_run": True}, command, {}]
    reports: list[Any] = [handle(event, function.context) for event in events]
    found = [
        (report["status"], [entry["version"] for entry in report["recorded"] or report["applied"]])
        for report in reports
    ]
    assert [("planned", ["1"]), ("applied", ["1"]), ("applied", ["2"])] == found
    assert [[2]] == function.database.run("SELECT count(*) FROM goose_db_version")


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (
            {"key1": "value1", "key2": "value2", "key3": "value3"},
            "The event is the Lambda console's default test event. Nothing was changed.",
        ),
        ({"action": "sideways"}, 'Unknown action "sideways".'),
        ({"Action": "up"}, 'Unknown key "Action"'),
        ({"action": "up", "target": "latest"}, "The target latest is not a version in"),
        ({"action": "status", "target": "1"}, 'Unknown key "target"'),
        ([], "The event is a list, not a JSON object."),
        ("up", "The event is text, not a JSON object."),
        ({"Records": [{"body": "hush"}]}, "The event is a batch of records"),
    ],
)
def test_event_that_is_not_a_command_is_refused(
    function: Function, event: object, message: str
) -> None:
    """An event that is not a command is refused with the reason, and nothing runs."""
    error, report = function.invoke_failing(event)
    VALIDATOR.validate(report)
    assert errors.RequestRefused is type(error)
    assert ("refused", "request-invalid") == (report["status"], report["error"]["code"])
    assert report["error"]["message"].startswith(message)
    assert [] == function.history()
    assert "hush" not in function.read_output() + str(error)


@pytest.mark.parametrize("text", ["a\0b", "a\ud800b"])
@pytest.mark.parametrize("key", ["reason", "requested_by"])
def test_text_that_no_database_can_store_is_refused(
    function: Function, key: str, text: str
) -> None:
    """A text that PostgreSQL cannot store is refused before anything runs."""
    error, report = function.invoke_failing({key: text})
    assert errors.RequestRefused is type(error)
    assert "request-invalid" == report["error"]["code"]
    assert [] == function.history()


def test_failing_run_raises_with_its_report(function: Function) -> None:
    """A failing run raises MigrationFailed with a report that conforms to the schema."""
    function.write(_2_broken=BROKEN)
    error, report = function.invoke_failing({})
    VALIDATOR.validate(report)
    assert errors.MigrationFailed is type(error)
    assert {
        "code": "migration-failed",
        "type": "MigrationFailed",
        "sqlstate": "42701",
        "migration": "2 broken",
        "statement": 2,
        "file": "2_broken.sql",
        "line": 2,
        "column": 1,
    }.items() <= report["error"].items()
    assert ("failed", [], ["1", "2"]) == (
        report["status"],
        report["applied"],
        [entry["version"] for entry in report["pending"]],
    )
    assert [] == function.history()


def test_run_out_of_time_is_incomplete_to_a_direct_caller(function: Function) -> None:
    """A direct caller gets RunIncomplete and must invoke again."""
    function.write(_2_slow=SLOW)
    function.context = LambdaContext(deadline_ms=60_000)
    timer = let_time_run_out(function, 50_000)
    error, report = function.invoke_failing({})
    timer.result()
    assert errors.RunIncomplete is type(error)
    assert ("incomplete", "Invoke again: the run continues where it stopped.") == (
        report["status"],
        report["next_action"],
    )
    assert [] == list_sessions(function.database)


@pytest.mark.parametrize(
    ("variables", "error_class"),
    [
        ({"LOCKGATE_TLS": "perhaps"}, errors.RequestRefused),
        ({"LOCKGATE_MIGRATIONS": "nowhere"}, errors.RequestRefused),
        (
            {"LOCKGATE_DATABASE_URL": "postgresql://u:hush@127.0.0.1:1/x"},
            errors.DatabaseUnreachable,
        ),
        ({"LOCKGATE_DATABASE_URL": "postgresql://u:hush@{address}/x"}, errors.CredentialsRejected),
        ({"LOCKGATE_DATABASE_URL": "postgresql://:hush@{address}/{name}?x=hush"}, LockgateError),
    ],
)
def test_password_gets_out_of_no_failure(
    function: Function,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    error_class: type[LockgateError],
) -> None:
    """No failure reveals the password in the log, the metrics or the error."""
    monkeypatch.setattr(SystemClock, "sleep", lambda *_: None)
    database = function.database
    address = f"{database.host}:{database.port}"
    function.set(**{k: v.format(address=address, name=database.name) for k, v in variables.items()})
    error, report = function.invoke_failing({})
    VALIDATOR.validate(report)
    assert isinstance(error, error_class)
    assert "hush" not in "".join(traceback.format_exception(error)) + function.read_output()


def test_statement_with_a_secret_is_not_logged(function: Function) -> None:
    """A variable's value reaches the server and appears neither in the log nor in the report."""
    function.set(APP_PASSWORD="hush-from-the-environment")
    function.write(
        _2_role=(
            "-- migrate:up\n-- migrate:env on\n"
            "DO $x$ BEGIN PERFORM '${APP_PASSWORD}'; RAISE no_data; END $x$;\n"
            "-- migrate:env off\n"
        )
    )
    error, report = function.invoke_failing({})
    assert "MigrationFailed" == report["error"]["type"]
    assert "hush" not in str(error) + function.read_output()


# Logs and metrics.


def test_every_line_of_the_log_names_the_run(function: Function) -> None:
    """Every log line has the run's id, which is also in the report and in the database."""
    seen = []
    for _ in range(2):
        begin = len(function.log())
        run_id = function.invoke({})["run_id"]
        lines = function.log()[begin:]
        assert lines
        assert {run_id} == {line["correlation_id"] for line in lines}
        assert {"lockgate"} == {line["service"] for line in lines}
        seen.append(run_id)
    assert 2 == len(set(seen))
    assert [[seen[0]]] == function.database.run("SELECT run_id FROM lockgate.migration_run")


def test_log_has_the_events_in_order(function: Function) -> None:
    """Events are logged in order, under past-tense names."""
    function.invoke({})
    assert ["lock_taken", "segment_started", "migration_applied", "run_finished"] == [
        line["message"] for line in function.log()
    ]
    (applied,) = function.logged("migration_applied")
    assert ("1", "INFO") == (applied["migration"], applied["level"])


def test_failure_is_logged_as_an_error(function: Function) -> None:
    """A failed run ends with a log line of level ERROR and a hint."""
    function.write(_2_broken=BROKEN)
    function.invoke_failing({})
    (line,) = function.logged("run_failed")
    assert ("ERROR", "failed", "migration-failed") == (
        line["level"],
        line["status"],
        line["error_code"],
    )
    assert "Fix the file and invoke again." == line["hint"]


def values_of(metric: dict[str, Any]) -> dict[str, float]:
    """Return the counts of an invocation's metrics."""
    names = ("MigrationsApplied", "MigrationsPending", "RunFailed")
    return {name: metric[name][0] for name in names}


def test_metrics_tell_of_each_invocation(function: Function) -> None:
    """Each invocation writes its own metrics in CloudWatch's format."""
    function.invoke({})
    function.write(_2_broken=BROKEN, _3_email=EMAIL)
    function.invoke_failing({})
    function.invoke_failing({"action": "sideways"})
    function.set(LOCKGATE_TLS="perhaps")
    function.invoke_failing({})
    metrics = function.metrics()
    assert [
        {"MigrationsApplied": 1, "MigrationsPending": 0, "RunFailed": 0},
        {"MigrationsApplied": 0, "MigrationsPending": 2, "RunFailed": 1},
        {"MigrationsApplied": 0, "MigrationsPending": 0, "RunFailed": 0},
        {"MigrationsApplied": 0, "MigrationsPending": 0, "RunFailed": 1},
    ] == [values_of(metric) for metric in metrics]
    assert all(0 <= metric["LockWait"][0] <= metric["RunDuration"][0] for metric in metrics)
    name = function.database.name
    assert [name, name, "unknown", "unknown"] == [metric["database"] for metric in metrics]
    assert {FUNCTION_NAME} == {metric["function_name"] for metric in metrics}
    (directive,) = metrics[0]["_aws"]["CloudWatchMetrics"]
    assert ("Lockgate", [["service", "database", "function_name"]]) == (
        directive["Namespace"],
        [
            sorted(d, key=["service", "database", "function_name"].index)
            for d in directive["Dimensions"]
        ],
    )
    assert {
        "MigrationsApplied": "Count",
        "MigrationsPending": "Count",
        "RunDuration": "Milliseconds",
        "LockWait": "Milliseconds",
        "RunFailed": "Count",
        "LockBusy": "Count",
    } == {metric["Name"]: metric["Unit"] for metric in directive["Metrics"]}


def test_metrics_tell_of_cloudformations_runs_too(function: Function, stack: Stack) -> None:
    """The metric RunFailed also counts CloudFormation's runs."""
    stack.create({"CodeVersion": "1"})
    newer = function.write("newer", _1_account=ACCOUNT, _2_broken=BROKEN)
    stack.update({"CodeVersion": "2"}, handler=newer)
    assert [0, 1, 0] == [metric["RunFailed"][0] for metric in function.metrics()]


def test_metrics_tell_a_busy_lock_from_other_failures(function: Function) -> None:
    """A run that could not get the lock counts in LockBusy as well."""
    function.invoke({})
    holder = function.database.connect()
    holder.run(
        "UPDATE lockgate.migration_lock SET owner = 'other', caller = 'direct',"
        " backend_pid = pg_backend_pid(), taken_at = now(), expires_at = now() + interval '1 hour',"
        " backend_start = (SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid())"
    )
    function.write(_2_broken=BROKEN)
    function.set(LOCKGATE_LOCK_WAIT="0")
    function.invoke_failing({})
    holder.close()
    function.invoke_failing({})
    counts = [(metric["LockBusy"][0], metric["RunFailed"][0]) for metric in function.metrics()]
    assert [(0, 0), (1, 1), (0, 1)] == counts


def test_twenty_invocations_at_once_leave_one_history(function: Function) -> None:
    """Of twenty invocations at the same time, one does the work."""
    running = [Background.start(lambda: function.invoke({})) for _ in range(20)]
    statuses = sorted(one.result()["status"] for one in running)
    assert ["applied", *["up_to_date"] * 19] == statuses
