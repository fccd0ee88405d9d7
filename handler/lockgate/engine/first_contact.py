"""Whether the first run on a database may go on. Knows protocols; knows no SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.core.first_contact import make_refusal
from lockgate.core.policy import FirstRun
from lockgate.core.request import Action
from lockgate.formats.foreign_tables import make_contact

if TYPE_CHECKING:
    from lockgate.core.catalog import Catalog
    from lockgate.core.history import History
    from lockgate.core.request import Request
    from lockgate.engine.ports import Means
    from lockgate.errors import FirstContact

_CHECKED = frozenset({Action.UP, Action.PLAN, Action.VALIDATE, Action.STATUS})


def find_first_contact(
    means: Means, request: Request, catalog: Catalog, history: History, *, has_runs: bool = True
) -> FirstContact | None:
    """Return why migrations must not be applied from their beginning, ``None`` if they may.

    That is where no run has changed the database yet, and a table is there that nobody accounts for.
    ``has_runs``: our own tables are there, so a run may have changed it before.
    """
    is_known = bool(history.rows) or history.known_to is not None
    if is_known or request.action not in _CHECKED or _is_allowed(means, request):
        return None
    tables = means.database.list_tables()
    if all(table.is_member or table.project is not None for table in tables):
        return None
    if has_runs and means.database.has_changed_anything():
        return None
    contact = make_contact(means.database.ask, tables, catalog.stub, means.database.schema)
    if not contact.is_foreign:
        return None
    versions = [version.text for version in catalog.by_version]
    return make_refusal(contact, means.address, catalog.source, versions, _way_on(means, request))


def _is_allowed(means: Means, request: Request) -> bool:
    chosen = means.rules.first_run if request.first_run is None else request.first_run
    return chosen is FirstRun.ALLOW


def _way_on(means: Means, request: Request) -> str:
    """Return how this caller allows a first run, as a sentence."""
    action = "up" if request.action is Action.STATUS else str(request.action)
    match request.caller.name:
        case "terminal":
            return means.address.write(action, "--first-run", "allow")
        case "cloudformation":
            return "deploy with the parameter FirstRun (the resource's property FirstRun) = allow."
        case "codedeploy":
            return "set LOCKGATE_FIRST_RUN=allow on the function for this deployment."
        case _:
            return f'send {{"action": "{action}", "first_run": "allow"}}.'
