"""What an `up` undoes before it applies anything.

That is what a newer package applied (only if the settings say so), and every undo that was interrupted.
The same functions decide for `up` under the lock and for the commands that show an `up`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lockgate.core.events import Planned, Warned
from lockgate.core.hint import Hint, join_hints
from lockgate.core.history import History
from lockgate.core.policy import Rollback
from lockgate.core.undo_facts import UndoFacts
from lockgate.core.undo_plan import select_ids
from lockgate.engine.commands.forward import (
    hint_at_down,
    plan_forward,
    refuse_plan,
    refuse_unknown,
)
from lockgate.engine.commands.undo import plan_undo, plan_undo_or_refuse, undo_whole
from lockgate.engine.decision import Ask
from lockgate.engine.needs import Need
from lockgate.errors import DriftDetected, RequestRefused, UndoRefused

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from typing import Any

    from lockgate.core.events import Event
    from lockgate.core.history import Applied
    from lockgate.core.plan import Plan
    from lockgate.core.policy import Policy
    from lockgate.core.segment import Segment
    from lockgate.core.undo_plan import UndoPlan
    from lockgate.engine.decision import Facts, Work
    from lockgate.errors import LockgateError


def is_to_undo_newer(plan: Plan, policy: Policy) -> bool:
    """Return whether an `up` tries to undo what a newer package applied."""
    is_ahead = any(row.version is not None for row in plan.ahead)
    return is_ahead and policy.rollback is Rollback.DEPLOY and plan.objection is None


def undo_ahead(
    facts: Facts, policy: Policy, plan: Plan, *, is_shown: bool = False
) -> Generator[Ask | Event, Any, Work]:
    """Return the undo of every version that is ahead. ``is_shown``: it is not going to be run.

    Raises:
        UndoRefused: it is not known that a newer package applied them, or the undo is not safe.
        SessionNeeded: a down script needs a session, and a pooler lends one for a transaction only.
        OutcomeUnknown: an interrupted step may be done or not.
    """
    if plan.objection is not None:
        raise UndoRefused(plan.objection, hint=hint_at_down(facts.files))
    rows = select_ids(facts.history, {row.migration_id for row in _versions_ahead(plan)})
    undo_plan = yield from _plan_undo(facts, rows, policy, is_shown=is_shown)
    recorded = yield from _read_recorded(rows)
    return (yield from undo_whole(facts, undo_plan, policy, recorded))


def complete_undo(
    facts: Facts, policy: Policy, plan: Plan, *, is_shown: bool = False
) -> Generator[Ask | Event, Any, UndoPlan]:
    """Return what completes the undos that were interrupted. Raises what `undo_ahead` does."""
    return (yield from _plan_undo(facts, plan.half_undone, policy, is_shown=is_shown))


def show_undo_first(facts: Facts, policy: Policy, plan: Plan) -> Generator[Ask | Event, Any, bool]:
    """Plan what an `up` does after it has undone what comes first; return whether there is anything.

    Raises what an `up` is refused with, then or before.
    """
    undone: tuple[Segment, ...] = ()
    rest, left = plan, facts
    if is_to_undo_newer(plan, policy):
        undone = yield from _show_undo_of_newer(facts, policy, plan)
    if undone:
        left = _without(facts, _versions_ahead(plan))
        rest = yield from plan_forward(left, policy)
        rest = yield from _leave_drifted(rest, policy)
    if rest.half_undone:
        undo_plan = yield from complete_undo(left, policy, rest, is_shown=True)
        undone = (*undone, *undo_plan.segments)
        rest = yield from plan_forward(_without(left, rest.half_undone), policy)
        refuse_plan(rest, policy)
    if undone:
        shown = replace(plan, segments=rest.segments, skipped=rest.skipped, flaws=rest.flaws)
        yield Planned(shown, undone)
    if not facts.probe.is_held:
        refuse_unknown([step for segment in undone for step in segment.steps])
        refuse_unknown(rest.steps)
    return bool(undone or rest.segments)


def _show_undo_of_newer(
    facts: Facts, policy: Policy, plan: Plan
) -> Generator[Ask | Event, Any, tuple[Segment, ...]]:
    """Return what would be undone; nothing, with a warning, if it would be refused."""
    try:
        work = yield from undo_ahead(facts, policy, plan, is_shown=True)
    except RequestRefused as error:
        yield Warned(describe_ahead(error, "are"))
        return ()
    return work.segments


def _leave_drifted(plan: Plan, policy: Policy) -> Generator[Event, Any, Plan]:
    """Return what follows that undo: nothing, with a warning, if a file differs from the history."""
    try:
        refuse_plan(plan, policy)
    except DriftDetected as error:
        yield Warned(error.message)
        return replace(plan, segments=(), half_undone=())
    return plan


def describe_ahead(error: LockgateError, verb: str) -> Hint:
    """Return why newer versions are not undone; ``verb`` is "are" or "were"."""
    text = f"The database is ahead of this package, and the newer migrations {verb} not undone:"
    return join_hints(text, error.message, error.hint)


def _versions_ahead(plan: Plan) -> tuple[Applied, ...]:
    return tuple(row for row in plan.ahead if row.version is not None)


def _without(facts: Facts, rows: Sequence[Applied]) -> Facts:
    """Return the facts as they are once these rows are gone."""
    gone = {row.migration_id for row in rows}
    left = [row for row in facts.history.rows if row.migration_id not in gone]
    return replace(facts, history=History(tuple(left)))


def _plan_undo(
    facts: Facts, rows: Sequence[Applied], policy: Policy, *, is_shown: bool
) -> Generator[Ask | Event, Any, UndoPlan]:
    """Return what undoes these rows. Without the lock, another run may still be at work on a step."""
    how = plan_undo if is_shown else plan_undo_or_refuse
    return (yield from how(facts, rows, policy))


def _read_recorded(rows: Sequence[Applied]) -> Generator[Ask, Any, UndoFacts | None]:
    """Return what the runs that applied these rows recorded, as if they were one run."""
    if not rows:
        return None
    run_ids = sorted({row.run_id for row in rows})
    texts = yield Ask(Need.UNDO_FACTS, run_ids)
    runs = [UndoFacts.from_json(text) for text in texts if text is not None]
    if len(runs) < len(run_ids):
        return None
    return UndoFacts(runs[0].before, [one for run in runs for one in run.transactions])
