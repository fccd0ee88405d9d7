"""No secret reaches a message, a repr, a traceback or a log, whichever way a call ends."""

from __future__ import annotations

import copy
import io
import json
import logging
import traceback
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from tests.callers.put_server import Play, PutServer

from lockgate.awslambda.callers import direct, terraform
from lockgate.awslambda.callers.detect import CallerKind, detect_caller
from lockgate.awslambda.callers.registry import open_awaiting
from lockgate.errors import LockgateError
from lockgate.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lockgate.awslambda.callers.awaiting import Invocation

WORD = "SENTINEL"
SETTINGS = Settings()


class Ear:
    """Collects everything that the code returns, raises, prints and logs."""

    def __init__(self) -> None:
        self.heard = io.StringIO()

    def hear(self, action: Callable[..., object], *values: object) -> None:
        """Run the action and collect its result or its error with all contexts."""
        try:
            self.heard.write(repr(action(*values)))
        except LockgateError as error:
            self.heard.write(f"{error!r} {error} {error.hint} {error.fields}")
            self.heard.write("".join(traceback.format_exception(error)))
            context = error.__context__
            while context is not None:
                self.heard.write(f"{context!r} {vars(context)}")
                context = context.__context__

    @property
    def text(self) -> str:
        """All collected text."""
        return self.heard.getvalue()


@pytest.fixture
def ear() -> Iterator[Ear]:
    """Return a collector of standard output and all loggers."""
    ear = Ear()
    handler = logging.StreamHandler(ear.heard)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    with redirect_stdout(ear.heard), redirect_stderr(ear.heard):
        yield ear
    root.removeHandler(handler)
    root.setLevel(level)


def spoil(event: Any) -> Iterator[Any]:
    """Yield the event, and variants in which one value has a wrong type or is missing."""
    yield event
    for key in event:
        for wrong in (None, 5, [WORD], {WORD: WORD}):
            yield {**event, key: wrong}
        yield {k: v for k, v in event.items() if k != key}


@pytest.fixture
def handle(invocation: Invocation) -> Callable[..., object]:
    """Return a function that handles an event like the function, but without the database."""

    def handle(event: Any, *, is_told: bool = False) -> object:
        kind = detect_caller(event)
        if kind is CallerKind.DIRECT:
            return direct.read_request(event, SETTINGS)
        if kind is CallerKind.TERRAFORM:
            return terraform.read_request(event, SETTINGS)
        caller = open_awaiting(kind, event, invocation, Settings(cfn_loopback=is_told))
        answer = caller.make_answer(LockgateError("It broke."))
        if is_told:
            answer.deliver()
        request = caller.read_request(SETTINGS) if caller.needs_run else None
        return caller, answer, request

    return handle


@pytest.mark.parametrize(
    "name", ["cloudformation_create", "cloudformation_update", "cloudformation_delete"]
)
def test_stack_event_gives_nothing_away(
    read_event: Callable[[str], Any], handle: Callable[..., object], ear: Ear, name: str
) -> None:
    """Even for malformed events, neither the signed URL nor the properties are shown."""
    event = read_event(name)
    event["ResponseURL"] += WORD
    event["ResourceProperties"] |= {"Password": WORD, "Nested": {"Deep": [WORD]}}
    for spoilt in spoil(event):
        ear.hear(handle, spoilt)
    for url in ("https://example.com/", "https://[", "ftp://x/", "https://u:p@example.com/"):
        ear.hear(handle, {**event, "ResponseURL": url + WORD})
    for key in ("Target", "Reason", "target"):
        changed = copy.deepcopy(event)
        changed["ResourceProperties"][key] = {WORD: WORD}
        ear.hear(handle, changed)
    assert "Envelope(" in ear.text
    assert "RequestInvalid" in ear.text
    assert WORD not in ear.text


@pytest.mark.parametrize("name", ["codepipeline", "codedeploy", "sqs", "terraform_crud"])
def test_event_of_another_service_gives_nothing_away(
    read_event: Callable[[str], Any], handle: Callable[..., object], ear: Ear, name: str
) -> None:
    """Nothing of an event, such as the credentials in a CodePipeline job, is shown."""
    event = read_event(name)
    assert WORD in json.dumps(event)
    for spoilt in spoil(event):
        ear.hear(handle, spoilt)
    for inner in event.get("CodePipeline.job", {}).get("data", {}):
        for wrong in (None, 5, [WORD], {WORD: WORD}, WORD):
            changed = copy.deepcopy(event)
            changed["CodePipeline.job"]["data"][inner] = wrong
            ear.hear(handle, changed)
    ear.hear(handle, [event])
    ear.hear(handle, {"wrapped": event})
    ear.hear(handle, {"reason": event, "target": event})
    assert "RequestInvalid" in ear.text
    assert WORD not in ear.text


@pytest.mark.parametrize("scene", [200, 403, 503, Play.RESET, b"SENTINEL"])
def test_sending_gives_nothing_away(
    read_event: Callable[[str], Any],
    handle: Callable[..., object],
    serve: Callable[..., PutServer],
    ear: Ear,
    scene: int | bytes | Play,
) -> None:
    """However the delivery ends, the signature in the URL is not shown."""
    event = read_event("cloudformation_update")
    server = serve(scene)
    ear.hear(partial(handle, is_told=True), {**event, "ResponseURL": server.url})
    assert len(server.received) > 0
    assert ear.text
    assert WORD not in ear.text
