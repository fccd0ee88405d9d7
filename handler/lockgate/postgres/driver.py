"""pg8000, imported without what it imports for rare occasions. Knows modules; opens nothing.

pg8000 imports a parser for dates that the server never writes, its SCRAM a reader of certificates for
channel binding, and both the machinery that tells a package's version: together more than pg8000
itself. While it is imported, stand-ins are in the place of those modules; each fetches the real one when
it is called.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager, suppress
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["DatabaseError", "InterfaceError", "core", "legacy"]


def find_version(package: str) -> str:
    """Return the version of a package beside ours, as ``importlib.metadata`` does."""
    start, end = f"{package}-", ".dist-info"
    for folder in sys.path:
        with suppress(OSError):
            for name in os.listdir(folder or "."):  # noqa: PTH208 - quicker by far
                if name.startswith(start) and name.endswith(end):
                    return name.removeprefix(start).removesuffix(end)
    version: str = import_module("importlib.metadata").version(package)
    return version


def _later(module: str, name: str) -> Callable[..., Any]:
    """Return a function that imports what it calls when it is called."""

    def call(*arguments: Any, **options: Any) -> Any:
        found = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
        return found(*arguments, **options)  # type: ignore[operator]

    return call


class _Certificate:
    """asn1crypto's class, as far as scramp uses it."""

    load = staticmethod(_later("asn1crypto.x509", "Certificate.load"))


class _Pem:
    """asn1crypto's module, as far as scramp uses it."""

    unarmor = staticmethod(_later("asn1crypto.pem", "unarmor"))


# What is imported of each: functions, and for the parser the base class of the error that it raises.
_STAND_INS: dict[str, dict[str, object]] = {
    "dateutil.parser": {"parse": _later("dateutil.parser", "parse"), "ParserError": ValueError},
    "asn1crypto": {"pem": _Pem},
    "asn1crypto.x509": {"Certificate": _Certificate},
    "importlib.metadata": {"version": find_version},
}


@contextmanager
def _stand_ins() -> Iterator[None]:
    """Put the stand-ins where the modules would be, unless these are there already."""
    placed = [name for name in _STAND_INS if name not in sys.modules]
    for name in placed:
        sys.modules[name] = ModuleType(name)
        vars(sys.modules[name]).update(_STAND_INS[name])
    try:
        yield
    finally:
        for name in placed:
            del sys.modules[name]


with _stand_ins():
    from pg8000 import core, legacy
    from pg8000.exceptions import DatabaseError, InterfaceError
