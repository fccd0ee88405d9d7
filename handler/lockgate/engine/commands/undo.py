"""What every undo has in common: from rows to steps, and the proof that an automatic undo needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.core.events import UndoPlanned
from lockgate.core.refusal import find_session_refusal
from lockgate.core.undo_plan import find_undo_refusal, make_undo_plan
from lockgate.core.undo_proof import find_unprovable, find_unproved_run, make_undo, refuse_undo
from lockgate.engine.commands.forward import refuse_unknown
from lockgate.engine.decision import Ask, Work
from lockgate.engine.needs import Need

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from typing import Any

    from lockgate.core.events import Event
    from lockgate.core.history import Applied
    from lockgate.core.policy import Policy
    from lockgate.core.undo_facts import UndoFacts
    from lockgate.core.undo_plan import UndoPlan
    from lockgate.engine.decision import Facts


def plan_undo(
    facts: Facts, rows: Sequence[Applied], policy: Policy
) -> Generator[Ask | Event, Any, UndoPlan]:
    """Return what undoes these rows, by the scripts that the history keeps of them.

    Raises:
        UndoRefused: one of them has no usable down script.
        SessionNeeded: one needs a session, and a pooler lends one for a transaction only.
    """
    ids = [row.migration_id for row in rows]
    scripts = (yield Ask(Need.SCRIPTS, ids)) if ids else {}
    former = dict(facts.former)
    undo_plan = make_undo_plan(rows, scripts, former, facts.files, policy, facts.substitute)
    refusal = find_undo_refusal(undo_plan, has_downs=facts.files.has_downs) or find_session_refusal(
        undo_plan.steps, policy
    )
    if refusal is not None:
        raise refusal
    return undo_plan


def plan_undo_or_refuse(
    facts: Facts, rows: Sequence[Applied], policy: Policy
) -> Generator[Ask | Event, Any, UndoPlan]:
    """Return the same; refuse an interrupted step whose outcome the catalogs do not show.

    Raises what `plan_undo` does, and:
        OutcomeUnknown: there is such a step.
    """
    undo_plan = yield from plan_undo(facts, rows, policy)
    refuse_unknown(undo_plan.steps)
    return undo_plan


def undo_whole(
    facts: Facts, undo_plan: UndoPlan, policy: Policy, undone: UndoFacts | None
) -> Generator[Ask | Event, Any, Work]:
    """Return an automatic undo: one transaction that is never split.

    ``undone`` is what the undone runs have recorded of their work.

    Raises:
        UndoRefused: the scripts, or what was recorded, rule out that it is safe.
    """
    steps = undo_plan.steps
    if not steps:
        return Work()
    found = find_unprovable(steps, facts.files, policy.most_statements)
    found = found or find_unproved_run(undone, steps)
    if found is not None:
        raise refuse_undo(found, steps)
    yield UndoPlanned(undo_plan)
    return Work((make_undo(steps),), may_lose_rows=False, undone=undone)
