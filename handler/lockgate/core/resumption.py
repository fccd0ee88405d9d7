"""Decide whether a step that an earlier run began outside a transaction can be resumed.

If only the server knows whether a statement is done, `core.verification` has the question.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.core.history import State
from lockgate.core.migration import Direction, Language, Script
from lockgate.core.python_source import find_function
from lockgate.core.session_effect import find_effect, join_effects
from lockgate.core.token_checksum import TokenDigest
from lockgate.core.transaction_mode import Mode, UnitMode
from lockgate.core.verification import Question, find_verification

if TYPE_CHECKING:
    from lockgate.core.history import Applied
    from lockgate.core.segment import Step
    from lockgate.core.session_effect import Effect
    from lockgate.core.verification import Verification

_BEGUN = {Direction.UP: State.PARTIAL, Direction.DOWN: State.REVERTING}


def begun_state(direction: Direction) -> State:
    """Return the state of a row after its up or down script was run in part."""
    return _BEGUN[direction]


def find_begun(step: Step) -> Applied | None:
    """Return the row of a step that an earlier run began, or ``None``."""
    row = step.row
    return row if row is not None and row.state is begun_state(step.direction) else None


def has_edited_part(step: Step) -> bool:
    """Return whether the part of the script that is done was edited."""
    row = find_begun(step)
    if row is None or row.done_checksum is None:
        return False
    count = row.statements_done
    is_short = count > len(step.analysis.statements)
    return is_short or TokenDigest(step.script.sql).after(count) != row.done_checksum


def would_begin_again(step: Step) -> bool:
    """Return whether a part that may be done would run again, in a transaction for the whole script."""
    row, analysis = find_begun(step), step.analysis
    if row is None:
        return False
    if analysis.mode is Mode.SHARED:
        return row.statements_done > 0 or row.attempting is not None
    begun = None if row.attempting is None else row.attempting - 1
    # Only statements outside a transaction are checked before they are repeated.
    return begun is not None and any(
        unit.first <= begun <= unit.last and unit.mode in {UnitMode.WRAPPED, UnitMode.BLOCK}
        for unit in analysis.units
    )


def is_unknown(step: Step) -> bool:
    """Return whether neither the catalogs nor the author know if the last begun statement is done."""
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
    """Return what the first ``count`` statements may have left in their session, and their tables.

    Statements that run again when the script is resumed do not count.
    """
    statements = step.analysis.statements
    return join_effects(
        find_effect(step.script.sql, statements[index])
        for unit in step.analysis.units
        if unit.mode is not UnitMode.SESSION
        for index in range(unit.first, min(unit.last + 1, count))
    )


def find_question(step: Step, index: int) -> Verification:
    """Return how to find out whether a statement of a step is done."""
    statements = step.analysis.statements
    previous_end = statements[index - 1].end if index else 0
    return find_verification(step.script.sql, statements[index], previous_end)


def has_verify(script: Script) -> bool:
    """Return whether a Python migration defines ``verify``."""
    return find_function(script.text, "verify") is not None
