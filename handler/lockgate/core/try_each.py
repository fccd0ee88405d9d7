"""Do the same with every file, and report the problems of all of them together."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from lockgate.errors import MigrationFileInvalid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Item = TypeVar("Item")
Result = TypeVar("Result")


def try_each(items: Iterable[Item], act: Callable[[Item], Result]) -> list[Result]:
    """Return the result of each item.

    Raises:
        MigrationFileInvalid: the error of the first item that has one; ``others`` are those after it.
    """
    results: list[Result] = []
    errors: list[MigrationFileInvalid] = []
    try:
        for item in items:
            try:
                results.append(act(item))
            except MigrationFileInvalid as error:
                errors.append(error)
    except MigrationFileInvalid as error:
        # Finding the next item failed.
        errors.append(error)
    if errors:
        errors[0].others = (*errors[0].others, *errors[1:])
        raise errors[0]
    return results
