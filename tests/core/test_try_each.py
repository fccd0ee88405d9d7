"""The problems of all files are reported together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lockgate.core.try_each import try_each
from lockgate.errors import MigrationFileInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator


def halve(number: int) -> int:
    """Return the half of an even number; refuse an odd one."""
    if number % 2:
        raise MigrationFileInvalid(f"{number} is odd.")
    return number // 2


def test_results_are_in_order() -> None:
    """Without a problem, the results are those of the items, in their order."""
    assert [2, 1, 3] == try_each([4, 2, 6], halve)


def test_first_error_has_those_of_the_other_items() -> None:
    """The first error is raised, with those of the items after it."""
    with pytest.raises(MigrationFileInvalid) as raised:
        try_each([2, 1, 4, 3, 5], halve)
    assert "1 is odd." == raised.value.message
    assert ["3 is odd.", "5 is odd."] == [error.message for error in raised.value.others]


def test_error_of_the_listing_does_not_hide_an_earlier_one() -> None:
    """If finding the next item fails, the errors before it are still reported, and first."""

    def count() -> Iterator[int]:
        yield from (1, 2)
        raise MigrationFileInvalid("There is no next number.")

    with pytest.raises(MigrationFileInvalid) as raised:
        try_each(count(), halve)
    errors = [raised.value, *raised.value.others]
    assert ["1 is odd.", "There is no next number."] == [error.message for error in errors]
