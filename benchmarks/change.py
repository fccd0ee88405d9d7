"""Compares this build with an earlier one: the ratio of their times in the same rounds."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.bench import Outcome

OURS, BEFORE = "lockgate", "lockgate-before"
LEAST_ROUNDS = 15
# A change passes if the whole interval of its ratio is at most this.
MOST = 1.1
# Student's t for a 95 % interval, from 14 degrees of freedom (15 rounds) to 29.
_LEAST_FREEDOM = 14
_T = (
    *(2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080),
    *(2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045),
)


def describe_change(row: str, outcomes: Mapping[str, Outcome]) -> str:
    """Return a row's medians, the mean ratio of each round's two times, and whether it is accepted.

    The mean and its 95 % interval are those of the logarithms, because twice as long and half as long
    are equally far from the same. Fewer than 15 rounds give no interval.
    """
    after = [sample.ms for sample in outcomes[OURS].samples]
    before = [sample.ms for sample in outcomes[BEFORE].samples]
    logs = [math.log(new / old) for new, old in zip(after, before, strict=True)]
    if len(logs) < LEAST_ROUNDS:
        return f"{row}: {len(logs)} rounds, which are too few for an interval ({LEAST_ROUNDS})"
    mean = statistics.mean(logs)
    margin = _find_t(len(logs)) * statistics.stdev(logs) / math.sqrt(len(logs))
    low, ratio, high = (math.exp(value) for value in (mean - margin, mean, mean + margin))
    verdict = "at most" if high <= MOST else "not proved to be at most"
    return (
        f"{row}: {statistics.median(before):,.0f} ms before, {statistics.median(after):,.0f} ms now,"
        f" ratio {ratio:.3f} ({low:.3f} to {high:.3f}) in {len(logs)} rounds, {verdict} {MOST}"
    )


def _find_t(rounds: int) -> float:
    """Return t for this many rounds; beyond the table, its last value, which is slightly larger."""
    return _T[min(rounds - 1 - _LEAST_FREEDOM, len(_T) - 1)]
