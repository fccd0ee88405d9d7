"""CloudFormation's side of a custom resource: the signed URL, and the events of a stack's life.

`Bucket` is the server behind the signed URL. It records every PUT, and refuses what S3 refuses.
`Stack` holds one custom resource and sends the events that CloudFormation sends::

    create ── Create ─┬─ SUCCESS ────────────────────────────────> CREATE_COMPLETE
                      └─ FAILED ── Delete (id of the answer) ────> ROLLBACK_COMPLETE

    update ── Update ─┬─ SUCCESS ── Delete (old id, if changed) ─> UPDATE_COMPLETE
                      ├─ FAILED ───────────────────┐
                      └─ SUCCESS, a later resource ┴─ older handler, then Update with the
                         fails                        properties swapped ─> UPDATE_ROLLBACK_COMPLETE

Every event must be answered once, in a form that CloudFormation accepts; anything else raises an
`AssertionError`. Contains nothing specific to Lockgate.
"""

from __future__ import annotations

import json
import secrets
import threading
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from tests.support.lambda_context import FUNCTION_ARN, LambdaContext
from tests.support.local_http import LocalServer, RequestHandler, Served

if TYPE_CHECKING:
    import ssl

Event = dict[str, Any]
Handler = Callable[[Event, LambdaContext], object]

LIMIT_BYTES = 4_096
# Lambda delivers an asynchronous event twice more if the handler raises or is killed.
DELIVERIES = 3


class Refusal(StrEnum):
    """How the bucket can fail a PUT."""

    UNAVAILABLE = "503"
    RESET = "connection reset"


@dataclass(frozen=True, slots=True)
class Put:
    """A request to a signed URL and its HTTP status; 0 is a reset connection."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    status: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The custom resource's answer."""

    status: str
    reason: str
    physical_id: str
    data: Mapping[str, Any]
    body_bytes: int

    @property
    def is_success(self) -> bool:
        """Whether CloudFormation continues."""
        return self.status == "SUCCESS"


@dataclass(frozen=True, slots=True)
class Exchange:
    """An event and its answer."""

    event: Event
    answer: Answer

    @property
    def kind(self) -> str:
        """Create, Update or Delete."""
        return str(self.event["RequestType"])


class StackStatus(StrEnum):
    """The status in CloudFormation's console."""

    NONE = "none"
    CREATE_COMPLETE = "CREATE_COMPLETE"
    ROLLBACK_COMPLETE = "ROLLBACK_COMPLETE"
    ROLLBACK_FAILED = "ROLLBACK_FAILED"
    UPDATE_COMPLETE = "UPDATE_COMPLETE"
    UPDATE_ROLLBACK_COMPLETE = "UPDATE_ROLLBACK_COMPLETE"
    UPDATE_ROLLBACK_FAILED = "UPDATE_ROLLBACK_FAILED"
    DELETE_COMPLETE = "DELETE_COMPLETE"
    DELETE_FAILED = "DELETE_FAILED"


class Bucket(Served):
    """A server on loopback in place of the bucket behind signed URLs.

    With a server's TLS context it uses HTTPS, otherwise HTTP.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.puts: list[Put] = []
        self._refusals: list[Refusal] = []
        self.server = LocalServer(_SignedUrl, self, tls, joins_threads=True)

    def sign_url(self) -> str:
        """Return a new URL that accepts one answer. Like a real one, it is a secret."""
        signature = secrets.token_hex(16)
        return (
            f"{self.server.url}/arn%3Aaws%3Acloudformation"
            f"/{uuid.uuid4()}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature={signature}"
        )

    def fail_next(self, count: int, refusal: Refusal = Refusal.UNAVAILABLE) -> None:
        """Fail the next PUTs."""
        self._refusals.extend([refusal] * count)

    def puts_to(self, url: str) -> list[Put]:
        """Return the PUTs to a URL, in order."""
        return [put for put in self.puts if url.endswith(put.path)]

    def next_refusal(self) -> Refusal | None:
        """Take the next failure that a test requested."""
        return self._refusals.pop(0) if self._refusals else None


class _SignedUrl(RequestHandler):
    """A request to a signed URL. The bucket joins its threads, so no PUT arrives after the test."""

    protocol_version = "HTTP/1.0"

    def put(self) -> None:
        """Record the request; answer as S3 does."""
        body = self.read_body()
        refusal = self.fake.next_refusal()
        status = self._choose_status(refusal)
        put = Put(self.command, self.path, dict(self.headers.items()), body, status)
        self.fake.puts.append(put)
        if refusal is Refusal.RESET:
            self.reset()
        else:
            self.answer(status)

    def post(self) -> None:
        """Refuse the request: its method is not the signed one."""
        self.put()

    def _choose_status(self, refusal: Refusal | None) -> int:
        if refusal is not None:
            return 503 if refusal is Refusal.UNAVAILABLE else 0
        # The signature covers the method and an empty content type.
        is_signed = self.command == "PUT" and not self.headers.get("Content-Type")
        return 200 if is_signed else 403


@dataclass(slots=True)
class Stack:
    """A stack with one custom resource, whose function runs ``handler``.

    An update may replace ``handler``. ``exchanges`` lists all events and answers, in order.
    """

    handler: Handler
    bucket: Bucket
    logical_id: str = "Migration"
    make_context: Callable[[], LambdaContext] = LambdaContext
    resource_type: str = "Custom::LockgateMigration"
    status: StackStatus = StackStatus.NONE
    physical_id: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    properties: Mapping[str, Any] = field(default_factory=dict)
    exchanges: list[Exchange] = field(default_factory=list)
    stack_id: str = field(
        default_factory=lambda: (
            f"arn:aws:cloudformation:eu-west-1:123456789012:stack/orders/{uuid.uuid4()}"
        )
    )

    def create(
        self, properties: Mapping[str, Any], *, later_resource_fails: bool = False
    ) -> StackStatus:
        """Create the stack; if that fails, delete its resource."""
        self.properties = properties
        answer = self._send("Create", properties)
        if answer.is_success and not later_resource_fails:
            self._settle(answer)
            self.status = StackStatus.CREATE_COMPLETE
            return self.status
        return self._roll_back_create(answer.physical_id)

    def create_while_another_fails(
        self, properties: Mapping[str, Any], let_finish: Callable[[], None]
    ) -> StackStatus:
        """Send Delete with a generated id while Create is running, then call ``let_finish``.

        The handler must stay in Create until ``let_finish`` is called.
        """
        self.properties = properties
        has_begun = threading.Event()
        inner = self.handler

        def begin(event: Event, context: LambdaContext) -> object:
            has_begun.set()
            return inner(event, context)

        with ThreadPoolExecutor(1) as pool:
            creating = pool.submit(self._send, "Create", properties, handler=begin)
            assert has_begun.wait(30), "the handler was never called"
            try:
                self._roll_back_create(f"orders-{self.logical_id}-{secrets.token_hex(6).upper()}")
            finally:
                let_finish()
            creating.result()
        return self.status

    def update(
        self,
        properties: Mapping[str, Any],
        *,
        handler: Handler | None = None,
        later_resource_fails: bool = False,
    ) -> StackStatus:
        """Update the stack, its function to ``handler`` first; if that fails, restore both.

        CloudFormation sends no event if no property has changed.
        """
        before, older_handler, old_id = self.properties, self.handler, self.physical_id
        self.handler = handler or self.handler
        if _as_strings(properties) == _as_strings(before):
            self.status = StackStatus.UPDATE_COMPLETE
            return self.status
        answer = self._send("Update", properties, old=before, physical_id=old_id)
        if not answer.is_success or later_resource_fails:
            self.handler = older_handler
            return self._roll_back_update(answer, properties)
        self.properties = properties
        self._settle(answer)
        self._delete_replaced(old_id, before)
        self.status = StackStatus.UPDATE_COMPLETE
        return self.status

    def delete(self) -> StackStatus:
        """Delete the stack."""
        answer = self._send("Delete", self.properties, physical_id=self.physical_id)
        is_gone = answer.is_success
        self.status = StackStatus.DELETE_COMPLETE if is_gone else StackStatus.DELETE_FAILED
        return self.status

    def deliver_again(self, exchange: Exchange) -> Exchange:
        """Deliver the same event again, with its RequestId and URL, as Lambda may do."""
        return self._deliver(exchange.event, self.handler)

    def _roll_back_create(self, physical_id: str) -> StackStatus:
        answer = self._send("Delete", self.properties, physical_id=physical_id)
        is_gone = answer.is_success
        self.status = StackStatus.ROLLBACK_COMPLETE if is_gone else StackStatus.ROLLBACK_FAILED
        return self.status

    def _roll_back_update(self, failed: Answer, properties: Mapping[str, Any]) -> StackStatus:
        old_id = self.physical_id
        from_id = failed.physical_id if failed.is_success else old_id
        answer = self._send("Update", self.properties, old=properties, physical_id=from_id)
        if not answer.is_success:
            self.status = StackStatus.UPDATE_ROLLBACK_FAILED
            return self.status
        self._settle(answer)
        self._delete_replaced(failed.physical_id, properties)
        self.status = StackStatus.UPDATE_ROLLBACK_COMPLETE
        return self.status

    def _settle(self, answer: Answer) -> None:
        self.physical_id = answer.physical_id
        self.data = answer.data

    def _delete_replaced(self, other_id: str | None, properties: Mapping[str, Any]) -> None:
        if other_id is not None and other_id != self.physical_id:
            # CloudFormation ignores a failure here: the stack is already complete.
            self._send("Delete", properties, physical_id=other_id)

    def _send(
        self,
        kind: str,
        properties: Mapping[str, Any],
        *,
        old: Mapping[str, Any] | None = None,
        physical_id: str | None = None,
        handler: Handler | None = None,
    ) -> Answer:
        event: Event = {
            "RequestType": kind,
            "ServiceToken": FUNCTION_ARN,
            "ResponseURL": self.bucket.sign_url(),
            "StackId": self.stack_id,
            "RequestId": str(uuid.uuid4()),
            "LogicalResourceId": self.logical_id,
            "ResourceType": self.resource_type,
            "ResourceProperties": _as_properties(properties),
        }
        if old is not None:
            event["OldResourceProperties"] = _as_properties(old)
        if physical_id is not None:
            event["PhysicalResourceId"] = physical_id
        return self._deliver(event, handler or self.handler).answer

    def _deliver(self, event: Event, handler: Handler) -> Exchange:
        seen_before = len(self.bucket.puts_to(event["ResponseURL"]))
        _invoke(handler, event, self.make_context)
        puts = self.bucket.puts_to(event["ResponseURL"])[seen_before:]
        exchange = Exchange(event, read_answer(event, puts))
        self.exchanges.append(exchange)
        return exchange


def _invoke(handler: Handler, event: Event, make_context: Callable[[], LambdaContext]) -> None:
    """Invoke asynchronously as Lambda does: again with the same event if the handler raises."""
    for delivery in range(1, DELIVERIES + 1):
        try:
            # A copy: as in Lambda, a handler's changes to its event are lost.
            handler(json.loads(json.dumps(event)), make_context())
        except Exception as error:
            if delivery == DELIVERIES:
                raise AssertionError(
                    f"{event['RequestType']} was not answered: the handler raised {error!r} "
                    f"{DELIVERIES} times. CloudFormation would wait for its ServiceTimeout."
                ) from error
        else:
            return


def read_answer(event: Event, puts: list[Put]) -> Answer:
    """Return the only accepted answer in ``puts``, checked as CloudFormation checks it."""
    accepted = [put for put in puts if put.status == 200]
    statuses = [put.status for put in puts]
    assert len(accepted) == 1, (
        f"{event['RequestType']} needs one accepted answer; the PUTs got {statuses}"
    )
    body = accepted[0].body
    assert len(body) <= LIMIT_BYTES, f"Response object is too long: {len(body)} bytes"
    content = json.loads(body.decode("utf-8"))
    for name in ("StackId", "RequestId", "LogicalResourceId"):
        assert event[name] == content.get(name), f"the answer's {name} is not the event's"
    assert content.get("Status") in {"SUCCESS", "FAILED"}, f"status {content.get('Status')!r}"
    assert content["Status"] == "SUCCESS" or content.get("Reason"), "a failure without a reason"
    physical_id = content.get("PhysicalResourceId")
    assert isinstance(physical_id, str), "the answer names no PhysicalResourceId"
    assert physical_id, "the answer's PhysicalResourceId is empty"
    return Answer(
        status=content["Status"],
        reason=content.get("Reason", ""),
        physical_id=physical_id,
        data=content.get("Data", {}),
        body_bytes=len(body),
    )


def _as_properties(properties: Mapping[str, Any]) -> dict[str, Any]:
    return _as_strings({"ServiceToken": FUNCTION_ARN, **properties})  # type: ignore[no-any-return]


def _as_strings(value: Any) -> Any:
    """Return the value as it arrives in an event: every scalar as a string."""
    if isinstance(value, Mapping):
        return {name: _as_strings(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_strings(item) for item in value]
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
