"""pg8000, imported without what it imports for rare occasions. Knows modules; opens nothing.

pg8000 imports a parser for dates that the server never writes, its SCRAM a reader of certificates for
channel binding, and both the machinery that tells a package's version; for the type of a uuid it asks
what the platform is: together more than pg8000 itself.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from importlib import import_module

from lockgate.fast_start.stubs import fetch_others, import_later, place_stand_ins

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


def _find_system() -> str:
    """Return the name of the operating system, as ``platform`` does."""
    if hasattr(os, "uname"):
        return os.uname().sysname
    system: str = import_module("platform").system()
    return system


class _Certificate:
    """asn1crypto's class, as far as scramp uses it."""

    load = staticmethod(import_later("asn1crypto.x509", "Certificate.load"))


class _Pem:
    """asn1crypto's module, as far as scramp uses it."""

    unarmor = staticmethod(import_later("asn1crypto.pem", "unarmor"))


# What is imported of each: functions, and for the parser the base class of the error that it raises.
_STAND_INS: dict[str, dict[str, object]] = {
    "dateutil.parser": {
        "parse": import_later("dateutil.parser", "parse"),
        "ParserError": ValueError,
    },
    "asn1crypto": {"pem": _Pem},
    "asn1crypto.x509": {"Certificate": _Certificate},
    "importlib.metadata": {"version": find_version},
    # `uuid` asks for its name alone, which elsewhere takes more than the system to tell.
    "platform": {"system": _find_system, **fetch_others("platform")},
}


with place_stand_ins(_STAND_INS):
    from pg8000 import core, legacy
    from pg8000.exceptions import DatabaseError, InterfaceError
