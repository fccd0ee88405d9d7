"""Fills in the variables in a line of a goose file, after ``-- +goose ENVSUB ON``.

They are ``$name``, ``${name}``, ``${name:-default}``, ``${name-default}`` and ``${name?message}``. Any
other dollar sign that goose's library would interpret is refused.
"""

from __future__ import annotations

import re
from dataclasses import field
from typing import TYPE_CHECKING

from lockgate.fast_start.dataclass import dataclass
from lockgate.formats.shared.scripts import unusable_file
from lockgate.formats.shared.unset_variable import describe_unset, is_withheld

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lockgate.errors import MigrationFileInvalid

_NAME = r"[^\W\d_]\w*"
_DOLLAR = re.compile(
    rf"""
      \\\\ | \$\( | \$\Z
    | \$ (?P<bare> {_NAME} )
    | \$\{{ (?P<name> {_NAME} ) (?: (?P<operator> :- | - | \? ) (?P<word> [^}}$\\]* ) )? \}}
    | (?P<unknown> \\\$ | \$ )
    """,
    re.VERBOSE,
)
_NEWLINE = re.compile(r"[\r\n]")


@dataclass(frozen=True, slots=True)
class Filled:
    """A line with its variables filled in, and the values that came from outside the file."""

    text: str = field(repr=False)
    hidden: frozenset[str] = field(repr=False)


def fill_line(text: str, variables: Mapping[str, str], *, path: str, line: int) -> Filled:
    """Return the line with its variables filled in.

    A variable that is not set is refused. To goose it is empty, which would change the statement.

    Raises:
        MigrationFileInvalid: a variable is not set and has no default, its value has several lines,
            or a dollar sign is neither part of a variable nor the last character.
    """
    hidden: set[str] = set()

    def value(match: re.Match[str]) -> str:
        if match["unknown"] is not None:
            raise _refuse_dollar(path, line)
        name = match["bare"] or match["name"]
        if name is None:
            return match[0]
        found = _find_value(match, name, variables)
        if found is None:
            why, hint = describe_unset(name, f"${{{name}:-a default}}")
            raise unusable_file(
                path,
                f"needs the variable {name}, which {why}",
                hint,
                line=line,
                variable=None if is_withheld(name) else name,
            )
        if found and found == variables.get(name):
            hidden.add(found)
        if _NEWLINE.search(found):
            raise unusable_file(
                path,
                f"needs the variable {name}, whose value has several lines",
                f"Give {name} a value without line breaks: they would shift the lines of the file.",
                line=line,
            )
        return found

    return Filled(_DOLLAR.sub(value, text), frozenset(hidden))


def _find_value(match: re.Match[str], name: str, variables: Mapping[str, str]) -> str | None:
    found = variables.get(name)
    is_missing = not found if match["operator"] == ":-" else found is None
    if is_missing and match["operator"] in {":-", "-"}:
        return match["word"] or ""
    return found


def _refuse_dollar(path: str, line: int) -> MigrationFileInvalid:
    return unusable_file(
        path,
        "has a dollar sign that goose would read as a variable or an escape",
        "Put -- +goose ENVSUB OFF above the line, and ENVSUB ON below it.",
        line=line,
    )
