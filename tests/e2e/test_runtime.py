"""The built package under Lambda's own runtime client, with PostgreSQL and a simulated AWS.

The function's folder is unpacked as by Lambda and is read-only. The process has Lambda's variables
and no others, and Lambda's Python with the libraries that Lambda provides.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.artifact import MIGRATIONS, copy_folder
from tests.support.cloudformation import Bucket, Stack, StackStatus
from tests.support.function import Function, as_handler, read_error
from tests.support.runtime_api import Invocation, find_launcher

if TYPE_CHECKING:
    from pathlib import Path

BROKEN = """\
-- migrate:up
create table invoices (id bigint primary key);
alter table accounts add column name text;
-- migrate:down
drop table invoices;
"""
# A table name reports whether the function can write its own folder.
WRITES = """\
import errno
import os
import pathlib


def up(connection):
    try:
        pathlib.Path(os.environ["LAMBDA_TASK_ROOT"], "lockgate", "left_behind").touch()
        told = "written"
    except OSError as error:
        told = errno.errorcode[error.errno].lower()
    connection.exec_driver_sql(f"create table {told} ()")
"""


def test_cold_start_applies_what_the_package_ships(function: Function) -> None:
    """An empty event on a new database applies the package's own migrations."""
    with function.start(LOCKGATE_MIGRATIONS="") as runtime:
        invocation = runtime.invoke({})

    assert invocation.error is None
    assert invocation.is_cold
    applied = {entry["file"] for entry in invocation.result["applied"]}
    assert {path.name for path in MIGRATIONS.iterdir() if path.is_file()} == applied


def test_smallest_function_is_large_enough(function: Function) -> None:
    """128 MB are enough to apply migrations, including Python ones, and to find nothing pending."""
    with function.start(memory_mb=128, LOCKGATE_MIGRATIONS="") as runtime:
        first, second = runtime.invoke({}), runtime.invoke({})

    assert (first.error, second.error) == (None, None)
    assert [one.result["status"] for one in (first, second)] == ["applied", "up_to_date"]


def test_function_cannot_write_its_folder(function: Function) -> None:
    """As in Lambda, a migration cannot write the function's folder."""
    if find_launcher() is None:
        pytest.skip("a process of root's may write everywhere, and here it cannot be anything less")
    function.write("3_write.py", WRITES)

    with function.start() as runtime:
        invocation = runtime.invoke({})

    assert invocation.error is None
    assert function.tables() == ["accounts", "eacces", "orders"]


def test_empty_event_applies_what_is_pending(function: Function) -> None:
    """An empty event brings the database up to date, and a second one finds nothing pending."""
    with function.start() as runtime:
        first, second = runtime.invoke({}), runtime.invoke({})

    assert (first.error, second.error) == (None, None)
    assert first.result["format"] == "lockgate/report/v1"
    assert first.result["status"] == "applied"
    assert [entry["version"] for entry in first.result["applied"]] == ["1", "2"]
    assert (second.result["status"], second.result["to_version"]) == ("up_to_date", "2")
    assert function.tables() == ["accounts", "orders"]


def test_status_shows_what_is_pending_and_changes_nothing(function: Function) -> None:
    """A status lists the pending migrations and changes nothing."""
    with function.start() as runtime:
        invocation = runtime.invoke({"action": "status"})

    assert invocation.error is None
    assert [entry["version"] for entry in invocation.result["pending"]] == ["1", "2"]
    assert function.tables() == []


def test_unknown_action_is_a_function_error(function: Function) -> None:
    """An unknown action fails with the class RequestRefused."""
    with function.start() as runtime:
        invocation = runtime.invoke({"action": "sideways"})

    error, report = read_error(invocation)
    assert error["errorType"] == "RequestRefused"
    assert report["status"] == "refused"
    assert function.tables() == []


def test_test_event_of_the_console_runs_no_migration(function: Function) -> None:
    """The console's default test event is refused."""
    with function.start() as runtime:
        invocation = runtime.invoke({"key1": "value1", "key2": "value2", "key3": "value3"})

    assert read_error(invocation)[0]["errorType"] == "RequestRefused"
    assert function.tables() == []


def test_failing_migration_is_a_function_error_with_the_report(function: Function) -> None:
    """The error message is the report, and the database is unchanged."""
    function.write("3_break.sql", BROKEN)

    with function.start() as runtime:
        invocation = runtime.invoke({})
        after = runtime.invoke({"action": "status"})

    error, report = read_error(invocation)
    assert error["errorType"] == "MigrationFailed"
    assert report["status"] == "failed"
    assert report["error"]["sqlstate"] == "42701"
    assert (report["error"]["file"], report["error"]["line"]) == ("3_break.sql", 3)
    assert function.tables() == []
    assert after.error is None


def test_failed_run_is_counted_where_the_alarm_looks(function: Function) -> None:
    """The log contains the metric of RunFailedAlarm in CloudWatch's format."""
    function.write("3_break.sql", BROKEN)

    with function.start() as runtime:
        failed, fine = runtime.invoke({}), runtime.invoke({"action": "status"})

    dimensions = ["database", "function_name", "service"]
    assert [_read_metric(failed), _read_metric(fine)] == [
        ("Lockgate", dimensions, "lockgate", function.database.name, [1.0]),
        ("Lockgate", dimensions, "lockgate", function.database.name, [0.0]),
    ]


@pytest.mark.parametrize("library", ["pg8000", "aws_lambda_powertools"])
def test_package_that_cannot_be_imported_is_answered(
    function: Function, bucket: Bucket, tmp_path: Path, library: str
) -> None:
    """A package without its libraries, or for another Python, is answered immediately."""
    folder = tmp_path / "task"
    copy_folder(function.artifact.folder, folder, leave_out=(library,))
    (folder / library).mkdir()
    (folder / library / "__init__.py").write_text(
        f"raise ImportError('no {library} for this Python')"
    )

    logs: list[str] = []
    with function.start(folder) as runtime:
        stack = Stack(as_handler(runtime, logs.append), bucket)
        status = stack.create({"CodeVersion": "1"})
        direct = runtime.invoke({})

    assert status == StackStatus.ROLLBACK_COMPLETE
    failed, deleted = stack.exchanges
    assert failed.answer.reason.startswith(
        f"The function's package cannot be imported. ImportError: no {library} for this Python."
        " Nothing was changed. Build the package with sam build"
    )
    assert deleted.answer.is_success
    error, report = read_error(direct)
    assert (error["errorType"], report["status"]) == ("UnexpectedFailure", "failed")
    assert "package_not_imported" in "".join(logs)
    assert "X-Amz-Signature" not in "".join(logs)


def _read_metric(invocation: Invocation) -> tuple[Any, ...]:
    """Return namespace, dimensions, their values and RunFailed of the only EMF line."""
    lines = [line for line in invocation.logs.splitlines() if '"_aws"' in line]
    assert len(lines) == 1, invocation.logs
    line = json.loads(lines[0])
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    (dimensions,) = directive["Dimensions"]
    values = (line["service"], line["database"], line["RunFailed"])
    return directive["Namespace"], sorted(dimensions), *values
