"""The garbage collector is paused during imports."""

from __future__ import annotations

import gc
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from lockgate.fast_start.garbage import pause_collection, resume_collection

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Restore this process's collector after the test."""
    threshold = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*threshold)
    gc.enable()


def test_garbage_is_collected_again_after_the_imports() -> None:
    """The collector is paused during imports and enabled afterwards."""
    pause_collection()
    during = gc.isenabled()
    resume_collection()

    assert (False, True) == (during, gc.isenabled())
    assert gc.get_freeze_count() > 0


def test_importing_a_module_pauses_nothing() -> None:
    """Importing a module does not pause the collector; only entry points do."""
    program = (
        "import gc; before = gc.get_threshold();"
        " import lockgate.fast_start.garbage, lockgate.__main__, lockgate.terminal.cli;"
        " print(gc.isenabled(), gc.get_threshold() == before, gc.get_freeze_count())"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stdout == "True True 0\n"
