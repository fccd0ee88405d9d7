"""Decide whether the first run on a database may start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.core.address import make_command
from lockgate.core.first_contact import make_refusal
from lockgate.core.hint import Hint
from lockgate.core.policy import FirstRun
from lockgate.core.request import Action
from lockgate.engine.decision import Ask
from lockgate.engine.needs import Need

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from typing import Any

    from lockgate.core.events import Event
    from lockgate.core.first_contact import Contact, Table
    from lockgate.core.policy import Policy
    from lockgate.core.request import Request
    from lockgate.engine.decision import Facts
    from lockgate.errors import FirstContact

_CHECKED = frozenset({Action.UP, Action.PLAN, Action.VALIDATE, Action.STATUS})


def find_first_contact(
    facts: Facts, request: Request, policy: Policy, *, has_runs: bool = True
) -> Generator[Ask | Event, Any, FirstContact | None]:
    """Return why migrations must not be applied from their beginning, ``None`` if they may.

    They must not if no run has changed the database yet, and it has a table of unknown origin.
    ``has_runs``: our own tables exist, so a run may have changed it before.
    """
    catalog, history = facts.files, facts.history
    is_known = bool(history.rows) or history.known_to is not None
    if is_known or request.action not in _CHECKED or _is_allowed(request, policy):
        return None
    tables: Sequence[Table] = yield Ask(Need.TABLES)
    if all(table.is_member or table.project is not None for table in tables):
        return None
    if has_runs and (yield Ask(Need.CHANGED)):
        return None
    contact: Contact = yield Ask(Need.CONTACT, (tables, catalog.stub))
    if not contact.is_foreign:
        return None
    versions = [version.text for version in catalog.by_version]
    return make_refusal(contact, catalog.source, versions, _how_to_allow(request))


def _is_allowed(request: Request, policy: Policy) -> bool:
    chosen = policy.first_run if request.first_run is None else request.first_run
    return chosen is FirstRun.ALLOW


def _how_to_allow(request: Request) -> Hint:
    """Return how this caller allows a first run, as a sentence."""
    action = Action.UP if request.action is Action.STATUS else request.action
    match request.caller.name:
        case "cloudformation":
            return Hint(
                "deploy with the parameter FirstRun (the resource's property FirstRun) = allow."
            )
        case "codedeploy":
            return Hint("set LOCKGATE_FIRST_RUN=allow on the function for this deployment.")
        case _:
            return Hint(make_command(action, first_run="allow"))
