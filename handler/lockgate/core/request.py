"""A caller's request as a value, and the actions that can be requested."""

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


# Changes made by an operator rather than a deploy: recorded with the person and the reason.
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
    """The kind of caller, and its own reference (a stack and request id, …)."""

    name: str
    reference: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    ``target`` is the last version to apply (``None``: all of them), or for a down the version to stop
    at; ``steps`` is how many to undo. ``is_down``: plan a down. ``repair`` and ``version``: what to
    repair, and the id of the migration. ``source``: the tool whose history is adopted, and ``table`` the
    name of its history table. ``dry_run``: show the change without making it. ``first_run``: what to do
    on a database with tables of unknown origin; ``None``: the setting decides.
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
