"""Which caller an event is from. Knows each caller's sign; reads nothing else of the event."""

from __future__ import annotations

from enum import StrEnum

from lockgate.callers import cloudformation, direct


class CallerKind(StrEnum):
    """The callers that events are told apart for."""

    CLOUDFORMATION = cloudformation.NAME
    DIRECT = direct.NAME


def detect_caller(event: object) -> CallerKind:
    """Return whose event it is. What is nobody's is a direct command, which refuses it readably."""
    if cloudformation.recognises(event):
        return CallerKind.CLOUDFORMATION
    return CallerKind.DIRECT
