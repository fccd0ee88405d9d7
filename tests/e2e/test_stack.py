"""The life of a stack whose function is the built package under Lambda's runtime client."""

from __future__ import annotations

from typing import Any

from tests.support.cloudformation import Bucket, Refusal, Stack, StackStatus
from tests.support.function import Function, as_handler

BROKEN = """\
-- migrate:up
create table invoices (id bigint primary key);
alter table accounts add column name text;
-- migrate:down
drop table invoices;
"""


def test_log_holds_no_password_and_no_signed_url(function: Function, bucket: Bucket) -> None:
    """Secrets stay out of the log, on success and on failure."""
    logs: list[str] = []
    with function.start() as runtime:
        stack = Stack(as_handler(runtime, logs.append), bucket)
        stack.create({"CodeVersion": "1"})
        function.write("3_break.sql", BROKEN)
        stack.update({"CodeVersion": "2"})

    text = "".join(logs)
    assert stack.status == StackStatus.UPDATE_ROLLBACK_FAILED, "the broken file is in both packages"
    assert "migration" in text
    assert function.database.password not in text
    assert "X-Amz-Signature" not in text


def test_stack_lives_and_ends(function: Function, bucket: Bucket) -> None:
    """Create, update, failed update with rollback, and delete run once each with their own package."""
    with function.start() as first:
        stack = Stack(as_handler(first), bucket)
        created = stack.create({"CodeVersion": "1"})
    function.write("3_more.sql", "create table more (id bigint);\n")
    with function.start() as second:
        updated = stack.update({"CodeVersion": "2"}, handler=as_handler(second))
        version = stack.data["ToVersion"]
        function.write("4_break.sql", BROKEN)
        with function.start() as third:
            failed = stack.update(
                {"CodeVersion": "3"},
                handler=as_handler(third, on_end=lambda: function.remove("4_break.sql")),
            )
        deleted = stack.delete()

    assert [created, updated, failed, deleted] == [
        StackStatus.CREATE_COMPLETE,
        StackStatus.UPDATE_COMPLETE,
        StackStatus.UPDATE_ROLLBACK_COMPLETE,
        StackStatus.DELETE_COMPLETE,
    ]
    assert version == "3"
    assert function.runs() == ["applied", "applied", "failed"]
    assert function.tables() == ["accounts", "more", "orders"]


def test_stack_is_created_and_answers_with_its_versions(function: Function, bucket: Bucket) -> None:
    """Every attribute for template outputs is a string, even on a new database."""
    with function.start() as runtime:
        stack = Stack(as_handler(runtime), bucket)
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
    """If the signed URL fails twice, the third attempt delivers the answer."""
    bucket.fail_next(1, Refusal.UNAVAILABLE)
    bucket.fail_next(1, Refusal.RESET)

    with function.start() as runtime:
        status = Stack(as_handler(runtime), bucket).create({"CodeVersion": "1"})

    assert status == StackStatus.CREATE_COMPLETE
    assert [put.status for put in bucket.puts] == [503, 0, 200]


def test_failed_creation_leaves_an_empty_database(function: Function, bucket: Bucket) -> None:
    """CloudFormation gets the reason, and the resource can be deleted and created again."""
    function.write("3_break.sql", BROKEN)

    with function.start() as runtime:
        stack = Stack(as_handler(runtime), bucket)
        assert stack.create({"CodeVersion": "1"}) == StackStatus.ROLLBACK_COMPLETE

    failed, deleted = stack.exchanges
    assert "42701" in failed.answer.reason
    assert "3_break.sql" in failed.answer.reason
    assert deleted.answer.is_success
    assert function.tables() == []


def test_failed_update_is_rolled_back_to_the_older_package(
    function: Function, bucket: Bucket
) -> None:
    """After the rollback, the older package finds the database unchanged."""
    with function.start() as older:
        stack = Stack(as_handler(older), bucket)
        stack.create({"CodeVersion": "1"})
        function.write("3_break.sql", BROKEN)
        with function.start() as newer:
            status = stack.update(
                {"CodeVersion": "2"},
                handler=as_handler(newer, on_end=lambda: function.remove("3_break.sql")),
            )

    assert status == StackStatus.UPDATE_ROLLBACK_COMPLETE
    assert function.tables() == ["accounts", "orders"]


def test_older_package_tolerates_a_newer_database(function: Function, bucket: Bucket) -> None:
    """If a later resource fails, the older package's Update succeeds on the newer database."""
    with function.start() as runtime:
        stack = Stack(as_handler(runtime), bucket)
        stack.create({"CodeVersion": "1"})
        function.write("3_more.sql", "create table more (id bigint);\n")
        status = stack.update(
            {"CodeVersion": "2"},
            handler=as_handler(runtime, on_end=lambda: function.remove("3_more.sql")),
            later_resource_fails=True,
        )

    assert status == StackStatus.UPDATE_ROLLBACK_COMPLETE
    assert stack.exchanges[-1].answer.is_success


def test_deletion_leaves_the_database_alone(function: Function, bucket: Bucket) -> None:
    """Deleting the stack leaves the tables in the database."""
    with function.start() as runtime:
        stack = Stack(as_handler(runtime), bucket)
        stack.create({"CodeVersion": "1"})
        assert stack.delete() == StackStatus.DELETE_COMPLETE

    assert function.tables() == ["accounts", "orders"]


def _pick(stack: Stack, *names: str) -> tuple[Any, ...]:
    return tuple(stack.data[name] for name in names)
