"""Compares this build with an earlier one: the ratio of their times in the same rounds."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.bench import Outcome

OURS, BEFORE = "lockgate", "lockgate-before"
# Of the normal distribution: 95 % of the means lie within so many standard errors.
_Z = 1.96
_LEAST_ROUNDS = 2


def describe_change(row: str, outcomes: Mapping[str, Outcome]) -> str:
    """Return a row's medians, and the mean ratio of each round's two times with its 95 % interval."""
    after = [sample.ms for sample in outcomes[OURS].samples]
    before = [sample.ms for sample in outcomes[BEFORE].samples]
    ratios = [new / old for new, old in zip(after, before, strict=True)]
    if len(ratios) < _LEAST_ROUNDS:
        return f"{row}: {len(ratios)} rounds, which are too few for an interval"
    mean = statistics.mean(ratios)
    margin = _Z * statistics.stdev(ratios) / math.sqrt(len(ratios))
    return (
        f"{row}: {statistics.median(before):,.0f} ms before, {statistics.median(after):,.0f} ms now,"
        f" ratio {mean:.3f} ({mean - margin:.3f} to {mean + margin:.3f}) in {len(ratios)} rounds"
    )
