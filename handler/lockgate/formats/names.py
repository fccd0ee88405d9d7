"""The names of the formats: one per package of a tool. Imports none of these packages."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from lockgate import formats

DEFAULT_FORMAT: Final = "lockgate"
AUTO_FORMAT: Final = "auto"
_NATIVE: Final = "native"
_MODULE: Final = "tool"


def list_tools() -> tuple[str, ...]:
    """Return the names of the tools whose folders and history tables can be read, sorted."""
    return tuple(sorted(name.replace("_", "-") for name in _list_packages() - {_NATIVE}))


def list_formats() -> tuple[str, ...]:
    """Return the native format's name and those of the tools."""
    return (DEFAULT_FORMAT, *list_tools())


def module_of(name: str) -> str:
    """Return the module that defines the tool of a name."""
    package = _NATIVE if name == DEFAULT_FORMAT else name.replace("-", "_")
    return f"{formats.__name__}.{package}.{_MODULE}"


def _list_packages() -> set[str]:
    found = (file for place in formats.__path__ for file in Path(place).glob(f"*/{_MODULE}.py"))
    return {file.parent.name for file in found}
