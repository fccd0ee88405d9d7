"""What makes a start cheap: the collector rests."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

from lockgate.fast_start import start

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Leave the collector of this process as it was."""
    yield
    gc.unfreeze()
    gc.enable()


def test_garbage_is_collected_again_after_the_imports() -> None:
    """The collector rests while modules are imported, and no longer."""
    start.begin()
    during = gc.isenabled()
    start.finish()

    assert (False, True) == (during, gc.isenabled())
    assert gc.get_freeze_count() > 0
