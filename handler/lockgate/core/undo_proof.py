"""Whether an automatic undo is safe. Decides from values; asks no server.

Nobody looks at an automatic undo before it runs, so it needs a proof. Without one nothing is undone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.core.analysis import Mode, analyse_script
from lockgate.core.down_script import is_no_op
from lockgate.core.migration import Direction, Language
from lockgate.core.segment import Segment
from lockgate.errors import LockgateError, UndoRefused
from lockgate.value import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lockgate.core.catalog import Catalog
    from lockgate.core.migration import Script
    from lockgate.core.segment import Step


@dataclass(frozen=True, slots=True)
class Unproved:
    """The first object or migration that failed the proof, and why, as the rest of a sentence."""

    what: str
    why: str

    def describe(self) -> str:
        """Return it as a sentence."""
        return f"It cannot be proved that an automatic undo is safe: {self.what} {self.why}."


def make_undo(steps: Sequence[Step], catalog: Catalog, most_statements: int) -> Segment:
    """Return the one transaction that undoes these steps, all of them or none.

    Raises:
        UndoRefused: they do not fit into one, or a script of theirs cannot be proved safe.
    """
    found = find_unprovable(steps, catalog, most_statements)
    if found is not None:
        raise refuse_undo(found, steps)
    return Segment(Mode.SHARED, tuple(steps))


def refuse_undo(found: Unproved, steps: Sequence[Step]) -> UndoRefused:
    """Return the error of an automatic undo that is not proved, with the command that does it."""
    rows = [step.row for step in steps if step.row is not None]
    versioned = [row for row in rows if row.version is not None]
    return UndoRefused(
        found.describe(),
        hint="Fix what failed and run again: what is applied stays. To undo it yourself:"
        f' lockgate down --steps {len(versioned)} --reason "…"'
        f' (in a function: {{"action": "down", "steps": {len(versioned)}, "reason": "…"}}).',
    )


def find_unprovable(
    steps: Sequence[Step], catalog: Catalog, most_statements: int
) -> Unproved | None:
    """Return the first migration whose scripts rule an automatic undo out."""
    for step in steps:
        why = _why_not_down(step)
        filed = catalog.by_id.get(step.migration.migration_id)
        if why is None and filed is not None:
            why = _why_not_up(filed.up)
        if why is not None:
            return Unproved(f"migration {step.migration.label}", why)
    if sum(len(step.analysis.statements) for step in steps) > most_statements:
        return Unproved("the undo", "has more statements than fit into one transaction")
    return None


def _why_not_down(step: Step) -> str | None:
    if step.script.language is Language.PYTHON:
        return "is undone by Python"
    if step.analysis.mode is not Mode.SHARED:
        return "has a down script that cannot share a transaction"
    if step.direction is Direction.DOWN and is_no_op(step.script):
        return "has a down script that does nothing"
    return None


def _why_not_up(script: Script) -> str | None:
    if script.language is Language.PYTHON:
        return "is a Python migration"
    try:
        mode = analyse_script(script).mode
    except LockgateError:
        return "has a file that cannot be read any more"
    return None if mode is Mode.SHARED else "ran outside a shared transaction"
