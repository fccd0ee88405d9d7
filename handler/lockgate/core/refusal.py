"""Decide whether a plan may be carried out, and write the refusal if not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.core.address import make_command, make_repair_command
from lockgate.core.drift import Severity
from lockgate.core.hint import Hint
from lockgate.core.migration import Direction, Language
from lockgate.core.policy import OutOfOrder
from lockgate.core.pooler_refusal import find_pooler_refusal
from lockgate.core.request import Action, Repair
from lockgate.core.resumption import is_unknown, would_begin_again
from lockgate.errors import (
    DriftDetected,
    HistoryForeign,
    LockgateError,
    OutcomeUnknown,
    OutOfOrderFound,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lockgate.core.drift import Drift
    from lockgate.core.plan import Plan
    from lockgate.core.policy import Policy
    from lockgate.core.segment import Step


def find_refusal(plan: Plan, policy: Policy) -> LockgateError | None:
    """Return why this plan may not be carried out, or ``None`` if it may."""
    if plan.foreign is not None:
        return HistoryForeign(
            f"{plan.foreign.describe()} They share no version.",
            hint="Check that this is the right database, and that LOCKGATE_MIGRATIONS names the right"
            " folder. Projects that share a database each need a LOCKGATE_SCHEMA of their own.",
        )
    drifted = [drift for drift in plan.drift if drift.severity is Severity.ERROR]
    if drifted:
        rest = f" And {len(drifted) - 1} more." if len(drifted) > 1 else ""
        return DriftDetected(
            f"{drifted[0].describe()}{rest}",
            hint=_advise(drifted[0]),
            file=drifted[0].file,
            migration=drifted[0].label,
        )
    begun = next((step for step in plan.steps if would_begin_again(step)), None)
    if begun is not None:
        return _refuse_to_begin_again(begun)
    if plan.out_of_order and policy.out_of_order is OutOfOrder.REFUSE:
        first = plan.out_of_order[0]
        return OutOfOrderFound(
            f"Migration {first.label} is pending, but a later version was applied already."
            f" {first.path}.",
            hint="Give the file a version above the latest applied one, or set"
            " LOCKGATE_OUT_OF_ORDER=apply.",
            file=first.path,
            migration=first.label,
        )
    return find_session_refusal(plan.steps, policy)


def find_session_refusal(steps: Iterable[Step], policy: Policy) -> LockgateError | None:
    """Return why steps cannot run in a pooler's session, or ``None`` if they may."""
    return find_pooler_refusal(steps) if policy.is_borrowed else None


def _advise(drift: Drift) -> Hint:
    """Return what to do about an edited or missing file, with a complete command."""
    name = drift.version or f"R__{drift.name}"
    if drift.file is None:
        return Hint(
            "Restore the file. If it was deleted on purpose, delete its row; what it created stays: ",
            make_repair_command(Repair.FORGET, name),
            ".",
        )
    if drift.is_partial:
        return Hint(
            "Restore the part that was already done, and continue from there: ",
            make_command(Action.UP),
            ". If you finished the migration by hand, record it as applied: ",
            make_repair_command(Repair.MARK, name),
            ".",
        )
    return Hint(
        "Restore the file, and put the change in a new migration. If the file is right as it is, accept"
        " it: ",
        make_repair_command(Repair.ACCEPT, name),
        ".",
    )


def find_unknown(steps: Iterable[Step]) -> OutcomeUnknown | None:
    """Return the refusal of the first step whose interrupted statement has an unknown outcome.

    Call it only under the lock: without it, another run may be executing the statement.
    """
    step = next((step for step in steps if is_unknown(step)), None)
    return None if step is None else make_unknown(step)


def make_unknown(step: Step) -> OutcomeUnknown:
    """Return the refusal of a step whose interrupted statement has an unknown outcome."""
    row, migration = step.row, step.migration
    assert row is not None
    what = f"Statement {row.attempting}"
    way = "write -- migrate:verify SELECT … on a line above the statement"
    if step.script.language is Language.PYTHON:
        what, way = "It", "define verify(connection) in the file"
    return OutcomeUnknown(
        f"Migration {migration.label} was interrupted. {what} was begun by run {row.run_id} outside a"
        " transaction, its end was never recorded, and the catalogs do not show whether it is done."
        f" {migration.path}."
        " It was not run again.",
        hint=f"Find out whether it is done. Then {way}: it returns true if it is done, and false if it"
        " must run again. Then invoke again.",
        file=migration.path,
        migration=migration.label,
    )


def make_session_unknown(step: Step) -> OutcomeUnknown:
    """Return the refusal of a step that depends on a former session that cannot be restored."""
    row, migration = step.row, step.migration
    assert row is not None
    repair = Repair.MARK if step.direction is Direction.UP else Repair.FORGET
    return OutcomeUnknown(
        f"Migration {migration.label} was interrupted after statement {row.statements_done} of"
        f" {row.statements_total}, which may have set its session: a setting, a role, a temporary"
        f" object or a lock. The session of this run differs. {migration.path}. The rest was not run.",
        hint=Hint(
            f"Run statement {row.statements_done + 1} and those after it by hand, in a session with the"
            " file's settings; then: ",
            make_repair_command(repair, migration.migration_id),
            ". A plain SET outside a block is repeated automatically.",
        ),
        file=migration.path,
        migration=migration.label,
    )


def _refuse_to_begin_again(step: Step) -> DriftDetected:
    migration, row = step.migration, step.row
    assert row is not None
    verb = "is" if row.statements_done == 1 else "are"
    what = f"{row.statements_done} of its statements {verb} done"
    if row.attempting is not None:
        what += f" and statement {row.attempting} was begun"
    option = "transaction:false"
    if migration.up.language is Language.PYTHON:
        what, option = "it was begun", "transaction = False"
    return DriftDetected(
        f"Migration {migration.label} was applied in part outside a transaction, and its file now asks"
        f" for one: {what}, and would be run again. {migration.path}.",
        hint=f"Keep {option} in the file until all of the migration is applied.",
        file=migration.path,
        migration=migration.label,
    )
