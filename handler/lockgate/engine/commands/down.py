"""`down`: undo migrations on purpose."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lockgate.core.events import NothingToUndo, UndoPlanned
from lockgate.core.undo_plan import find_down_target, select_above, select_last
from lockgate.engine.commands.forward import refuse_unknown
from lockgate.engine.commands.undo import plan_undo, plan_undo_or_refuse
from lockgate.engine.decision import Conclude, FreeDeadLock, Work, WorkUnderLock
from lockgate.fast_start.dataclass import dataclass
from lockgate.report.report import Status

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    from lockgate.core.events import Event
    from lockgate.core.history import Applied
    from lockgate.core.policy import Policy
    from lockgate.core.request import Request
    from lockgate.core.run_state import RunState
    from lockgate.engine.decision import Ask, Decision, Facts, Stage, StageFailure


def decide(
    facts: Facts, request: Request, _policy: Policy
) -> Generator[Ask | Event, Any, Decision]:
    """Undo under the lock what is selected, if anything is."""
    if select_rows(facts, request):
        return WorkUnderLock(UndoSelected())
    yield NothingToUndo()
    return FreeDeadLock(UndoSelected())


def show_down(
    facts: Facts, request: Request, policy: Policy
) -> Generator[Ask | Event, Any, Decision]:
    """Refuse what a `down` would refuse, and conclude with what it would undo."""
    rows = select_rows(facts, request)
    undo_plan = yield from plan_undo(facts, rows, policy)
    if not facts.probe.is_held:
        refuse_unknown(undo_plan.steps)
    yield UndoPlanned(undo_plan)
    return Conclude(Status.PLANNED if rows else Status.UP_TO_DATE)


def select_rows(facts: Facts, request: Request) -> tuple[Applied, ...]:
    """Return what is to be undone, the last applied first."""
    if request.steps is not None:
        return select_last(facts.history, request.steps)
    assert request.target is not None
    target = find_down_target(facts.files, facts.history, request.target)
    return select_above(facts.history, target)


@dataclass(frozen=True, slots=True)
class UndoSelected:
    """Undo what the history under the lock selects: ``ids``, once that was decided."""

    ids: tuple[str, ...] | None = None
    reloads_undone: bool = True
    keeps_facts: bool = False

    def plan(
        self, facts: Facts, request: Request, policy: Policy
    ) -> Generator[Ask | Event, Any, Work]:
        """Return what is left to undo."""
        ids = self.ids
        if ids is None:
            ids = tuple(row.migration_id for row in select_rows(facts, request))
        left = {row.migration_id: row for row in facts.history.rows}
        rows = [left[one] for one in ids if one in left]
        undo_plan = yield from plan_undo_or_refuse(facts, rows, policy)
        yield UndoPlanned(undo_plan)
        may_lose_rows = request.allow_data_loss or policy.allow_data_loss
        stage = replace(self, ids=ids)
        return Work(undo_plan.segments, may_lose_rows=may_lose_rows, stage=stage)

    def after_success(self, state: RunState) -> Stage | Status:
        """End: all of it is undone."""
        return Status.ROLLED_BACK if state.reverted else Status.UP_TO_DATE

    def after_failure(self, failure: StageFailure) -> Generator[Ask | Event, Any, Stage | Status]:
        """End with the error."""
        yield from ()
        raise failure.error
