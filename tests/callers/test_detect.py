"""Events are told apart by the sign that each caller leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lockgate.callers.detect import CallerKind, detect_caller

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cloudformation_create", CallerKind.CLOUDFORMATION),
        ("cloudformation_update", CallerKind.CLOUDFORMATION),
        ("cloudformation_delete", CallerKind.CLOUDFORMATION),
        ("direct_up", CallerKind.DIRECT),
        ("console_default", CallerKind.DIRECT),
        ("codepipeline", CallerKind.CODEPIPELINE),
        ("codedeploy", CallerKind.CODEDEPLOY),
        ("terraform_crud", CallerKind.TERRAFORM),
    ],
)
def test_stored_event_is_told_apart(
    read_event: Callable[[str], Any], name: str, expected: CallerKind
) -> None:
    """CloudFormation has both its signs; all else is for the direct caller to read or refuse."""
    assert expected is detect_caller(read_event(name))


@pytest.mark.parametrize("event", [None, {}, [], "x", 5, {"RequestType": "Create"}, {"StackId": 1}])
def test_anything_else_is_direct(event: object) -> None:
    """No event is without a caller, whatever its type."""
    assert CallerKind.DIRECT is detect_caller(event)
