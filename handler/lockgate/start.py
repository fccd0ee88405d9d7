"""The first module of a start. Makes the imports behind it cheap; knows nothing of what they are.

Nothing that an import makes is garbage, and looking for it takes a tenth of the time.
"""

from __future__ import annotations

import gc


def begin() -> None:
    """Prepare for imports; `finish` ends it."""
    gc.disable()


def finish() -> None:
    """Collect garbage from now on, and do not look through what was imported."""
    gc.freeze()
    gc.enable()


begin()
