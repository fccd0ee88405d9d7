"""Going on in a further invocation. Knows hops and times; invokes nothing.

::

    began_at                                                                    must_end_at
       |-- invocation --|-- hop 1 --|-- hop 2 --| … at most MOST_HOPS                |
                                                  one answer, in time ──────────────▶|
"""

from __future__ import annotations

from dataclasses import replace

from lockgate.fast_start.dataclass import dataclass

# Lambda cuts a chain of about 16 invocations of itself. A caller that invokes anew may do so more often.
MOST_HOPS = 8

# What an invocation needs to be worth its start, in seconds.
_LEAST_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Continuation:
    """The how-manieth invocation for one request this is; times in seconds of the epoch."""

    hop: int
    began_at: float
    timeout_seconds: int
    most_hops: int = MOST_HOPS

    @property
    def must_end_at(self) -> float:
        """When whoever asked stops waiting."""
        return self.began_at + self.timeout_seconds

    def may_continue(self, now: float) -> bool:
        """Whether a further invocation is allowed and worth while."""
        return self.hop < self.most_hops and self.must_end_at - now >= _LEAST_SECONDS

    def next(self) -> Continuation:
        """Return the one after this."""
        return replace(self, hop=self.hop + 1)
