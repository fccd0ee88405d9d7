"""What `up` has in common with the commands that only show what it would do."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lockgate.core.address import make_command
from lockgate.core.events import FilesWarned, Planned, Warned
from lockgate.core.file_warnings import warn_of_applied
from lockgate.core.hint import Hint, join_hints
from lockgate.core.listing import digest_catalog
from lockgate.core.older_package import RecordedRuns, find_objection
from lockgate.core.plan import make_plan
from lockgate.core.policy import Rollback
from lockgate.core.refusal import find_refusal, find_unknown
from lockgate.core.request import Action
from lockgate.engine.commands.first_contact import find_first_contact
from lockgate.engine.decision import Ask
from lockgate.engine.needs import Need

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from typing import Any

    from lockgate.core.catalog import Catalog
    from lockgate.core.events import Event
    from lockgate.core.plan import Plan
    from lockgate.core.policy import Policy
    from lockgate.core.request import Request
    from lockgate.core.segment import Step
    from lockgate.engine.decision import Facts
    from lockgate.errors import FirstContact


def plan_forward(facts: Facts, policy: Policy) -> Generator[Ask | Event, Any, Plan]:
    """Compare what is on disk with what was applied.

    If versions are ahead, the catalog is whole, and the run table is asked whether this package is an
    older one: only then is an edit of an applied file a newer package's.

    Raises what `make_plan` does.
    """
    catalog, history = facts.files, facts.history
    plan = make_plan(catalog, history, policy)
    ahead = [row for row in plan.ahead if row.version is not None]
    if not ahead:
        return plan
    first_token = min(row.token for row in ahead)
    recorded: RecordedRuns = yield Ask(Need.EVIDENCE, (digest_catalog(catalog), first_token))
    objection = find_objection(ahead, recorded)
    if objection is None:
        plan = make_plan(catalog, history, replace(policy, is_older=True))
    return replace(plan, objection=objection)


def check_forward(
    facts: Facts, request: Request, policy: Policy
) -> Generator[Ask | Event, Any, Plan]:
    """Plan an `up` and refuse what an `up` would refuse before it takes the lock.

    Raises what `find_refusal` returns, and:
        FirstContact: it would be a first run on a database with tables of unknown origin.
        MigrationFileInvalid: a Python script calls an operation that does not exist.
    """
    plan = yield from plan_forward(facts, policy)
    yield Planned(plan)
    if request.action is Action.VALIDATE:
        yield warn_of_files(facts)
    yield from foresee_refusal(facts, request, policy, plan)
    yield Ask(Need.OPERATIONS, plan.steps)
    return plan


def foresee_refusal(
    facts: Facts, request: Request, policy: Policy, plan: Plan
) -> Generator[Ask | Event, Any, None]:
    """Refuse what an `up` would refuse in this plan.

    Raises what `find_refusal` returns, and:
        FirstContact: it would be a first run on a database with tables of unknown origin.
    """
    refuse_plan(plan, policy)
    refusal = yield from _foresee_first_contact(facts, request, policy, plan)
    if refusal is not None:
        raise refusal


def _foresee_first_contact(
    facts: Facts, request: Request, policy: Policy, plan: Plan
) -> Generator[Ask | Event, Any, FirstContact | None]:
    """Return why a first run would be refused; with nothing to apply, there is no reason.

    Nothing is asked if the first look saw no table, and no schema of Lockgate that may hide one.
    """
    has_no_table = facts.probe.is_fresh and not facts.probe.has_schema
    if not plan.has_pending or has_no_table:
        return None
    return (yield from find_first_contact(facts, request, policy, has_runs=facts.probe.has_history))


def warn_of_files(facts: Facts) -> FilesWarned:
    """Return what should be known about files that were applied already."""
    return FilesWarned(tuple(warn_of_applied(facts.files, facts.history)))


def warn_of_ahead(facts: Facts, policy: Policy, plan: Plan) -> Generator[Event, Any, None]:
    """Warn why newer versions are not undone, if the settings ask for their undo."""
    if plan.objection is not None and policy.rollback is Rollback.DEPLOY:
        text = "The database is ahead of this package, and the newer migrations are not undone:"
        yield Warned(join_hints(text, plan.objection, hint_at_down(facts.files)))


def hint_at_down(catalog: Catalog) -> Hint:
    """Return how an operator undoes what is ahead of a catalog."""
    version = "0" if catalog.latest is None else catalog.latest.text
    command = make_command(Action.DOWN, target=version, reason="back to this package")
    return Hint("To undo it on purpose: ", command)


def refuse_unknown(steps: Sequence[Step]) -> None:
    """Refuse to go on with an interrupted step whose outcome the catalogs do not show.

    Raises:
        OutcomeUnknown: there is such a step.
    """
    refusal = find_unknown(steps)
    if refusal is not None:
        raise refusal


def refuse_plan(plan: Plan, policy: Policy) -> None:
    """Refuse a plan that may not be carried out. Raises what `find_refusal` returns."""
    refusal = find_refusal(plan, policy)
    if refusal is not None:
        raise refusal
