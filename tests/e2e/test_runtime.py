"""The deployed handler, run by Lambda's own runtime client against PostgreSQL and Secrets Manager.

The function's folder is laid out as it is deployed: the package, and the migrations beside it.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from tests.support.cloudformation import Bucket, Refusal, Stack, StackStatus
from tests.support.runtime_api import Invocation, Runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.cloudformation import Event
    from tests.support.database import Database
    from tests.support.lambda_context import LambdaContext

pytest.importorskip("awslambdaric", reason="awslambdaric is not installed")

HANDLER = Path(__file__).parents[2] / "handler"
REGION = "eu-west-1"

ACCOUNTS = """\
-- migrate:up
create table accounts (id bigint primary key, name text not null);
-- migrate:down
drop table accounts;
"""
ORDERS = """\
-- migrate:up
create table orders (id bigint primary key, account_id bigint references accounts);
-- migrate:down
drop table orders;
"""
BROKEN = """\
-- migrate:up
create table invoices (id bigint primary key);
alter table accounts add column name text;
-- migrate:down
drop table invoices;
"""
SLOW = """\
-- migrate:up
select pg_sleep(100);
"""
# Hangs where no server can cancel it, the first time only.
HANGS_ONCE = """\
import pathlib
import time

from sqlalchemy import text


def up(connection):
    connection.execute(text("create table more (id bigint)"))
    marker = pathlib.Path({marker!r})
    if not marker.exists():
        marker.touch()
        time.sleep(600)
"""


@dataclass(frozen=True, slots=True)
class Function:
    """The function of one test: its folder, its database, and how to start it."""

    task_root: Path
    database: Database
    environment: dict[str, str]

    def write(self, name: str, sql: str) -> None:
        """Put a migration into the package."""
        (self.task_root / "migrations" / name).write_text(sql)

    def remove(self, name: str) -> None:
        """Take a migration out of the package."""
        (self.task_root / "migrations" / name).unlink()

    def start(self) -> Runtime:
        """Return a runtime with the package as it is now."""
        return Runtime(self.task_root, "lockgate.entry.lambda_handler", self.environment)

    def tables(self) -> list[str]:
        """Return the user's tables."""
        rows = self.database.run(
            "select relname from pg_class where relnamespace = 'public'::regnamespace"
            " and relkind = 'r' order by relname"
        )
        return [row[0] for row in rows]


@pytest.fixture(scope="session")
def aws() -> Iterator[str]:
    """Give the address of a server that plays AWS."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@pytest.fixture
def function(database: Database, aws: str, tmp_path: Path) -> Function:
    """Give a function with two migrations and its credentials in a secret."""
    task_root = tmp_path / "task"
    shutil.copytree(HANDLER / "lockgate", task_root / "lockgate")
    (task_root / "migrations").mkdir()
    function = Function(
        task_root,
        database,
        {
            "LOCKGATE_SECRET_ARN": _store_secret(aws, database),
            "LOCKGATE_CA_FILE": str(database.ca_file),
            "LOCKGATE_CFN_LOOPBACK": "true",
            "AWS_ENDPOINT_URL": aws,
        },
    )
    function.write("1_create_accounts.sql", ACCOUNTS)
    function.write("2_create_orders.sql", ORDERS)
    return function


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    """Give the server behind CloudFormation's signed URLs."""
    with Bucket() as opened:
        yield opened


def test_empty_event_applies_what_is_pending(function: Function) -> None:
    """The console's button brings the database up to date, and a second time finds nothing."""
    with function.start() as runtime:
        first, second = runtime.invoke({}), runtime.invoke({})

    assert (first.error, second.error) == (None, None)
    assert first.result["format"] == "lockgate/report/v1"
    assert first.result["status"] == "applied"
    assert [entry["version"] for entry in first.result["applied"]] == ["1", "2"]
    assert (second.result["status"], second.result["to_version"]) == ("up_to_date", "2")
    assert function.tables() == ["accounts", "orders"]


def test_status_shows_what_is_pending_and_changes_nothing(function: Function) -> None:
    """Looking is not touching."""
    with function.start() as runtime:
        invocation = runtime.invoke({"action": "status"})

    assert invocation.error is None
    assert [entry["version"] for entry in invocation.result["pending"]] == ["1", "2"]
    assert function.tables() == []


def test_unknown_action_is_a_function_error(function: Function) -> None:
    """A caller that branches on the class name sees RequestRefused."""
    with function.start() as runtime:
        invocation = runtime.invoke({"action": "sideways"})

    error, report = _read_error(invocation)
    assert error["errorType"] == "RequestRefused"
    assert report["status"] == "refused"
    assert function.tables() == []


def test_test_event_of_the_console_is_no_migration(function: Function) -> None:
    """The console's default test event is refused."""
    with function.start() as runtime:
        invocation = runtime.invoke({"key1": "value1", "key2": "value2", "key3": "value3"})

    assert _read_error(invocation)[0]["errorType"] == "RequestRefused"
    assert function.tables() == []


def test_failing_migration_is_a_function_error_with_the_report(function: Function) -> None:
    """The error's message is the report, and the database is as it was found."""
    function.write("3_break.sql", BROKEN)

    with function.start() as runtime:
        invocation = runtime.invoke({})
        after = runtime.invoke({"action": "status"})

    error, report = _read_error(invocation)
    assert error["errorType"] == "MigrationFailed"
    assert report["status"] == "failed"
    assert report["error"]["sqlstate"] == "42701"
    assert (report["error"]["file"], report["error"]["line"]) == ("3_break.sql", 3)
    assert function.tables() == []
    assert after.error is None


def test_failed_run_is_counted_where_the_alarm_looks(function: Function) -> None:
    """The log carries the metric of RunFailedAlarm, as a line that CloudWatch reads."""
    function.write("3_break.sql", BROKEN)

    with function.start() as runtime:
        failed, fine = runtime.invoke({}), runtime.invoke({"action": "status"})

    dimensions = ["database", "function_name", "service"]
    assert [_read_metric(failed), _read_metric(fine)] == [
        ("Lockgate", dimensions, "lockgate", function.database.name, [1.0]),
        ("Lockgate", dimensions, "lockgate", function.database.name, [0.0]),
    ]


def test_statement_that_outlives_the_invocation_is_cancelled(function: Function) -> None:
    """The function says that it has not finished, before its time is over by its own clock."""
    function.write("3_sleep.sql", SLOW)

    with function.start() as runtime:
        invocation = runtime.invoke({}, told_seconds=3)

    error, report = _read_error(invocation)
    assert (error["errorType"], report["status"]) == ("RunIncomplete", "incomplete")
    assert not invocation.timed_out


def test_run_after_a_killed_one_takes_its_lock_and_finishes(
    function: Function, tmp_path: Path
) -> None:
    """What Lambda repeats after a kill does not wait for the lease of the dead."""
    marker = tmp_path / "marker"
    function.write("3_more.py", HANGS_ONCE.format(marker=str(marker)))

    with function.start() as runtime:
        # Told of more time than the second one has: by its lease the lock would outlast that.
        killed = runtime.invoke({}, told_seconds=900, kill_when=marker.exists)
        again = runtime.invoke({})

    assert killed.timed_out
    assert again.error is None
    assert (again.result["status"], again.result["to_version"]) == ("applied", "3")
    assert function.tables() == ["accounts", "more", "orders"]


def test_log_holds_no_password_and_no_signed_url(function: Function, bucket: Bucket) -> None:
    """What is secret stays out of the log, of a success and of a failure."""
    logs: list[str] = []
    with function.start() as runtime:
        stack = Stack(_as_handler(runtime, logs.append), bucket)
        stack.create({"CodeVersion": "1"})
        function.write("3_break.sql", BROKEN)
        stack.update({"CodeVersion": "2"})

    text = "".join(logs)
    assert stack.status == StackStatus.UPDATE_ROLLBACK_FAILED, "the broken file is in both packages"
    assert "migration" in text
    assert function.database.password not in text
    assert "X-Amz-Signature" not in text


def test_stack_is_created_and_answers_with_its_versions(function: Function, bucket: Bucket) -> None:
    """Template outputs find every attribute, as text, also on a new database."""
    with function.start() as runtime:
        stack = Stack(_as_handler(runtime), bucket)
        status = stack.create({"CodeVersion": "1"})

    assert status == StackStatus.CREATE_COMPLETE
    assert _pick(stack, "Status", "FromVersion", "ToVersion", "AppliedCount") == (
        "applied",
        "",
        "2",
        "2",
    )
    assert stack.data["RunId"]
    assert function.tables() == ["accounts", "orders"]


def test_answer_is_sent_again_until_it_is_taken(function: Function, bucket: Bucket) -> None:
    """A signed URL that fails twice gets the answer the third time."""
    bucket.fail_next(1, Refusal.UNAVAILABLE)
    bucket.fail_next(1, Refusal.RESET)

    with function.start() as runtime:
        status = Stack(_as_handler(runtime), bucket).create({"CodeVersion": "1"})

    assert status == StackStatus.CREATE_COMPLETE
    assert [put.status for put in bucket.puts] == [503, 0, 200]


def test_failed_creation_leaves_an_empty_database(function: Function, bucket: Bucket) -> None:
    """CloudFormation hears why, deletes the resource, and may create it again."""
    function.write("3_break.sql", BROKEN)

    with function.start() as runtime:
        stack = Stack(_as_handler(runtime), bucket)
        assert stack.create({"CodeVersion": "1"}) == StackStatus.ROLLBACK_COMPLETE

    failed, deleted = stack.exchanges
    assert "42701" in failed.answer.reason
    assert "3_break.sql" in failed.answer.reason
    assert deleted.answer.is_success
    assert function.tables() == []


def test_failed_update_is_rolled_back_to_the_older_package(
    function: Function, bucket: Bucket
) -> None:
    """The older package finds the database as it left it."""
    with function.start() as older:
        stack = Stack(_as_handler(older), bucket)
        stack.create({"CodeVersion": "1"})
        function.write("3_break.sql", BROKEN)
        with function.start() as newer:
            status = stack.update(
                {"CodeVersion": "2"},
                handler=_as_handler(newer, on_end=lambda: function.remove("3_break.sql")),
            )

    assert status == StackStatus.UPDATE_ROLLBACK_COMPLETE
    assert function.tables() == ["accounts", "orders"]


def test_older_package_tolerates_a_newer_database(function: Function, bucket: Bucket) -> None:
    """A later resource fails: the older code is asked to update, and says that all is well."""
    with function.start() as runtime:
        stack = Stack(_as_handler(runtime), bucket)
        stack.create({"CodeVersion": "1"})
        function.write("3_more.sql", "create table more (id bigint);\n")
        status = stack.update(
            {"CodeVersion": "2"},
            handler=_as_handler(runtime, on_end=lambda: function.remove("3_more.sql")),
            later_resource_fails=True,
        )

    assert status == StackStatus.UPDATE_ROLLBACK_COMPLETE
    assert stack.exchanges[-1].answer.is_success


def test_deletion_leaves_the_database_alone(function: Function, bucket: Bucket) -> None:
    """A deleted stack does not take the data with it."""
    with function.start() as runtime:
        stack = Stack(_as_handler(runtime), bucket)
        stack.create({"CodeVersion": "1"})
        assert stack.delete() == StackStatus.DELETE_COMPLETE

    assert function.tables() == ["accounts", "orders"]


@pytest.mark.parametrize("library", ["pg8000", "aws_lambda_powertools"])
def test_package_that_cannot_be_imported_is_answered(
    function: Function, bucket: Bucket, library: str
) -> None:
    """A package built without its libraries, or for another Python, costs nobody an hour."""
    shadow = function.task_root / library
    shadow.mkdir()
    (shadow / "__init__.py").write_text(f"raise ImportError('no {library} for this Python')")

    logs: list[str] = []
    with function.start() as runtime:
        stack = Stack(_as_handler(runtime, logs.append), bucket)
        status = stack.create({"CodeVersion": "1"})
        direct = runtime.invoke({})

    assert status == StackStatus.ROLLBACK_COMPLETE
    failed, deleted = stack.exchanges
    assert failed.answer.reason.startswith(
        f"The function's package cannot be imported. ImportError: no {library} for this Python."
        " Nothing was run. Build the package with sam build"
    )
    assert deleted.answer.is_success
    error, report = _read_error(direct)
    assert (error["errorType"], report["status"]) == ("UnexpectedFailure", "failed")
    assert "package_not_imported" in "".join(logs)
    assert "X-Amz-Signature" not in "".join(logs)


def _store_secret(aws: str, database: Database) -> str:
    client = boto3.client(
        "secretsmanager",
        region_name=REGION,
        endpoint_url=aws,
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )
    value = {
        "engine": "postgres",
        "host": database.host,
        "port": database.port,
        "dbname": database.name,
        "username": database.user,
        "password": database.password,
    }
    try:
        created = client.create_secret(Name=database.name, SecretString=json.dumps(value))
    finally:
        client.close()
    return str(created["ARN"])


def _as_handler(
    runtime: Runtime,
    read_log: Callable[[str], object] | None = None,
    on_end: Callable[[], object] | None = None,
) -> Callable[[Event, LambdaContext], None]:
    """Return a handler for the stack's driver that runs in ``runtime``."""

    def handle(event: Event, context: LambdaContext) -> None:
        del context  # the runtime makes its own
        invocation = runtime.invoke(event)
        if read_log is not None:
            read_log(invocation.logs)
        if on_end is not None:
            on_end()
        assert invocation.error is None, invocation.error

    return handle


def _read_error(invocation: Invocation) -> tuple[dict[str, Any], dict[str, Any]]:
    assert invocation.error is not None, invocation.result
    report = json.loads(invocation.error["errorMessage"])
    assert report["format"] == "lockgate/report/v1"
    return invocation.error, report


def _read_metric(invocation: Invocation) -> tuple[Any, ...]:
    """Return namespace, dimensions, their values and RunFailed of the one EMF line."""
    lines = [line for line in invocation.logs.splitlines() if '"_aws"' in line]
    assert len(lines) == 1, invocation.logs
    line = json.loads(lines[0])
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    (dimensions,) = directive["Dimensions"]
    values = (line["service"], line["database"], line["RunFailed"])
    return directive["Namespace"], sorted(dimensions), *values


def _pick(stack: Stack, *names: str) -> tuple[Any, ...]:
    return tuple(stack.data[name] for name in names)
