"""Fixtures for callers: stored events, and a server in place of the signed URL."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.callers.put_server import Play, PutServer, reply
from tests.support.lambda_context import FUNCTION_ARN

from lockgate.aws.clients import make_client
from lockgate.awslambda.callers.awaiting import Invocation
from lockgate.awslambda.callers.delivery import Timing

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

EVENTS = Path(__file__).parents[1] / "events"
# Noon on 2026-11-22, UTC.
NOW_SECONDS = 1_795_348_800.0


@pytest.fixture
def invocation() -> Invocation:
    """Return an invocation with plenty of time and no continuation."""
    timing = Timing(lambda: 60_000, lambda _: None)
    return Invocation(FUNCTION_ARN, timing, lambda: NOW_SECONDS, make_client, lambda _: None)


@pytest.fixture
def read_event() -> Callable[[str], dict[str, Any]]:
    """Return a function that reads a stored event."""

    def read(name: str) -> dict[str, Any]:
        event: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text("utf-8"))
        return event

    return read


@pytest.fixture
def serve() -> Iterator[Callable[..., PutServer]]:
    """Return a function that starts a server for the duration of the test."""
    with contextlib.ExitStack() as stack:

        def start(*scenes: bytes | int | Play, context: ssl.SSLContext | None = None) -> PutServer:
            played = [reply(scene) if isinstance(scene, int) else scene for scene in scenes]
            return stack.enter_context(PutServer(played, context))

        yield start
