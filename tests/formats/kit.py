"""The table of cases that a tool is tested with: the value ``CASES`` in ``tests/formats/NAME/cases.py``.

`test_tools.py` runs the cases of all tools. What a table cannot express is a test of its own beside it.
In an expected text, ``…`` matches any characters.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lockgate.core.analysis import analyse_script
from lockgate.formats.names import module_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from _typeshed import DataclassInstance

    from lockgate.core.catalog import Order
    from lockgate.core.migration import Migration
    from lockgate.formats.tool import ForeignHistory

    # Text by path; a path that begins with ../ is beside the folder.
    Files = Mapping[str, str]
    Variables = Mapping[str, str]

ABSENT = "(absent)"


# A folder.


@dataclass(frozen=True, slots=True)
class Read:
    """A folder that is read.

    ``expected`` has a column for each attribute that matters: its path, such as ``up.text``, and its
    values, one for each migration in the order in which they run. `look` explains the paths.
    """

    about: str
    files: Files
    expected: Mapping[str, Sequence[object]]
    variables: Variables = field(default_factory=dict)
    order: Order | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """A folder that is refused as a whole; without ``hint``, any hint will do.

    The error's file and line are those in the message; ``column`` is there for an error of Python.
    """

    files: Files
    message: str
    hint: str = "…"
    variables: Variables = field(default_factory=dict)
    column: int | None = None


@dataclass(frozen=True, slots=True)
class NotRun:
    """A folder that can be read, with a script that cannot be run; ``message`` is that of the first."""

    files: Files
    message: str
    variables: Variables = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recognised:
    """A folder, and the sign by which it is recognised as the tool's; ``None`` if it is not."""

    files: Files
    sign: str | None


@dataclass(frozen=True, slots=True)
class Stub:
    """A folder, and the table that is created for its scripts if it is missing; ``None`` if none is.

    ``sql`` is a part of the statements that create it; ``rows`` is how many the scripts leave in it.
    """

    files: Files
    table: str | None
    sql: str = ""
    rows: int = 0


@dataclass(frozen=True, slots=True)
class Checksum:
    """A file of a folder with one migration, its checksum as the tool records it, and others."""

    about: str
    files: Files
    expected: str | None
    accepted: Sequence[str] = ()
    refused: Sequence[str] = ()


# A database.


@dataclass(frozen=True, slots=True)
class History:
    """SQL that fills a database, and the history that is found in it; ``None`` if there is no table."""

    about: str
    setup: str
    expected: ForeignHistory | None


@dataclass(frozen=True, slots=True)
class Adoption:
    """A folder and a database whose history is adopted.

    ``adopted`` lists what is recorded, and ``applied`` what the next run applies after the files
    ``later`` have been added. Or ``refused`` is the message with which nothing is adopted. ``before`` is
    the message of a run that is refused before the database is set up. ``settings`` replace those of the
    test, such as the format.
    """

    about: str
    files: Files
    setup: str
    adopted: Sequence[str] = ()
    applied: Sequence[str] = ()
    later: Files = field(default_factory=dict)
    refused: str | None = None
    before: str | None = None
    settings: Variables = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Place:
    """A folder, and the path of a further file that the reader of the folder opens."""

    files: Files
    path: str


@dataclass(frozen=True, slots=True)
class Table:
    """A tool's history table: its default name, its columns with their types, and a row.

    ``schema`` is the only one in which the tool has its table. ``beside`` are the statements that make
    what else the tool has in a ``{schema}``. ``other`` is a second table, if it is not the same name in
    schema app. The variables ``chosen_by`` choose that table, and so do the files in each of
    ``chosen_in``; their paths begin in ``db/migrate``.
    """

    name: str
    columns: str
    row: str
    schema: str | None = None
    beside: str = ""
    other: str = ""
    chosen_by: Variables = field(default_factory=dict)
    chosen_in: Sequence[Files] = ()

    @property
    def first(self) -> str:
        """The table where the tool creates it."""
        return f"{self.schema or 'public'}.{self.name}"

    @property
    def second(self) -> str:
        """A table that the tool uses if its settings say so."""
        return self.other or f"app.{self.name}"


@dataclass(frozen=True, slots=True)
class Cases:
    """All cases of one tool; ``name`` is that of its format.

    ``example`` is a folder as the tool creates it, with files that projects keep beside migrations.
    """

    name: str
    example: Files
    places: Sequence[Place]
    table: Table | None
    read: Sequence[Read]
    recognised: Sequence[Recognised]
    stubs: Sequence[Stub]
    histories: Sequence[History]
    refused: Sequence[Refused] = ()
    not_run: Sequence[NotRun] = ()
    adoptions: Sequence[Adoption] = ()
    checksums: Sequence[Checksum] = ()


def list_cases() -> list[Cases]:
    """Return the tables of all tools that have one, by name."""
    packages = sorted(path.parent.name for path in Path(__file__).parent.glob("*/cases.py"))
    return [import_module(f"tests.formats.{package}.cases").CASES for package in packages]


def package_of(cases: Cases) -> str:
    """Return the name of a tool's package, which is that of its folder of tests, too."""
    return module_of(cases.name).split(".")[-2]


def describe(case: DataclassInstance) -> str:
    """Return the first text of a case, by which a failure names it: a sentence, a message or a sign."""
    values = [getattr(case, one.name) for one in fields(case)]
    return next((one for one in values if isinstance(one, str)), ", ".join(values[0]))


def look(migration: Migration, path: str) -> Any:
    """Return the attribute at a path; ``up.mode`` and ``down.mode`` are the transaction mode.

    If an attribute before the last one is ``None``, it is `ABSENT`.
    """
    value: Any = migration
    for name in path.split("."):
        if value is None:
            return ABSENT
        value = analyse_script(value).mode if name == "mode" else getattr(value, name)
    return value


def fits(expected: str, found: str) -> bool:
    """Return whether a text is the expected one, in which ``…`` stands for any characters."""
    parts = map(re.escape, expected.split("…"))
    return re.fullmatch(".*".join(parts), found, re.DOTALL) is not None
