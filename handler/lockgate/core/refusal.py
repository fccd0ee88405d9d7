"""Whether a plan may be carried out. Knows what stands against it; changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.core.analysis import Mode, UnitMode
from lockgate.core.drift import Severity
from lockgate.core.history import State
from lockgate.core.migration import Language
from lockgate.errors import DriftDetected, HistoryForeign, LockgateError, OutOfOrderFound
from lockgate.settings import OutOfOrder

if TYPE_CHECKING:
    from lockgate.core.plan import Plan
    from lockgate.core.policy import Policy
    from lockgate.core.segment import Step


def find_refusal(plan: Plan, policy: Policy) -> LockgateError | None:
    """Return why this plan may not be carried out, or ``None`` if it may."""
    if plan.foreign is not None:
        return HistoryForeign(
            f"{plan.foreign.describe()} They share no version. Nothing was run.",
            hint="Check that this is the right database, and that LOCKGATE_MIGRATIONS names the right"
            " folder. Projects that share a database each need a LOCKGATE_SCHEMA of their own.",
        )
    drifted = [drift for drift in plan.drift if drift.severity is Severity.ERROR]
    if drifted:
        rest = f" And {len(drifted) - 1} more." if len(drifted) > 1 else ""
        return DriftDetected(
            f"{drifted[0].describe()}{rest} Nothing was run.",
            hint="Restore the file, or put the change in a new migration.",
            file=drifted[0].file,
            migration=drifted[0].label,
        )
    begun = next((step for step in plan.steps if _would_begin_again(step)), None)
    if begun is not None:
        return _refuse_to_begin_again(begun)
    if plan.out_of_order and policy.out_of_order is OutOfOrder.REFUSE:
        first = plan.out_of_order[0]
        return OutOfOrderFound(
            f"Migration {first.label} is pending, but a later version was applied already."
            f" {first.path}. Nothing was run.",
            hint="Give the file a version above the latest applied one, or set"
            " LOCKGATE_OUT_OF_ORDER=apply.",
            file=first.path,
            migration=first.label,
        )
    return None


def _would_begin_again(step: Step) -> bool:
    """Tell whether a part that is done, or may be, would run again: a transaction takes it whole."""
    row, analysis = step.row, step.analysis
    if row is None or row.state is not State.PARTIAL:
        return False
    if analysis.mode is Mode.SHARED:
        return row.statements_done > 0 or row.attempting is not None
    begun = None if row.attempting is None else row.attempting - 1
    # Only what runs by itself is looked up before it is said again.
    return begun is not None and any(
        unit.first <= begun <= unit.last and unit.mode in {UnitMode.WRAPPED, UnitMode.BLOCK}
        for unit in analysis.units
    )


def _refuse_to_begin_again(step: Step) -> DriftDetected:
    migration, row = step.migration, step.row
    assert row is not None
    what = f"{row.statements_done} of its statements are done"
    if row.attempting is not None:
        what += f" and statement {row.attempting} was begun"
    option = "transaction:false"
    if migration.up.language is Language.PYTHON:
        what, option = "it was begun", "transaction = False"
    return DriftDetected(
        f"Migration {migration.label} was applied in part outside a transaction, and its file asks for"
        f" one now: {what}, and would be run again. {migration.path}. Nothing was run.",
        hint=f"Keep {option} in the file until the migration is whole.",
        file=migration.path,
        migration=migration.label,
    )
