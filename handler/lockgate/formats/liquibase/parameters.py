"""Fills in Liquibase's changelog parameters: ``${name}``, from the environment and properties."""

from __future__ import annotations

import re
from dataclasses import field
from typing import TYPE_CHECKING

from lockgate.core.migration import Obstacle
from lockgate.fast_start.dataclass import dataclass
from lockgate.formats.liquibase.text import fill_parameters
from lockgate.formats.shared.scripts import unusable_file

if TYPE_CHECKING:
    from collections.abc import Mapping

DATABASE = "postgresql"
# Java properties, and values that Liquibase reads from the database.
_FOREIGN = re.compile(
    r"(?:database|java|sun|jdk|liquibase)\..+|os\.(?:name|arch|version)|(?:file|path|line)\.separator"
    r"|user\.(?:name|home|dir|language|country|timezone|script|variant)"
    r"|(?:file|native|stdout|stderr|stdin)\.encoding",
    re.IGNORECASE,
)
_NEWLINE = re.compile(r"[\r\n]")


@dataclass(frozen=True, slots=True)
class Filled:
    """A text with its parameters filled in, their values, and the obstacle of the first unusable one."""

    text: str = field(repr=False)
    hidden: tuple[str, ...] = field(repr=False)
    obstacle: Obstacle | None = None


class Parameters:
    """The values for one file. The first value of a name wins; case does not matter.

    The environment takes precedence over the properties of all files so far. A property that is not
    global takes precedence over both, in its own file.
    """

    def __init__(self, everywhere: dict[str, str]) -> None:
        self._everywhere = everywhere
        self._here: dict[str, str] = {}

    @classmethod
    def of(cls, variables: Mapping[str, str]) -> Parameters:
        """Return the values of an environment."""
        return cls({name.lower(): value for name, value in variables.items()})

    def for_file(self) -> Parameters:
        """Return the values for the next file, which shares the global values."""
        return Parameters(self._everywhere)

    def set(self, name: str, value: str, *, is_global: bool = True) -> None:
        """Set a value unless the name already has one."""
        (self._everywhere if is_global else self._here).setdefault(name.lower(), value)

    def read_property(self, line: str, path: str) -> None:
        """Read a ``--property`` line; ignore one for another database."""
        refuse_contexts(_attribute(line, "context(?:Filter)?", r'".*?"|\S*'), path, None)
        dbms = _attribute(line, "dbms", r"[^,][\w!,]+")
        name, value = (_attribute(line, key, r"\S+") for key in (r"name", r"value"))
        if name is None or value is None or not is_for_database(dbms):
            return
        is_global = (_attribute(line, "global", r"\S+") or "true").lower() == "true"
        self.set(self.fill(name), self.fill(value), is_global=is_global)

    def fill(self, text: str) -> str:
        """Return a text with its parameters filled in; one without a value stays as it is."""
        return fill_parameters(text, lambda name, _: self._find(name))

    def fill_script(self, text: str, first_line: int) -> Filled:
        """Return a script's text with its parameters filled in, and the values.

        A parameter is an obstacle if its value has several lines, or if only Liquibase knows it.
        """
        hidden: set[str] = set()
        obstacles: list[Obstacle] = []

        def find(name: str, offset: int) -> str | None:
            found = self._find(name)
            line = first_line + text.count("\n", 0, offset)
            obstacle = _find_obstacle(name, found, line)
            if obstacle is not None:
                obstacles.append(obstacle)
                return None
            hidden.update([found] if found else [])
            return found

        filled = fill_parameters(text, find)
        return Filled(filled, tuple(sorted(hidden)), next(iter(obstacles), None))

    def _find(self, name: str) -> str | None:
        return self._here.get(name.lower(), self._everywhere.get(name.lower()))


def _find_obstacle(name: str, value: str | None, line: int) -> Obstacle | None:
    if _FOREIGN.fullmatch(name):
        return Obstacle(
            f"has the parameter ${{{name}}}, whose value only Liquibase knows",
            "Write the value itself, or a property of your own.",
            line,
        )
    if value is not None and _NEWLINE.search(value):
        return Obstacle(
            f"has the parameter ${{{name}}}, whose value has several lines",
            "Give it a value without line breaks: they would shift the lines of the file.",
            line,
        )
    return None


def is_for_database(definition: str | None) -> bool:
    """Return whether a ``dbms`` attribute allows PostgreSQL: a list of names, all, none, or !name."""
    names = {name.strip().lower() for name in (definition or "").split(",")} - {""}
    if not names or "all" in names:
        return True
    if "none" in names or f"!{DATABASE}" in names:
        return False
    return DATABASE in names or all(name.startswith("!") for name in names)


def refuse_contexts(contexts: str | None, path: str, line: int | None) -> None:
    """Refuse a context that must be requested; like Liquibase without contexts, run all others."""
    if contexts is not None and "@" in contexts:
        raise unusable_file(
            path,
            f"has the context {contexts}, which runs only on request",
            "Lockgate runs everything, like Liquibase without --contexts. Remove the context, or the"
            " changeset.",
            line=line,
        )


def _attribute(line: str, name: str, value: str) -> str | None:
    found = re.fullmatch(rf".*\b{name}:\s*({value}).*", line, re.IGNORECASE)
    return None if found is None else found[1]
