"""The remaining time of an invocation, and how much of it is available for work."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.support.lambda_context import LambdaContext
from tests.support.reach import must_reach, reached

from lockgate.core.deadline import Deadline


def test_work_ends_where_the_reserve_begins() -> None:
    """Work time excludes the reserve; the remaining time counts down to zero."""
    context = LambdaContext(deadline_ms=60_000)
    deadline = Deadline(context.get_remaining_time_in_millis, 20_000)
    seen = []
    for _ in range(4):
        seen.append((deadline.remaining_ms(), deadline.work_ms(), deadline.is_over))
        context.clock.advance(20_000)
    assert [
        (60_000, 40_000, False),
        (40_000, 20_000, False),
        (20_000, 0, True),
        (0, 0, True),
    ] == seen


def test_last_millisecond_before_the_reserve_is_work() -> None:
    """One millisecond more than the reserve is still work time."""
    assert not Deadline(lambda: 20_001, 20_000).is_over
    assert Deadline(lambda: 20_000, 20_000).is_over


def test_terminal_has_no_deadline() -> None:
    """A terminal has no time limit, so its deadline is never over."""
    deadline = Deadline(None, 20_000)
    assert (None, None, False) == (deadline.remaining_ms(), deadline.work_ms(), deadline.is_over)


def test_interrupt_ends_work_at_once() -> None:
    """An interrupt ends work time, records its source and leaves the remaining time unchanged."""
    deadline = Deadline(None, 20_000)
    deadline.interrupt("Ctrl-C")
    assert (True, "Ctrl-C", None) == (deadline.is_over, deadline.interrupted_by, deadline.work_ms())


@must_reach(before_the_reserve=5, within_the_reserve=5)
@given(st.integers(0, 10**7), st.integers(0, 10**7))
def test_work_is_never_negative(remaining_ms: int, reserve_ms: int) -> None:
    """Work time is the remaining time minus the reserve, and at least zero."""
    reached("before_the_reserve", when=remaining_ms > reserve_ms)
    reached("within_the_reserve", when=remaining_ms <= reserve_ms)
    deadline = Deadline(lambda: remaining_ms, reserve_ms)
    assert max(0, remaining_ms - reserve_ms) == deadline.work_ms()
    assert (remaining_ms <= reserve_ms) == deadline.is_over
