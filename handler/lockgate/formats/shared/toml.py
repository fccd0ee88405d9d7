"""TOML files of other tools' settings. Knows no tool's keys."""

from __future__ import annotations

from typing import Any

from lockgate.formats.shared.scripts import unusable_file

# The standard library takes a time that grows with the square of the parts of a dotted key.
_MOST_DOTS = 200


def read_toml(text: str, path: str) -> dict[str, Any]:
    """Return the tables of a file.

    Raises:
        MigrationFileInvalid: it is not TOML, or nested too deeply.
    """
    if any(line.count(".") > _MOST_DOTS for line in text.splitlines()):
        raise unusable_file(
            path, f"has a line with more than {_MOST_DOTS} dots", "Correct the file."
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
    """Return the table under some names, each in the one before; an empty one where there is none.

    Raises:
        MigrationFileInvalid: there is something else under one of the names.
    """
    found: object = tables
    for place, name in enumerate(names, start=1):
        found = found.get(name, {}) if isinstance(found, dict) else None
        if not isinstance(found, dict):
            shown = ".".join(names[:place])
            raise unusable_file(path, f"has no table [{shown}]", f"Write it as a table: [{shown}]")
    assert isinstance(found, dict)
    return found
