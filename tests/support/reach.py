"""The share of a property test's examples that reach the code it guards.

A property holds for any example that does nothing. So each property test declares what its examples must
do, and in at least what percentage of them::

    @must_reach(refused=10, split=20)
    @given(TEXTS)
    def test_any_text_is_split_or_refused(text: str) -> None:
        reached("split", when=is_split(text))

Use at most half of the measured share: examples are random. ``LOCKGATE_TEST_SHOW_REACH=1`` with
pytest's ``-s`` prints the shares.
"""

from __future__ import annotations

import functools
import os
from collections import Counter
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Test = TypeVar("Test", bound="Callable[..., Any]")

_SHOW_VARIABLE = "LOCKGATE_TEST_SHOW_REACH"
_MOST_ROUNDS = 10


@dataclass(slots=True)
class Tally:
    """Counts examples, and for each name the examples that reached it.

    ``least`` is the required share for each name, in per cent.
    """

    least: Mapping[str, float]
    examples: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    _here: set[str] = field(default_factory=set)

    def begin(self) -> None:
        """Begin an example."""
        self._here = set()

    def reach(self, name: str) -> None:
        """Record that the current example reached this; repeated calls count once.

        Raises:
            KeyError: `must_reach` does not declare this name.
        """
        if name not in self.least:
            raise KeyError(f"must_reach does not name {name!r}, only {sorted(self.least)}")
        self._here.add(name)

    def end(self) -> None:
        """Count an example that passed."""
        self.examples += 1
        self.counts.update(self._here)

    def share(self, name: str) -> float:
        """Return the share of examples that reached this, in per cent."""
        return 100 * self.counts[name] / self.examples if self.examples else 0.0

    def check(self) -> None:
        """Check that every name was reached in enough examples.

        Raises:
            AssertionError: a name was reached in too few.
        """
        if os.environ.get(_SHOW_VARIABLE):
            print(*(f"{name} {self.share(name):.0f} %" for name in self.least), sep=", ")  # noqa: T201 - requested
        missed = self.find_missed()
        assert not missed, f"the property reaches {'; '.join(missed)}"

    def find_missed(self) -> list[str]:
        """Return the names that were reached in too few examples, with their counts."""
        return [
            f"{name!r} in {self.counts[name]} of {self.examples} examples, fewer than {least:g} %"
            for name, least in self.least.items()
            if self.share(name) < least
        ]


_current: ContextVar[Tally] = ContextVar("tally")


def reached(name: str, *, when: object = True) -> None:
    """If ``when`` is true, record that the current example reached this."""
    if when:
        _current.get().reach(name)


def must_reach(**least: float) -> Callable[[Test], Test]:
    """Fail a Hypothesis test if too few of its examples reach these names; goes above `given`.

    Examples that `assume` rejects do not count.
    """

    def decorate(test: Test) -> Test:
        handle: Any = test.hypothesis  # type: ignore[attr-defined]
        handle.inner_test = _count(handle.inner_test)

        @functools.wraps(test)
        def run(*args: Any, **kwargs: Any) -> None:
            tally = Tally(least)
            token = _current.set(tally)
            try:
                # A share of few examples varies. If one is missed, more examples decide.
                for _ in range(_MOST_ROUNDS):
                    test(*args, **kwargs)
                    if not tally.find_missed():
                        break
            finally:
                _current.reset(token)
            tally.check()

        return run  # type: ignore[return-value]

    return decorate


def _count(inner: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(inner)
    def example(*args: Any, **kwargs: Any) -> None:
        tally = _current.get()
        tally.begin()
        inner(*args, **kwargs)
        tally.end()

    return example
