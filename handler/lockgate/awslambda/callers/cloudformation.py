"""Reads a custom resource's event into an envelope and a request.

No message quotes an event. Its ``ResponseURL`` is a secret, because it lets anyone answer instead
of this function, and its properties may be confidential too.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import field
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from lockgate.awslambda.callers.detect import CallerKind
from lockgate.awslambda.callers.event_continuation import find_continuation
from lockgate.core.command import is_storable, read_first_run, read_version, refuse_disallowed
from lockgate.core.continuation import Continuation
from lockgate.core.request import Action, Caller, Request
from lockgate.errors import RequestInvalid
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lockgate.core.policy import FirstRun
    from lockgate.settings import Settings

# The answer repeats each of them and needs room for a reason. CloudFormation's own values are shorter: a
# stack id has at most some 230 characters, a logical id 255, a physical id 1,024 bytes.
_MAX_BYTES = {
    "RequestType": 16,
    "StackId": 1_024,
    "RequestId": 256,
    "LogicalResourceId": 512,
    "PhysicalResourceId": 1_024,
}
_CHECK_TYPE = "Custom::LockgateCheck"
_LONGEST_SERVICE_TIMEOUT = 3_600
_SIGNED_AT = re.compile(r"[?&]X-Amz-Date=([0-9]{8}T[0-9]{6}Z)(?:&|$)")
_MAX_REASON_CHARACTERS = 1_000
# The properties that have a meaning, by their names in lower case.
_PROPERTIES = {"target": "Target", "reason": "Reason", "firstrun": "FirstRun"}
_HINT = "Let CloudFormation invoke the function, through a custom resource's ServiceToken."


class RequestType(StrEnum):
    """What CloudFormation does with the resource."""

    CREATE = "Create"
    UPDATE = "Update"
    DELETE = "Delete"


@dataclass(frozen=True, slots=True)
class Envelope:
    """The fields that an answer needs, and the properties as they arrived.

    ``is_check``: the resource only checks that the function can answer.
    """

    request_type: RequestType
    stack_id: str
    request_id: str
    logical_id: str
    given_physical_id: str | None
    response_url: str | None = field(repr=False)
    properties: object = field(repr=False)
    is_check: bool = False

    @property
    def needs_run(self) -> bool:
        """Whether the event asks for a run. A Delete and a check only need an answer."""
        return self.request_type is not RequestType.DELETE and not self.is_check

    @property
    def physical_id(self) -> str:
        """The id of the resource, the same over Create and every Update.

        A changed id makes CloudFormation send Delete for the old one. So the id depends only on what
        never changes during the resource's life, and not on settings, which may be broken. Update and
        Delete return the id that they were given, whatever it is.
        """
        if self.given_physical_id is not None and self.request_type is not RequestType.CREATE:
            return self.given_physical_id
        digest = hashlib.sha256(f"{self.stack_id}\n{self.logical_id}".encode()).hexdigest()
        return f"lockgate-{self.logical_id}-{digest[:12]}"

    @property
    def reference(self) -> dict[str, str]:
        """The fields that identify this event, the same each time that Lambda delivers it.

        The request's id is not enough: CloudFormation reuses it when it repeats a failed operation.
        Then it signs another URL, and waits for an answer there.
        """
        digest = hashlib.sha256((self.response_url or "").encode()).hexdigest()
        return {
            "stack_id": self.stack_id,
            "request_id": self.request_id,
            "logical_id": self.logical_id,
            "url_digest": digest[:16],
        }


def read_envelope(event: Mapping[str, Any]) -> Envelope:
    """Return the fields that an answer needs. Only `read_request` reads the properties.

    Raises:
        RequestInvalid: a field is missing, of a wrong type or longer than CloudFormation makes it, so
            the event cannot be answered.
    """
    request_type = _read_field(event, "RequestType")
    if request_type not in list(RequestType):
        raise _refuse("The event's RequestType is not Create, Update or Delete.", _HINT)
    given = event.get("PhysicalResourceId") is not None
    url = event.get("ResponseURL")
    if url is not None and not (isinstance(url, str) and is_storable(url)):
        raise _refuse("The event's ResponseURL is not text.", _HINT)
    return Envelope(
        request_type=RequestType(request_type),
        stack_id=_read_field(event, "StackId"),
        request_id=_read_field(event, "RequestId"),
        logical_id=_read_field(event, "LogicalResourceId"),
        given_physical_id=_read_field(event, "PhysicalResourceId") if given else None,
        response_url=url,
        properties=event.get("ResourceProperties"),
        is_check=event.get("ResourceType") == _CHECK_TYPE,
    )


def read_continuation(event: Mapping[str, Any], now: float) -> Continuation:
    """Return the number of earlier invocations, and until when CloudFormation waits.

    It waits for the resource's ``ServiceTimeout``, by default an hour, from the moment that it
    signed the URL: an event that Lambda repeats after a kill is minutes old. A URL that does not
    contain the time, or whose wait is over, counts as new. What an earlier invocation added to the
    event takes precedence.
    """
    timeout = _read_service_timeout(event.get("ResourceProperties"))
    began_at = _read_signed_at(event.get("ResponseURL"))
    if began_at is None or not now - timeout < began_at <= now:
        began_at = now
    return find_continuation(event, now, timeout) or Continuation(0, began_at, timeout)


def read_request(envelope: Envelope, settings: Settings, *, hop: int = 0) -> Request:
    """Return the request of a Create or Update. A Delete has none; it leaves the database unchanged.

    Only the properties ``Target``, ``FirstRun`` and ``Reason`` have a meaning; an empty one counts
    as not given. Others (``ServiceToken``, ``CodeVersion``, …) make CloudFormation send an event,
    and are ignored.

    Raises:
        RequestInvalid: one of them cannot be read, or ``up`` is not allowed here.
    """
    refuse_disallowed(Action.UP, settings.allowed_actions)
    properties = _read_properties(envelope.properties)
    reference = envelope.reference
    if hop:
        reference["hop"] = str(hop)
    return Request(
        action=Action.UP,
        caller=Caller(CallerKind.CLOUDFORMATION, reference),
        target=_read_target(properties),
        reason=_read_reason(properties),
        first_run=_read_first_run(properties),
    )


def _read_service_timeout(properties: object) -> int:
    given = properties.get("ServiceTimeout") if isinstance(properties, dict) else None
    seconds = int(str(given)) if re.fullmatch(r"[0-9]{1,9}", str(given)) else 0
    return seconds if 0 < seconds <= _LONGEST_SERVICE_TIMEOUT else _LONGEST_SERVICE_TIMEOUT


def _read_signed_at(url: object) -> float | None:
    found = _SIGNED_AT.search(url) if isinstance(url, str) else None
    if found is None:
        return None
    try:
        return datetime.strptime(found[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _read_field(event: Mapping[str, Any], name: str) -> str:
    value = event.get(name)
    if not isinstance(value, str) or not value:
        raise _refuse(f"The event's {name} is missing or not text.", _HINT)
    # Measured in the form that the answer will have.
    size = len(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    if size > _MAX_BYTES[name]:
        raise _refuse(f"The event's {name} is longer than CloudFormation makes it.", _HINT)
    if not is_storable(value):
        raise _refuse(f"The event's {name} contains NUL or invalid Unicode.", _HINT)
    return value


def _read_properties(properties: object) -> dict[str, Any]:
    if properties is None:
        return {}
    if not isinstance(properties, dict):
        raise _refuse("The event's ResourceProperties are not an object.", _HINT)
    for name in properties:
        # Any property is accepted, so a mistyped name would be ignored silently.
        meant = _PROPERTIES.get(str(name).lower().replace("_", ""))
        if meant is not None and name != meant:
            raise _refuse(
                f"The property {name} is not known; did you mean {meant}?",
                f"Write {meant} in the template.",
            )
    return properties


def _read_target(properties: dict[str, Any]) -> str | None:
    value = properties.get("Target")
    if value is None or value == "":
        return None
    try:
        return read_version(value)
    except ValueError as error:
        accepted = str(error)
    raise _refuse(
        "The property Target cannot be read.", f"Give it {accepted}, in quotes; or leave it out."
    )


def _read_first_run(properties: dict[str, Any]) -> FirstRun | None:
    value = properties.get("FirstRun")
    if value is None or value == "":
        return None
    try:
        return read_first_run(value)
    except ValueError as error:
        accepted = str(error)
    raise _refuse("The property FirstRun cannot be read.", f"Give it {accepted}, or leave it out.")


def _read_reason(properties: dict[str, Any]) -> str | None:
    value = properties.get("Reason")
    if value is None or value == "":
        return None
    if isinstance(value, str) and len(value) <= _MAX_REASON_CHARACTERS and is_storable(value):
        return value
    raise _refuse(
        "The property Reason cannot be read.",
        f"Give it text of at most {_MAX_REASON_CHARACTERS:,} characters, or leave it out.",
    )


def _refuse(problem: str, hint: str) -> RequestInvalid:
    return RequestInvalid(problem, hint=hint)
