"""Imports pg8000 without the modules that it needs only in rare cases.

pg8000 imports a parser for date formats that the server never sends. Its SCRAM library imports a reader
of certificates for channel binding. Both import the machinery that finds a package's version. For uuid
values, Python asks for the name of the platform. Together these take longer than pg8000 itself:
``docs/cold-start.md`` has the gain.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from importlib import import_module

from lockgate.fast_start.stubs import fetch_others, import_later, placed_stubs

__all__ = ["DatabaseError", "InterfaceError", "core", "legacy"]


def find_version(package: str) -> str:
    """Return the version of an installed package, as ``importlib.metadata`` does."""
    start, end = f"{package}-", ".dist-info"
    for folder in sys.path:
        with suppress(OSError):
            for name in os.listdir(folder or "."):  # noqa: PTH208 - pathlib takes far longer
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
    """The part of asn1crypto's class that scramp uses."""

    load = staticmethod(import_later("asn1crypto.x509", "Certificate.load"))


class _Pem:
    """The part of asn1crypto's module that scramp uses."""

    unarmor = staticmethod(import_later("asn1crypto.pem", "unarmor"))


# The names that are imported from each module.
_STUBS: dict[str, dict[str, object]] = {
    "dateutil.parser": {
        "parse": import_later("dateutil.parser", "parse"),
        "ParserError": ValueError,
    },
    "asn1crypto": {"pem": _Pem},
    "asn1crypto.x509": {"Certificate": _Certificate},
    "importlib.metadata": {"version": find_version},
    # `uuid` only needs the system's name.
    "platform": {"system": _find_system, **fetch_others("platform")},
}


with placed_stubs(_STUBS):
    from pg8000 import core, legacy
    from pg8000.exceptions import DatabaseError, InterfaceError
