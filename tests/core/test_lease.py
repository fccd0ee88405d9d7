"""The duration of a lease, and the pauses while waiting for a lock."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.reach import must_reach, reached

from lockgate.core.lease import (
    LEASE_MARGIN_MS,
    TERMINAL_LEASE_MS,
    Terms,
    lease_for,
    poll_pause,
)
from lockgate.core.request import Action, Caller, Request


@pytest.mark.parametrize(("remaining_ms", "lease_ms"), [(0, 30_000), (900_000, 930_000)])
def test_lease_outlives_the_invocation(remaining_ms: int, lease_ms: int) -> None:
    """A lease is the remaining time plus a margin, even if no time remains."""
    assert lease_ms == lease_for(remaining_ms)
    assert LEASE_MARGIN_MS == lease_for(0)


def test_lease_without_a_deadline_is_the_terminals() -> None:
    """A run in a terminal has no deadline and gets the terminal's lease."""
    assert TERMINAL_LEASE_MS == lease_for(None)


@pytest.mark.parametrize(
    ("attempt", "jitter", "seconds"),
    [(0, 1.0, 0.05), (0, 0.0, 0.0375), (1, 1.0, 0.075), (6, 1.0, 0.570), (8, 1.0, 0.9)],
)
def test_poll_pauses_grow(attempt: int, jitter: float, seconds: float) -> None:
    """Each pause is 1.5 times the previous one, up to less than a second."""
    assert seconds == pytest.approx(poll_pause(attempt, jitter), abs=0.001)


@must_reach(growing=2, longest=20)
@given(
    st.one_of(st.integers(0, 12), st.integers(min_value=0, max_value=100_000)),
    st.floats(min_value=0, max_value=1),
)
def test_poll_pause_is_never_long_and_never_nothing(attempt: int, jitter: float) -> None:
    """A pause is between 30 ms and 0.9 s, however many polls came before."""
    reached("growing", when=attempt < 6)
    reached("longest", when=attempt > 10)
    assert 0.03 <= poll_pause(attempt, jitter) <= 0.9


@must_reach(many=50)
@given(st.integers(min_value=1, max_value=1_000), st.integers(min_value=0, max_value=100))
def test_polls_of_all_runs_together_stay_few(runs: int, attempt: int) -> None:
    """Many waiting runs together poll the server at most 100 times a second."""
    reached("many", when=runs > 90)
    assert runs / poll_pause(attempt + 10, 0.5, runs) <= 100


@must_reach(several=20, beyond_ascii=20)
@given(st.dictionaries(st.text(), st.text()))
def test_reference_is_json(reference: dict[str, str]) -> None:
    """The caller's reference survives the round trip through JSON."""
    request = Request(Action.UP, Caller("test", reference))
    reached("several", when=len(reference) > 1)
    reached("beyond_ascii", when=not "".join([*reference, *reference.values()]).isascii())
    assert reference == json.loads(Terms("run", request, 1, "0").reference_json)
