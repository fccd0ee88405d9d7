"""The first module of a start. Makes the imports behind it cheap; knows nothing of what they are.

Nothing that an import makes is garbage, and looking for it takes a tenth of the time. `dataclasses`
imports a module for next to nothing, which takes four times as long as itself.
"""

from __future__ import annotations

import gc

from lockgate.fast_start.stubs import fetch_others, place_stand_ins


def _get_annotations(cls: type) -> dict[str, object]:
    """Return what ``inspect.get_annotations`` does of a class, which Python 3.12 and 3.13 ask it for."""
    return dict(vars(cls).get("__annotations__", {}))


def begin() -> None:
    """Prepare for imports; `finish` ends it."""
    gc.disable()
    inspect = {"get_annotations": _get_annotations, **fetch_others("inspect")}
    with place_stand_ins({"inspect": inspect}):
        import dataclasses  # noqa: F401, PLC0415 - for everybody behind


# A folder of ten thousand makes a hundred thousand values that last as long as the run. To look for
# garbage among them as often as Python does by itself takes a tenth of the time.
_NEW_VALUES = 20_000


def finish() -> None:
    """Collect garbage from now on, and do not look through what was imported."""
    gc.freeze()
    gc.set_threshold(_NEW_VALUES)
    gc.enable()


begin()
