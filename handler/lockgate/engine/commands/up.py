"""`up`: apply what is pending.

::

    UndoNewer (only if the settings say so) ── ApplyPending ── done
                                                 └ a migration fails ── UndoOwn
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.core.events import (
    AppliedReloaded,
    Planned,
    UndoFailed,
    UndoOfNewerRefused,
    UndoPlanned,
    UndoStarted,
    Warned,
)
from lockgate.core.failure import MigrationStepFailed
from lockgate.core.migration import Kind
from lockgate.core.policy import Rollback
from lockgate.core.undo_plan import select_of_run
from lockgate.core.undo_proof import may_be_undone_safely
from lockgate.engine.commands.first_contact import find_first_contact
from lockgate.engine.commands.forward import (
    check_forward,
    plan_forward,
    refuse_plan,
    refuse_unknown,
    warn_of_ahead,
)
from lockgate.engine.commands.undo import plan_undo_or_refuse, undo_whole
from lockgate.engine.commands.undo_first import (
    complete_undo,
    describe_ahead,
    is_to_undo_newer,
    undo_ahead,
)
from lockgate.engine.decision import Ask, FreeDeadLock, Work, WorkUnderLock
from lockgate.engine.needs import Need
from lockgate.errors import DriftDetected, MigrationFailed, RequestRefused, UndoRefused
from lockgate.fast_start.dataclass import dataclass
from lockgate.report.report import Status

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    from lockgate.core.events import Event
    from lockgate.core.history import History, StoredScripts
    from lockgate.core.plan import Plan
    from lockgate.core.policy import Policy
    from lockgate.core.request import Request
    from lockgate.core.run_state import RunState
    from lockgate.engine.decision import Decision, Facts, Stage, StageFailure
    from lockgate.errors import LockgateError


@dataclass(frozen=True, slots=True)
class EarlierPlan:
    """What was planned before the lock was taken, and with which history."""

    history: History
    plan: Plan


def decide(facts: Facts, request: Request, policy: Policy) -> Generator[Ask | Event, Any, Decision]:
    """Work under the lock if something is pending, or newer versions are to be undone."""
    if facts.is_settled:
        return FreeDeadLock(_first_stage(policy))
    plan = yield from check_forward(facts, request, policy)
    if plan.has_pending or is_to_undo_newer(plan, policy):
        return WorkUnderLock(_first_stage(policy, EarlierPlan(facts.history, plan)))
    yield from warn_of_ahead(facts, policy, plan)
    return FreeDeadLock(_first_stage(policy))


def _first_stage(policy: Policy, earlier: EarlierPlan | None = None) -> Stage:
    if policy.rollback is Rollback.DEPLOY:
        return UndoNewer(earlier)
    return ApplyPending(earlier)


def _plan_again(
    facts: Facts, policy: Policy, earlier: EarlierPlan | None
) -> Generator[Ask | Event, Any, Plan]:
    """Plan under the lock; the earlier plan holds if the history is still the same."""
    if earlier is not None and earlier.history == facts.history:
        plan = earlier.plan
    else:
        plan = yield from plan_forward(facts, policy)
    refuse_plan(plan, policy)
    return plan


@dataclass(frozen=True, slots=True)
class UndoNewer:
    """Undo what a newer package applied.

    A stack that rolls back must not fail on this: what cannot be undone is tolerated and reported.
    """

    earlier: EarlierPlan | None = None
    reloads_undone: bool = True
    keeps_facts: bool = False

    def plan(
        self, facts: Facts, _request: Request, policy: Policy
    ) -> Generator[Ask | Event, Any, Work]:
        """Return the undo of every version that is ahead.

        Raises:
            UndoRefused: it is not known that a newer package applied them, or the undo is not safe.
        """
        plan = yield from _plan_again(facts, policy, self.earlier)
        return (yield from undo_ahead(facts, policy, plan))

    def after_success(self, state: RunState) -> Stage | Status:
        """Go on with what is pending."""
        return ApplyPending(self.earlier, has_undone_newer=bool(state.reverted))

    def after_failure(self, failure: StageFailure) -> Generator[Ask | Event, Any, Stage | Status]:
        """Tolerate a refusal and go on; after a failed undo, end."""
        error, state = failure.error, failure.state
        if not isinstance(error, (RequestRefused, MigrationFailed)):
            return (yield from _tolerate_drift(error, has_undone_newer=bool(state.reverted)))
        yield UndoOfNewerRefused(error.code, error.message)
        yield Warned(describe_ahead(error, "were"))
        has_undone_newer = bool(state.reverted)
        if isinstance(error, RequestRefused):
            return ApplyPending(self.earlier, has_undone_newer=has_undone_newer)
        return Status.ROLLED_BACK if has_undone_newer else Status.UP_TO_DATE


def _tolerate_drift(
    error: LockgateError, *, has_undone_newer: bool
) -> Generator[Ask | Event, Any, Stage | Status]:
    """A newer package's text was accepted: the rollback is done, and must not fail on that."""
    if not (has_undone_newer and isinstance(error, DriftDetected)):
        raise error
    yield Warned(error.message)
    return Status.ROLLED_BACK


@dataclass(frozen=True, slots=True)
class ApplyPending:
    """Apply what is pending. ``has_undone_newer``: a newer package's migrations were undone before."""

    earlier: EarlierPlan | None = None
    has_undone_newer: bool = False
    reloads_undone: bool = False
    keeps_facts: bool = True

    def plan(
        self, facts: Facts, request: Request, policy: Policy
    ) -> Generator[Ask | Event, Any, Work]:
        """Return what is pending; first, what an interrupted undo has left half undone."""
        plan = yield from _plan_again(facts, policy, self.earlier)
        if plan.half_undone:
            undo_plan = yield from complete_undo(facts, policy, plan)
            yield UndoPlanned(undo_plan)
            may_lose_rows = policy.allow_data_loss
            return Work(undo_plan.segments, may_lose_rows=may_lose_rows, is_last=False)
        yield Planned(plan)
        yield AppliedReloaded()
        refuse_unknown(plan.steps)
        former = yield from _read_former(facts, policy, plan)
        if plan.has_pending:
            # Tables may have been created since the first look.
            refusal = yield from find_first_contact(facts, request, policy)
            if refusal is not None:
                raise refusal
        return Work(
            plan.segments,
            former=former,
            stub=facts.files.stub if plan.has_pending else None,
            is_described=_is_described(plan, policy),
        )

    def after_success(self, state: RunState) -> Stage | Status:
        """End: nothing is pending."""
        if self.has_undone_newer:
            return Status.ROLLED_BACK
        return Status.APPLIED if state.done else Status.UP_TO_DATE

    def after_failure(self, failure: StageFailure) -> Generator[Ask | Event, Any, Stage | Status]:
        """Undo what this run has applied if a migration failed."""
        error, state = failure.error, failure.state
        if not isinstance(error, MigrationStepFailed):
            return (yield from _tolerate_drift(error, has_undone_newer=self.has_undone_newer))
        if failure.rollback is Rollback.OFF or not state.done or failure.is_over:
            raise error
        yield UndoStarted(len(state.done))
        return UndoOwn(error)


def _read_former(
    facts: Facts, policy: Policy, plan: Plan
) -> Generator[Ask | Event, Any, dict[str, StoredScripts]]:
    """Return the texts that repeatable migrations have, to give them back if the run fails."""
    former = dict(facts.former)
    changed = [
        step.row.migration_id
        for step in plan.steps
        if step.row is not None
        and step.migration.kind is Kind.REPEATABLE
        and step.row.migration_id not in former
    ]
    if policy.rollback is not Rollback.OFF and changed and len(plan.segments) > 1:
        former |= yield Ask(Need.SCRIPTS, changed)
    return former


def _is_described(plan: Plan, policy: Policy) -> bool:
    """Tell whether what follows may have to be undone by the proof, which needs a description."""
    is_undone_later = policy.rollback is Rollback.DEPLOY or len(plan.segments) > 1
    if policy.rollback is Rollback.OFF or not is_undone_later or not plan.segments:
        return False
    return all(map(may_be_undone_safely, plan.segments[0].steps))


@dataclass(frozen=True, slots=True)
class UndoOwn:
    """Undo what this run has applied before a migration failed, all of it or nothing."""

    error: MigrationStepFailed
    reloads_undone: bool = True
    keeps_facts: bool = False

    def plan(
        self, facts: Facts, _request: Request, policy: Policy
    ) -> Generator[Ask | Event, Any, Work]:
        """Return the undo; raise `UndoRefused` if it cannot be proved to be safe."""
        rows = select_of_run(facts.history, facts.run_id)
        undo_plan = yield from plan_undo_or_refuse(facts, rows, policy)
        return (yield from undo_whole(facts, undo_plan, policy, facts.measured))

    def after_success(self, _state: RunState) -> Stage | Status:
        """End with the error of the migration that failed."""
        raise self.error

    def after_failure(self, failure: StageFailure) -> Generator[Ask | Event, Any, Stage | Status]:
        """End with the error of the migration, and why nothing was undone."""
        error = failure.error
        yield UndoFailed(str(error))
        hint = error.hint if isinstance(error, UndoRefused) else None
        note = f"What this run had applied was not undone: {error}"
        raise self.error.with_note(note, hint) from error
