"""The command `lockgate new`: writes a new migration file."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from lockgate.errors import LockgateError, SettingInvalid
from lockgate.formats.names import list_formats
from lockgate.formats.native.new_file import Flavour, write_migration
from lockgate.formats.registry import find_tool
from lockgate.terminal.conclude import print_error

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping


def run_new(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Write a new migration file and print its path."""
    flavour = Flavour.REPEATABLE if options.repeatable else Flavour.SQL
    if options.python:
        flavour = Flavour.PYTHON
    try:
        _refuse_other_formats(environment.get("LOCKGATE_FORMAT", ""))
        path = write_migration(
            find_folder(options, environment), options.name, flavour, datetime.now(UTC)
        )
    except LockgateError as error:
        return print_error(error)
    sys.stdout.write(f"{path}\n")
    return 0


def _refuse_other_formats(name: str) -> None:
    """Refuse to write a native file into a folder of a tool that would read it differently."""
    is_known = not name or name in list_formats()
    if not is_known or (name and not find_tool(name).takes_native_files):
        raise SettingInvalid(
            f"LOCKGATE_FORMAT is {name}, and lockgate new writes files in Lockgate's own format.",
            hint=f"Create the file with {name}.",
            setting="LOCKGATE_FORMAT",
        )


def find_folder(options: argparse.Namespace, environment: Mapping[str, str]) -> Path:
    """Return the migrations folder that an option or a setting names."""
    return Path(options.dir or environment.get("LOCKGATE_MIGRATIONS") or "migrations")
