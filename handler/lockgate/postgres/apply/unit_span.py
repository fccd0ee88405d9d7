"""The position of a unit in its script."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lockgate.core.analysis import Unit
    from lockgate.core.segment import Step


def unit_span(step: Step, unit: Unit) -> tuple[int, int]:
    """Return where a unit begins and ends in its script, including COPY data."""
    last = step.analysis.statements[unit.last]
    end = last.end if last.copy_data is None else last.copy_data[1] + 2
    return step.analysis.statements[unit.first].start, end
