"""What is left of an invocation, and of that for work."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.support.lambda_context import LambdaContext
from tests.support.reach import must_reach, reached

from lockgate.core.deadline import Deadline


def test_work_ends_where_the_reserve_begins() -> None:
    """The reserve is no time for work, and what is left is told until the end."""
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
    """One millisecond more than the reserve is not over yet."""
    assert not Deadline(lambda: 20_001, 20_000).is_over
    assert Deadline(lambda: 20_000, 20_000).is_over


def test_terminal_has_no_deadline() -> None:
    """Without a kill to come nothing is ever over."""
    deadline = Deadline(None, 20_000)
    assert (None, None, False) == (deadline.remaining_ms(), deadline.work_ms(), deadline.is_over)


def test_interrupt_ends_work_at_once() -> None:
    """Who interrupted is kept for the report; the time that is left stays what it is."""
    deadline = Deadline(None, 20_000)
    deadline.interrupt("Ctrl-C")
    assert (True, "Ctrl-C", None) == (deadline.is_over, deadline.interrupted_by, deadline.work_ms())


@must_reach(before_the_reserve=5, within_the_reserve=5)
@given(st.integers(0, 10**7), st.integers(0, 10**7))
def test_work_is_never_negative(remaining_ms: int, reserve_ms: int) -> None:
    """Whatever is left, work gets that less the reserve, or nothing."""
    reached("before_the_reserve", when=remaining_ms > reserve_ms)
    reached("within_the_reserve", when=remaining_ms <= reserve_ms)
    deadline = Deadline(lambda: remaining_ms, reserve_ms)
    assert max(0, remaining_ms - reserve_ms) == deadline.work_ms()
    assert (remaining_ms <= reserve_ms) == deadline.is_over
