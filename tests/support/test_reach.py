"""The counting of examples, and its use by every property test."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.support.reach import must_reach, reached

TESTS = Path(__file__).parents[1]
NUMBERS = st.integers(1, 100)
FIXED = settings(derandomize=True, database=None)


def test_test_that_reaches_enough_passes() -> None:
    """A test whose examples reach a name often enough passes."""

    @must_reach(even=25)
    @FIXED
    @given(NUMBERS)
    def check(number: int) -> None:
        reached("even", when=number % 2 == 0)
        reached("even", when=number % 4 == 0)

    check()


def test_test_that_reaches_too_little_fails() -> None:
    """A test that misses its share fails, naming what was missed and how often it was reached."""

    @must_reach(even=25, never=1)
    @FIXED
    @given(NUMBERS)
    def check(number: int) -> None:
        reached("even", when=number % 2 == 0)

    with pytest.raises(AssertionError, match=r"'never' in 0 of \d+ examples, fewer than 1 %$"):
        check()


def test_rejected_examples_do_not_count() -> None:
    """Examples that `assume` rejects do not count."""

    @must_reach(even=100)
    @FIXED
    @given(NUMBERS)
    def check(number: int) -> None:
        assume(number % 2 == 0)
        reached("even")

    check()


def test_failure_of_the_property_itself_is_raised() -> None:
    """A failure of the property itself is raised, not that of the count."""

    @must_reach(even=100)
    @FIXED
    @given(NUMBERS)
    def check(number: int) -> None:
        assert number < 50

    with pytest.raises(AssertionError, match="assert 50 < 50"):
        check()


def test_undeclared_name_is_an_error() -> None:
    """A name that `must_reach` does not declare is an error."""

    @must_reach(even=1)
    @FIXED
    @given(NUMBERS)
    def check(number: int) -> None:
        reached("odd", when=number > 0)

    with pytest.raises(KeyError, match="does not name 'odd', only"):
        check()


def _name(decorator: ast.expr) -> str:
    call = decorator.func if isinstance(decorator, ast.Call) else decorator
    return call.id if isinstance(call, ast.Name) else ""


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(TESTS.rglob("test_*.py")) if "@given" in path.read_text()],
    ids=lambda path: str(path.relative_to(TESTS)),
)
def test_every_property_test_counts_its_examples(path: Path) -> None:
    """Every test with examples from Hypothesis declares what they must reach."""
    silent = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            names = [_name(one) for one in node.decorator_list]
            hypothesis = [
                place for place, name in enumerate(names) if name in {"given", "settings"}
            ]
            if "given" in names and "must_reach" not in names[: hypothesis[0]]:
                silent.append(node.name)
    assert [] == silent
