"""Stubs for modules that another module imports but rarely uses.

While `placed_stubs` is active, importing one of the given names returns a stub. A module imported in
that time keeps the stub; every later import gets the real module. `driver` uses it.
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
    """Return a function that imports the real function when it is first called."""

    def call(*arguments: Any, **options: Any) -> Any:
        found = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
        return found(*arguments, **options)  # type: ignore[operator]

    return call


def fetch_others(module: str) -> dict[str, object]:
    """Return a stub's fallback: any other attribute is read from the real module."""
    return {"__getattr__": lambda name: getattr(import_module(module), name)}


@contextmanager
def placed_stubs(modules: Mapping[str, Mapping[str, object]]) -> Iterator[None]:
    """Put stubs in place of modules that are not imported yet."""
    placed = [name for name in modules if name not in sys.modules]
    for name in placed:
        sys.modules[name] = ModuleType(name)
        vars(sys.modules[name]).update(modules[name])
    try:
        yield
    finally:
        for name in placed:
            del sys.modules[name]
