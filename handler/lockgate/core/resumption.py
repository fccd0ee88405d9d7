"""A step that was begun by an earlier run outside a transaction: whether it can go on from there.

Knows rows and scripts. Asks no server: where only that can tell, `verification` has the question.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.core.analysis import Mode, UnitMode
from lockgate.core.history import State
from lockgate.core.migration import Direction, Language, Script
from lockgate.core.python_source import find_function
from lockgate.core.session_effect import find_effect, join_effects
from lockgate.core.token_checksum import TokenDigest
from lockgate.core.verification import Question, find_verification

if TYPE_CHECKING:
    from lockgate.core.history import Applied
    from lockgate.core.segment import Step
    from lockgate.core.session_effect import Effect
    from lockgate.core.verification import Verification

_BEGUN = {Direction.UP: State.PARTIAL, Direction.DOWN: State.REVERTING}


def begun_state(direction: Direction) -> State:
    """Return the state of a row whose script of that direction was run in part."""
    return _BEGUN[direction]


def find_begun(step: Step) -> Applied | None:
    """Return the row of a step that was begun, or ``None``."""
    row = step.row
    return row if row is not None and row.state is begun_state(step.direction) else None


def has_edited_part(step: Step) -> bool:
    """Tell whether the part of the script that is done is not what the script says now."""
    row = find_begun(step)
    if row is None or row.done_checksum is None:
        return False
    count = row.statements_done
    is_short = count > len(step.analysis.statements)
    return is_short or TokenDigest(step.script.sql).after(count) != row.done_checksum


def would_begin_again(step: Step) -> bool:
    """Tell whether a part that is done, or may be, would run again: a transaction takes it whole."""
    row, analysis = find_begun(step), step.analysis
    if row is None:
        return False
    if analysis.mode is Mode.SHARED:
        return row.statements_done > 0 or row.attempting is not None
    begun = None if row.attempting is None else row.attempting - 1
    # Only what runs by itself is looked up before it is said again.
    return begun is not None and any(
        unit.first <= begun <= unit.last and unit.mode in {UnitMode.WRAPPED, UnitMode.BLOCK}
        for unit in analysis.units
    )


def is_unknown(step: Step) -> bool:
    """Tell whether nobody can say if what was begun last is done: no catalog, and not the author."""
    row = find_begun(step)
    if row is None or row.attempting is None:
        return False
    if step.script.language is Language.PYTHON:
        return not has_verify(step.script)
    index = row.attempting - 1
    if index >= len(step.analysis.statements):
        return False
    return find_question(step, index).question is Question.UNKNOWN


def find_session_effects(step: Step, count: int) -> tuple[Effect, tuple[str, ...]]:
    """Return what the first ``count`` statements may have left in their session, and in which tables.

    Those that are run again when the script is resumed are left out.
    """
    statements = step.analysis.statements
    return join_effects(
        find_effect(step.script.sql, statements[index])
        for unit in step.analysis.units
        if unit.mode is not UnitMode.SESSION
        for index in range(unit.first, min(unit.last + 1, count))
    )


def find_question(step: Step, index: int) -> Verification:
    """Return how to learn whether a statement of a step is done."""
    statements = step.analysis.statements
    previous_end = statements[index - 1].end if index else 0
    return find_verification(step.script.sql, statements[index], previous_end)


def has_verify(script: Script) -> bool:
    """Return whether a Python migration can tell whether it is done."""
    return find_function(script.text, "verify") is not None
