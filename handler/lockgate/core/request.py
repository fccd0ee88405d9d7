"""What a caller asks for, as a value. Knows the actions; knows no event format."""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum
from typing import TYPE_CHECKING

from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from lockgate.core.policy import FirstRun


class Action(StrEnum):
    """What Lockgate can be asked to do."""

    UP = "up"
    PLAN = "plan"
    STATUS = "status"
    VALIDATE = "validate"
    HISTORY = "history"
    DOWN = "down"
    BASELINE = "baseline"
    ADOPT = "adopt"
    REPAIR = "repair"
    UNLOCK = "unlock"


# What changes something on purpose, beside a deploy: recorded with who asked and why.
OPERATOR_ACTIONS = frozenset(
    {Action.DOWN, Action.BASELINE, Action.ADOPT, Action.REPAIR, Action.UNLOCK}
)


class Repair(StrEnum):
    """What a repair does to one row of the history."""

    ACCEPT = "accept"
    FORGET = "forget"
    MARK = "mark"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the kind of caller, and the caller's own reference (a stack and request id, …)."""

    name: str
    reference: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    ``target`` is the last version to apply, all of them where it is ``None``; of a down, the version
    to stop at, and ``steps`` how many to undo. ``is_down``: a plan is to be of a down. ``repair`` and
    ``version``: what a repair does, to which migration's id. ``source``: the tool whose history is
    adopted, ``table`` the name of its history table. ``dry_run``: show, and change nothing.
    ``first_run``: what to do on a database with tables that nobody accounts for; ``None``: the setting
    decides.
    """

    action: Action
    caller: Caller
    target: str | None = None
    steps: int | None = None
    is_down: bool = False
    repair: Repair | None = None
    version: str | None = None
    source: str | None = None
    table: str | None = None
    dry_run: bool = False
    allow_data_loss: bool = False
    first_run: FirstRun | None = None
    limit: int | None = None
    reason: str | None = None
    requested_by: str | None = None
