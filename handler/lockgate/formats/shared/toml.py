"""Reads TOML files with the settings of other tools."""

from __future__ import annotations

from typing import Any

from lockgate.formats.shared.scripts import unusable_file

# The standard library needs quadratic time for the parts of a dotted key.
_MAX_DOTS = 200


def read_toml(text: str, path: str) -> dict[str, Any]:
    """Return the content of a file.

    Raises:
        MigrationFileInvalid: it is not TOML, or nested too deeply.
    """
    if any(line.count(".") > _MAX_DOTS for line in text.splitlines()):
        raise unusable_file(
            path, f"has a line with more than {_MAX_DOTS} dots", "Correct the file."
        )
    import tomllib  # 5 ms of a start, and most folders have no such file

    try:
        return tomllib.loads(text)
    except ValueError as error:
        why = f"is not TOML: {error}"
    except (RecursionError, MemoryError):
        why = "is nested too deeply"
    raise unusable_file(path, why, "Correct the file.")


def find_table(tables: dict[str, Any], path: str, *names: str) -> dict[str, Any]:
    """Return the table at a path of names; an empty one if it is missing.

    Raises:
        MigrationFileInvalid: a name on the path is not a table.
    """
    found: object = tables
    for place, name in enumerate(names, start=1):
        found = found.get(name, {}) if isinstance(found, dict) else None
        if not isinstance(found, dict):
            shown = ".".join(names[:place])
            raise unusable_file(path, f"has no table [{shown}]", f"Write it as a table: [{shown}]")
    assert isinstance(found, dict)
    return found
