"""The plan of an up, with what the run table knows about versions that are ahead. Knows protocols."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lockgate.core.listing import digest_catalog
from lockgate.core.older_package import RecordedRuns, find_objection
from lockgate.core.plan import make_plan

if TYPE_CHECKING:
    from lockgate.core.address import Address
    from lockgate.core.catalog import Catalog
    from lockgate.core.history import History
    from lockgate.core.plan import Plan
    from lockgate.core.policy import Policy
    from lockgate.engine.ports import Database


def hint_at_down(address: Address, catalog: Catalog) -> str:
    """Return how an operator undoes what is ahead of a catalog."""
    version = "0" if catalog.latest is None else catalog.latest.text
    command = address.write("down", "--target", version, "--reason", "back to this package")
    return f"To undo it on purpose: {command}{address.explain()}"


def plan_forward(database: Database, catalog: Catalog, history: History, policy: Policy) -> Plan:
    """Compare what is on disk with what was applied.

    Where versions are ahead, the catalog is whole, and the run table is asked whether this package is
    an older one: only then is an edit of an applied file a newer package's.

    Raises what `make_plan` does.
    """
    plan = make_plan(catalog, history, policy)
    ahead = [row for row in plan.ahead if row.version is not None]
    if not ahead:
        return plan
    evidence = RecordedRuns(
        has_run=database.has_recorded(digest_catalog(catalog), min(row.token for row in ahead)),
        actions=database.read_actions(),
    )
    objection = find_objection(ahead, evidence)
    if objection is None:
        plan = make_plan(catalog, history, replace(policy, is_older=True))
    return replace(plan, objection=objection)
