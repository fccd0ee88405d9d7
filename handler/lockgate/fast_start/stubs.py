"""Stand-ins for modules that another one imports for rare occasions. Knows modules; knows none of them.

While `place_stand_ins` lasts, an import of one of these names finds what is given for it instead.
Whoever was imported meanwhile keeps that; everybody after it finds the real one.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


def import_later(module: str, name: str) -> Callable[..., Any]:
    """Return a function that imports what it calls when it is called."""

    def call(*arguments: Any, **options: Any) -> Any:
        found = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
        return found(*arguments, **options)  # type: ignore[operator]

    return call


def fetch_others(module: str) -> dict[str, object]:
    """Return what makes a stand-in import the module when anything else of it is asked for."""
    return {"__getattr__": lambda name: getattr(import_module(module), name)}


@contextmanager
def place_stand_ins(modules: Mapping[str, Mapping[str, object]]) -> Iterator[None]:
    """Put stand-ins where the modules would be, unless these are there already."""
    placed = [name for name in modules if name not in sys.modules]
    for name in placed:
        sys.modules[name] = ModuleType(name)
        vars(sys.modules[name]).update(modules[name])
    try:
        yield
    finally:
        for name in placed:
            del sys.modules[name]
