"""Pauses the garbage collector while modules are imported.

Nothing that an import creates is garbage. ``docs/cold-start.md`` has the gain.
"""

from __future__ import annotations

import gc

# 10,000 migrations make 100,000 values that live as long as the run. With Python's own threshold, the
# collector would take a tenth of the run to find that none of them is garbage.
_NEW_OBJECTS = 20_000


def pause_collection() -> None:
    """Stop the collector until `resume_collection`."""
    gc.disable()


def resume_collection() -> None:
    """Start the collector again, and exclude what was imported from its work."""
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS)
    gc.enable()
