"""CloudFormation runs that outlive an invocation, that arrive twice, and that overtake each other.

Lambda's part is played here: an invocation is a call of the real handler with a context whose time is
short, and what the handler hands to itself is called again.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.cloudformation import Bucket, Stack, StackStatus
from tests.support.lambda_context import LambdaContext

from lockgate import app
from lockgate.core.continuation import MOST_HOPS
from lockgate.errors import RunIncomplete

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.project import Project

Event = dict[str, Any]

SLOW = "SELECT pg_sleep(0.4);"


class RealClock:
    """A context's clock that goes by itself."""

    @property
    def now_ms(self) -> int:
        """Return the milliseconds of the machine's clock."""
        return int(time.monotonic() * 1000)


def make_context(lives_ms: int) -> Any:
    """Return the context of an invocation that Lambda kills after ``lives_ms``."""
    clock: Any = RealClock()
    return LambdaContext(deadline_ms=clock.now_ms + lives_ms, clock=clock)


class Lambda:
    """Calls the handler, and again with whatever it handed to itself."""

    def __init__(self, lives_ms: int) -> None:
        self.lives_ms = lives_ms
        self.handed_on: list[Event] = []
        self.hops = 0
        self.refuses = False

    def invoke_again(self, _arn: str, event: Event) -> None:
        """Stand in for the asynchronous Invoke."""
        if self.refuses:
            raise RunIncomplete("The run is not done, and the function cannot be invoked: denied.")
        self.handed_on.append(event)

    def handle(self, event: Event, _context: object) -> object:
        """Run an event to its end, over as many invocations as it takes."""
        result = app.lambda_handler(event, make_context(self.lives_ms))
        while self.handed_on:
            self.hops += 1
            result = app.lambda_handler(self.handed_on.pop(), make_context(self.lives_ms))
        return result


@pytest.fixture
def environment(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Give a project whose settings are the process's environment."""
    settings = {
        **project.database.environment,
        "LOCKGATE_MIGRATIONS": str(project.folder),
        "LOCKGATE_CFN_LOOPBACK": "true",
        "LOCKGATE_ATOMICITY": "migration",
        "LOCKGATE_LOCK_WAIT": "20s",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return project


@pytest.fixture
def make_lambda(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Lambda]:
    """Give a maker of functions whose invocations live so many milliseconds."""

    def make(lives_ms: int) -> Lambda:
        function = Lambda(lives_ms)
        monkeypatch.setattr(app, "invoke_again", function.invoke_again)
        return function

    return make


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    """Give the server behind the signed URL."""
    with Bucket() as running:
        yield running


def test_run_longer_than_an_invocation_is_answered_once_at_the_end(
    environment: Project, bucket: Bucket, make_lambda: Callable[[int], Lambda]
) -> None:
    """Six slow migrations take several invocations and one answer; each is applied once."""
    environment.write({f"{n}_slow.sql": SLOW for n in range(1, 7)})
    function = make_lambda(1_500)
    stack = Stack(function.handle, bucket)
    assert StackStatus.CREATE_COMPLETE == stack.create({"CodeVersion": "1"})
    assert function.hops >= 1
    assert [(str(n), "applied") for n in range(1, 7)] == environment.history()
    rows = environment.database.run(
        "SELECT status, caller_reference->>'hop' FROM lockgate.migration_run ORDER BY token"
    )
    assert [None, *(str(n) for n in range(1, function.hops + 1))] == [row[1] for row in rows]
    assert ["incomplete"] * function.hops + ["applied"] == [row[0] for row in rows]


def test_run_that_never_ends_is_answered_after_the_last_hop(
    environment: Project, bucket: Bucket, make_lambda: Callable[[int], Lambda]
) -> None:
    """A statement longer than any invocation ends in FAILED after a bounded number of hops."""
    environment.write({"1_endless.sql": "SELECT pg_sleep(600);"})
    function = make_lambda(500)
    stack = Stack(function.handle, bucket)
    assert StackStatus.ROLLBACK_COMPLETE == stack.create({"CodeVersion": "1"})
    assert MOST_HOPS == function.hops
    assert environment.lock_owner() is None


def test_run_that_may_not_invoke_itself_is_answered_at_once(
    environment: Project, bucket: Bucket, make_lambda: Callable[[int], Lambda]
) -> None:
    """Without the permission CloudFormation hears why, within the first invocation."""
    environment.write({"1_endless.sql": "SELECT pg_sleep(600);"})
    function = make_lambda(800)
    function.refuses = True
    stack = Stack(function.handle, bucket)
    assert StackStatus.ROLLBACK_COMPLETE == stack.create({"CodeVersion": "1"})
    assert 0 == function.hops


def test_run_past_the_service_timeout_is_answered_in_time(
    environment: Project, bucket: Bucket, make_lambda: Callable[[int], Lambda]
) -> None:
    """A ServiceTimeout shorter than the invocation is the deadline."""
    environment.write({"1_endless.sql": "SELECT pg_sleep(600);"})
    function = make_lambda(600_000)
    stack = Stack(function.handle, bucket)
    began = time.monotonic()
    properties = {"CodeVersion": "1", "ServiceTimeout": 3}
    assert StackStatus.ROLLBACK_COMPLETE == stack.create(properties)
    assert time.monotonic() - began < 6
    assert 0 == function.hops


def test_event_delivered_twice_at_once_does_the_work_once(
    environment: Project, bucket: Bucket, make_lambda: Callable[[int], Lambda]
) -> None:
    """A second delivery that waits until the first has ended says SUCCESS too; the work is done once."""
    environment.write(
        {"1_t.sql": "CREATE TABLE t (i int);", "2_once.sql": f"{SLOW} INSERT INTO t VALUES (1);"}
    )
    function = make_lambda(30_000)

    def twice(event: Event, context: object) -> object:
        results: list[object] = []
        threads = [
            threading.Thread(target=lambda: results.append(function.handle(event, context)))
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        statuses.extend(results)
        return results[0]

    statuses: list[Any] = []
    answers_twice(bucket, twice)
    assert ["SUCCESS", "SUCCESS"] == [status["answered"] for status in statuses]
    assert [[1]] == environment.database.run("SELECT count(*) FROM t")


def answers_twice(bucket: Bucket, handler: Callable[[Event, object], object]) -> None:
    """Send one Create whose every delivery may answer."""
    handler(make_event(bucket, "Create"), None)


def make_event(bucket: Bucket, kind: str, **more: Any) -> Event:
    """Return an event that is delivered by hand."""
    return {
        "RequestType": kind,
        "ServiceToken": "arn:aws:lambda:eu-west-1:123456789012:function:x",
        "ResponseURL": bucket.sign_url(),
        "StackId": "arn:aws:cloudformation:eu-west-1:123456789012:stack/shop/1",
        "RequestId": "one",
        "LogicalResourceId": "Migration",
        "ResourceType": "Custom::LockgateMigration",
        "ResourceProperties": {"CodeVersion": "1"},
        **more,
    }


def test_event_delivered_again_after_success_answers_again(
    environment: Project, bucket: Bucket, make_lambda: Callable[[int], Lambda]
) -> None:
    """A late copy of an event that succeeded finds nothing to do and says SUCCESS."""
    environment.write({"1_t.sql": "CREATE TABLE t ();"})
    function = make_lambda(30_000)
    event = make_event(bucket, "Create")
    first: Any = function.handle(event, None)
    again: Any = function.handle(event, None)
    assert ("SUCCESS", "SUCCESS") == (first["answered"], again["answered"])
    assert ["applied"] == environment.runs()


def test_delete_with_an_invented_id_while_create_runs(
    environment: Project, bucket: Bucket, make_lambda: Callable[[int], Lambda]
) -> None:
    """Delete answers at once and touches nothing, though Create still works."""
    environment.write({"1_slow.sql": "SELECT pg_sleep(1);"})
    function = make_lambda(30_000)
    create = threading.Thread(target=function.handle, args=(make_event(bucket, "Create"), None))
    create.start()
    began = time.monotonic()
    deletion: Any = app.lambda_handler(
        make_event(bucket, "Delete", PhysicalResourceId="shop-Migration-1ABC"), make_context(30_000)
    )
    took = time.monotonic() - began
    create.join()
    assert "SUCCESS" == deletion["answered"]
    assert took < 1
    assert [("1", "applied")] == environment.history()


def test_rollback_that_overtakes_the_failed_update(
    environment: Project, bucket: Bucket, make_lambda: Callable[[int], Lambda]
) -> None:
    """A rollback Update that comes while the failed one is being cancelled waits, then works."""
    environment.write({"1_t.sql": "CREATE TABLE t ();"})
    function = make_lambda(30_000)
    function.handle(make_event(bucket, "Create"), None)
    environment.write({"2_endless.sql": "SELECT pg_sleep(600);"})
    function.refuses = True
    failing = make_event(bucket, "Update", PhysicalResourceId="x", RequestId="two")
    answers: list[Any] = []
    update = threading.Thread(
        target=lambda: answers.append(app.lambda_handler(failing, make_context(1_200)))
    )
    update.start()
    time.sleep(0.6)
    environment.remove("2_endless.sql")
    rollback: Any = app.lambda_handler(
        make_event(bucket, "Update", PhysicalResourceId="x", RequestId="three"),
        make_context(30_000),
    )
    update.join()
    assert "SUCCESS" == rollback["answered"]
    assert "FAILED" == answers[0]["answered"]
    assert [("1", "applied")] == environment.history()
    assert environment.lock_owner() is None
