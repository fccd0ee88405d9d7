"""CloudFormation runs that outlive an invocation, are delivered twice, or overtake each other.

Lambda is simulated: an invocation is a call of the real handler with a context whose time is short,
and the events that the handler sends to itself are handled again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.cloudformation import Bucket, Stack, StackStatus
from tests.support.hurry import LEFT_MS, LIVES_MS, SLEEPS, count_runs, hurried
from tests.support.lambda_context import LambdaContext, ManualClock
from tests.support.waiting import Background, Gate, is_asleep, wait_until

from lockgate.awslambda import app
from lockgate.core.continuation import MOST_HOPS
from lockgate.errors import RunIncomplete

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.project import Project

Event = dict[str, Any]


@dataclass(slots=True)
class Lambda:
    """Calls the handler, and calls it again with each event that the handler sent to itself.

    The time of an invocation runs out as soon as a statement sleeps. ``on_hop`` is called before
    each further invocation.
    """

    project: Project
    refuses: bool = False
    on_hop: Callable[[int], None] = lambda _: None
    hops: int = 0
    handed_on: list[Event] = field(default_factory=list)

    def invoke_again(self, _arn: str, event: Event) -> None:
        """Replace the asynchronous Invoke."""
        if self.refuses:
            raise RunIncomplete("The run is not done, and the function cannot be invoked: denied.")
        self.handed_on.append(event)

    def handle(self, event: Event, _context: object = None) -> Any:
        """Handle an event over as many invocations as needed."""
        result = self._invoke(event)
        while self.handed_on:
            self.hops += 1
            self.on_hop(self.hops)
            result = self._invoke(self.handed_on.pop())
        return result

    def _invoke(self, event: Event) -> Any:
        context: Any = LambdaContext(deadline_ms=LIVES_MS)
        with hurried(self.project, context.clock, LIVES_MS - LEFT_MS):
            return app.lambda_handler(event, context)


@pytest.fixture
def environment(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Return a project whose settings are in the process environment."""
    settings = {
        **project.database.environment,
        "LOCKGATE_MIGRATIONS": str(project.folder),
        "LOCKGATE_CFN_LOOPBACK": "true",
        "LOCKGATE_ATOMICITY": "migration",
        "LOCKGATE_LOCK_WAIT": "120s",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return project


@pytest.fixture
def function(environment: Project, monkeypatch: pytest.MonkeyPatch) -> Lambda:
    """Return the function of the project."""
    function = Lambda(environment)
    monkeypatch.setattr(app, "invoke_again", function.invoke_again)
    return function


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    """Return the server behind the signed URL."""
    with Bucket() as running:
        yield running


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


def test_run_longer_than_an_invocation_is_answered_once_at_the_end(
    environment: Project, bucket: Bucket, function: Lambda
) -> None:
    """Migrations that take several invocations get one answer, and each is applied once."""
    slow = {1: "2_b.sql", 2: "4_d.sql"}
    environment.write({"1_a.sql": "SELECT 1;", "3_c.sql": "SELECT 3;", "5_e.sql": "SELECT 5;"})
    environment.write(dict.fromkeys(slow.values(), SLEEPS))
    function.on_hop = lambda hop: environment.write({slow[hop]: "SELECT 1;"})
    stack = Stack(function.handle, bucket)
    assert StackStatus.CREATE_COMPLETE == stack.create({"CodeVersion": "1"})
    assert [(str(n), "applied") for n in range(1, 6)] == environment.history()
    assert [
        ["incomplete", None],
        ["incomplete", "1"],
        ["applied", "2"],
    ] == environment.database.run(
        "SELECT status, caller_reference->>'hop' FROM lockgate.migration_run ORDER BY token"
    )


def test_run_that_never_ends_is_answered_after_the_last_hop(
    environment: Project, bucket: Bucket, function: Lambda
) -> None:
    """A statement longer than any invocation ends in FAILED after a limited number of hops."""
    environment.write({"1_endless.sql": SLEEPS})
    stack = Stack(function.handle, bucket)
    assert StackStatus.ROLLBACK_COMPLETE == stack.create({"CodeVersion": "1"})
    assert MOST_HOPS == function.hops
    assert environment.lock_owner() is None


def test_run_that_may_not_invoke_itself_is_answered_at_once(
    environment: Project, bucket: Bucket, function: Lambda
) -> None:
    """Without the permission to invoke itself, the function answers with the reason immediately."""
    environment.write({"1_endless.sql": SLEEPS})
    function.refuses = True
    stack = Stack(function.handle, bucket)
    assert StackStatus.ROLLBACK_COMPLETE == stack.create({"CodeVersion": "1"})
    assert 0 == function.hops


def test_run_past_the_service_timeout_is_answered_in_time(
    environment: Project, bucket: Bucket, function: Lambda, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ServiceTimeout shorter than the invocation is the deadline."""
    environment.write({"1_endless.sql": SLEEPS})
    clock = ManualClock()
    monkeypatch.setattr(app, "_now", lambda: clock.now_ms / 1000)
    context: Any = LambdaContext(deadline_ms=LIVES_MS)
    properties = {"CodeVersion": "1", "ServiceTimeout": "80"}
    with hurried(environment, clock, 80_000 - LEFT_MS):
        answer: Any = app.lambda_handler(
            make_event(bucket, "Create", ResourceProperties=properties), context
        )
    assert "FAILED" == answer["answered"]
    assert 0 == function.hops
    assert environment.lock_owner() is None


def test_event_delivered_twice_at_once_does_the_work_once(
    environment: Project, bucket: Bucket, function: Lambda
) -> None:
    """A second delivery that waits for the first also answers SUCCESS, and the work is done once."""
    gate = Gate(environment.database)
    environment.write(
        {
            "1_t.sql": "CREATE TABLE t (i int);",
            "2_once.sql": f"{Gate.SQL}INSERT INTO t VALUES (1);",
        }
    )
    event = make_event(bucket, "Create")
    deliveries = [Background.start(lambda: function.handle(event)) for _ in range(2)]
    gate.wait()
    wait_until(lambda: count_runs(environment) == len(deliveries), "a second run")
    gate.open()
    assert ["SUCCESS", "SUCCESS"] == [one.result()["answered"] for one in deliveries]
    assert [[1]] == environment.database.run("SELECT count(*) FROM t")


def test_event_delivered_again_after_success_answers_again(
    environment: Project, bucket: Bucket, function: Lambda
) -> None:
    """A late copy of a successful event finds nothing to do and answers SUCCESS."""
    environment.write({"1_t.sql": "CREATE TABLE t ();"})
    event = make_event(bucket, "Create")
    first, again = function.handle(event), function.handle(event)
    assert ("SUCCESS", "SUCCESS") == (first["answered"], again["answered"])
    assert ["applied"] == environment.runs()


def test_delete_with_an_invented_id_while_create_runs(
    environment: Project, bucket: Bucket, function: Lambda
) -> None:
    """Delete answers immediately and changes nothing while Create still runs."""
    gate = Gate(environment.database)
    environment.write({"1_slow.sql": Gate.SQL})
    create = Background.start(lambda: function.handle(make_event(bucket, "Create")))
    gate.wait()
    deletion = function.handle(
        make_event(bucket, "Delete", PhysicalResourceId="shop-Migration-1ABC")
    )
    assert (False, 1) == (create.is_over, len(bucket.puts))
    gate.open()
    assert ("SUCCESS", "SUCCESS") == (deletion["answered"], create.result()["answered"])
    assert [("1", "applied")] == environment.history()


def test_rollback_that_overtakes_the_failed_update(
    environment: Project, bucket: Bucket, function: Lambda
) -> None:
    """A rollback Update waits until the failed Update has been cancelled, and then runs."""
    environment.write({"1_t.sql": "CREATE TABLE t ();"})
    function.handle(make_event(bucket, "Create"))
    environment.write({"2_endless.sql": SLEEPS})
    function.refuses = True
    failing = make_event(bucket, "Update", PhysicalResourceId="x", RequestId="two")
    back = make_event(bucket, "Update", PhysicalResourceId="x", RequestId="three")
    contexts: list[Any] = [LambdaContext(deadline_ms=LIVES_MS) for _ in range(2)]
    update = Background.start(lambda: app.lambda_handler(failing, contexts[0]))
    wait_until(lambda: is_asleep(environment.database), "an update that sleeps")
    environment.remove("2_endless.sql")
    environment.write({"3_back.sql": "SELECT 3;"})
    rollback = Background.start(lambda: app.lambda_handler(back, contexts[1]))
    wait_until(lambda: count_runs(environment) == len(contexts), "a second run")
    contexts[0].clock.advance(LIVES_MS - LEFT_MS)
    assert "SUCCESS" == rollback.result()["answered"]
    assert "FAILED" == update.result()["answered"]
    assert [("1", "applied"), ("3", "applied")] == environment.history()
    assert environment.lock_owner() is None
