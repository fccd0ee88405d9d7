"""What a caller asks for, as a value. Knows the actions; knows no event format."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Action(StrEnum):
    """What Lockgate can be asked to do."""

    UP = "up"
    PLAN = "plan"
    STATUS = "status"
    VALIDATE = "validate"
    UNLOCK = "unlock"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the kind of caller, and the caller's own reference (a stack and request id, …)."""

    name: str
    reference: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Request:
    """One request. ``target`` is the last version to apply, all of them where it is ``None``."""

    action: Action
    caller: Caller
    target: str | None = None
    reason: str | None = None
    requested_by: str | None = None
