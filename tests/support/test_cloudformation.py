"""The CloudFormation driver, tested with a custom resource of a few lines."""

from __future__ import annotations

import http.client
import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from tests.support.cloudformation import Bucket, Refusal, Stack, StackStatus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.cloudformation import Event
    from tests.support.lambda_context import LambdaContext


@dataclass(slots=True)
class Toy:
    """A custom resource that answers as configured, and records the events."""

    physical_id: str = "toy"
    fails_on: str = ""
    answers: int = 1
    tries: int = 1
    raises: int = 0
    content_type: str = ""
    padding: int = 0
    events: list[Event] = field(default_factory=list)
    may_finish: threading.Event | None = None

    def __call__(self, event: Event, context: LambdaContext) -> None:
        """Answer the event."""
        assert context.get_remaining_time_in_millis() > 0
        self.events.append(event)
        if self.raises:
            self.raises -= 1
            raise RuntimeError("told to")
        if self.may_finish is not None and event["RequestType"] == "Create":
            assert self.may_finish.wait(10)
        for _ in range(self.answers):
            self._put(event)

    @property
    def kinds(self) -> list[str]:
        """The kinds of the events, in order."""
        return [event["RequestType"] for event in self.events]

    def _put(self, event: Event) -> None:
        is_failed = event["RequestType"] == self.fails_on
        body: dict[str, Any] = {
            "Status": "FAILED" if is_failed else "SUCCESS",
            "Reason": "told to" if is_failed else "",
            "PhysicalResourceId": self.physical_id,
            "Data": {"Padding": "x" * self.padding},
            **{name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")},
        }
        url = urlsplit(event["ResponseURL"])
        for _ in range(self.tries):
            connection = http.client.HTTPConnection(url.netloc)
            headers = {"Content-Type": self.content_type}
            try:
                connection.request("PUT", f"{url.path}?{url.query}", json.dumps(body), headers)
                if connection.getresponse().status == 200:
                    return
            except ConnectionError:
                continue
            finally:
                connection.close()


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    """Give a bucket that accepts answers."""
    with Bucket() as opened:
        yield opened


def test_create_sends_scalars_as_strings_and_keeps_the_id(bucket: Bucket) -> None:
    """Numbers and flags arrive as strings, and the stack keeps the physical id."""
    toy = Toy()
    stack = Stack(toy, bucket)

    assert stack.create({"Count": 3, "On": True, "Deep": [{"n": 1}]}) == "CREATE_COMPLETE"

    sent = toy.events[0]["ResourceProperties"]
    assert {"Count": "3", "On": "true", "Deep": [{"n": "1"}]}.items() <= sent.items()
    assert "PhysicalResourceId" not in toy.events[0]
    assert stack.physical_id == "toy"


def test_create_that_fails_is_deleted_with_the_id_of_the_answer(bucket: Bucket) -> None:
    """The rollback of a failed Create is a Delete with the id of the answer."""
    toy = Toy(physical_id="half", fails_on="Create")

    assert Stack(toy, bucket).create({}) == StackStatus.ROLLBACK_COMPLETE

    assert toy.kinds == ["Create", "Delete"]
    assert toy.events[1]["PhysicalResourceId"] == "half"


def test_delete_with_an_invented_id_arrives_while_create_runs(bucket: Bucket) -> None:
    """If another resource fails, Delete arrives while Create is still running."""
    toy = Toy(may_finish=threading.Event())
    stack = Stack(toy, bucket)
    assert toy.may_finish is not None

    assert stack.create_while_another_fails({}, toy.may_finish.set) == "ROLLBACK_COMPLETE"

    assert [exchange.kind for exchange in stack.exchanges] == ["Delete", "Create"]
    assert toy.events[1]["PhysicalResourceId"].startswith("orders-Migration-")


def test_failed_update_is_reverted_with_swapped_properties(bucket: Bucket) -> None:
    """The rollback of a failed Update is an Update with the properties swapped."""
    toy = Toy(fails_on="Update")
    older = Toy()
    stack = Stack(older, bucket)
    stack.create({"CodeVersion": 1})

    assert stack.update({"CodeVersion": 2}, handler=toy) == StackStatus.UPDATE_ROLLBACK_COMPLETE

    assert (toy.kinds, older.kinds) == (["Update"], ["Create", "Update"])
    back = older.events[1]
    assert back["ResourceProperties"]["CodeVersion"] == "1"
    assert back["OldResourceProperties"]["CodeVersion"] == "2"
    assert back["PhysicalResourceId"] == "toy"


def test_update_is_taken_back_by_the_older_handler_when_a_later_resource_fails(
    bucket: Bucket,
) -> None:
    """If a later resource fails, the older handler gets the rollback's Update."""
    older, newer = Toy(), Toy()
    stack = Stack(older, bucket)
    stack.create({"CodeVersion": 1})

    status = stack.update({"CodeVersion": 2}, handler=newer, later_resource_fails=True)

    assert status == StackStatus.UPDATE_ROLLBACK_COMPLETE
    assert (older.kinds, newer.kinds) == (["Create", "Update"], ["Update"])
    assert stack.handler is older


def test_update_without_a_change_sends_nothing(bucket: Bucket) -> None:
    """An update that changes only the handler sends no event."""
    toy = Toy()
    stack = Stack(toy, bucket)
    stack.create({"CodeVersion": 1})

    assert stack.update({"CodeVersion": "1"}) == StackStatus.UPDATE_COMPLETE
    assert toy.kinds == ["Create"]


def test_changed_physical_id_deletes_the_old_one(bucket: Bucket) -> None:
    """After a changed physical id, the old resource is deleted with its old properties."""
    toy = Toy(physical_id="one")
    stack = Stack(toy, bucket)
    stack.create({"DbName": "a"})
    toy.physical_id = "two"

    assert stack.update({"DbName": "b"}) == StackStatus.UPDATE_COMPLETE

    assert toy.kinds == ["Create", "Update", "Delete"]
    assert toy.events[2]["PhysicalResourceId"] == "one"
    assert toy.events[2]["ResourceProperties"]["DbName"] == "a"
    assert stack.physical_id == "two"


def test_raising_handler_is_invoked_again_with_the_same_event(bucket: Bucket) -> None:
    """A handler that raises is invoked again with the same event."""
    toy = Toy(raises=2)

    assert Stack(toy, bucket).create({}) == StackStatus.CREATE_COMPLETE
    assert toy.events[0] == toy.events[1] == toy.events[2]


def test_event_delivered_again_keeps_its_request_id(bucket: Bucket) -> None:
    """A second delivery is identical to the first."""
    toy = Toy()
    stack = Stack(toy, bucket)
    stack.create({})

    stack.deliver_again(stack.exchanges[0])

    assert toy.events[0] == toy.events[1]


@pytest.mark.parametrize("refusal", Refusal)
def test_refused_put_can_be_repeated(bucket: Bucket, refusal: Refusal) -> None:
    """A refused PUT may be sent again; only accepted answers count."""
    bucket.fail_next(2, refusal)

    assert Stack(Toy(tries=3), bucket).create({}) == StackStatus.CREATE_COMPLETE
    assert bucket.puts[-1].status == 200
    assert len(bucket.puts) == 3


@pytest.mark.parametrize(
    ("toy", "complaint"),
    [
        (Toy(answers=0), "needs one accepted answer; the PUTs got []"),
        (Toy(answers=2), "needs one accepted answer; the PUTs got [200, 200]"),
        (Toy(content_type="application/json"), "needs one accepted answer; the PUTs got [403]"),
        (Toy(padding=4_096), "Response object is too long"),
        (Toy(raises=3), "was not answered: the handler raised RuntimeError('told to') 3 times"),
        (Toy(physical_id=""), "PhysicalResourceId is empty"),
    ],
    ids=["silent", "twice", "content-type", "too-long", "raises", "no-id"],
)
def test_answer_that_cloudformation_refuses_fails_the_test(
    bucket: Bucket, toy: Toy, complaint: str
) -> None:
    """An answer that CloudFormation would refuse fails the test."""
    with pytest.raises(AssertionError) as raised:
        Stack(toy, bucket).create({})

    assert complaint in str(raised.value)
