"""The tools that the proofs compare Lockgate with: a module for each, with its ``TOOL``."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.proofs.kit import Tool

TOOLS: list[Tool] = [
    import_module(f"{__name__}.{module.name}").TOOL for module in pkgutil.iter_modules(__path__)
]
