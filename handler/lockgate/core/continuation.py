"""Decide whether a run may continue in another invocation: how many are allowed, and until when.

::

    began_at                                                                    must_end_at
       |-- invocation --|-- hop 1 --|-- hop 2 --| … at most MOST_HOPS                |
                                                  one answer, in time ──────────────▶|
"""

from __future__ import annotations

from dataclasses import replace

from lockgate.fast_start.dataclass import dataclass

# Lambda stops a function that invokes itself about 16 times in a chain. A caller may do so more often.
MOST_HOPS = 8

# A shorter invocation is not worth starting.
_LEAST_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Continuation:
    """Number of this invocation for one request, from 0. Times are in seconds since the epoch."""

    hop: int
    began_at: float
    timeout_seconds: int
    most_hops: int = MOST_HOPS

    @property
    def must_end_at(self) -> float:
        """When the caller stops waiting."""
        return self.began_at + self.timeout_seconds

    def may_continue(self, now: float) -> bool:
        """Return whether another invocation is allowed and worth starting."""
        return self.hop < self.most_hops and self.must_end_at - now >= _LEAST_SECONDS

    def next(self) -> Continuation:
        """Return the continuation for the next invocation."""
        return replace(self, hop=self.hop + 1)
