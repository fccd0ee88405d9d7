"""The first module of a start. Makes the imports behind it cheap; knows nothing of what they are.

Nothing that an import makes is garbage, and looking for it takes a tenth of the time. `dataclasses`
imports a module, for classes without words of their own, that takes four times as long as itself.
"""

from __future__ import annotations

import gc

from lockgate.stand_in import fetched, stand_ins


def begin() -> None:
    """Prepare for imports; `finish` ends it."""
    gc.disable()
    with stand_ins({"inspect": fetched("inspect")}):
        import dataclasses  # noqa: F401, PLC0415 - for everybody behind


# A folder of ten thousand makes a hundred thousand values that last as long as the run. To look for
# garbage among each 700 new ones, as Python does, takes a tenth of its time.
_NEW_VALUES = 20_000


def finish() -> None:
    """Collect garbage from now on, and do not look through what was imported."""
    gc.freeze()
    gc.set_threshold(_NEW_VALUES)
    gc.enable()


begin()
