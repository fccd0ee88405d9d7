"""A migration as a value: its version, scripts and options."""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import field
from enum import StrEnum

from lockgate.fast_start.dataclass import dataclass


class Kind(StrEnum):
    """How often a migration runs: once, or again after each change."""

    VERSIONED = "versioned"
    REPEATABLE = "repeatable"


class Language(StrEnum):
    """What a script is written in."""

    SQL = "sql"
    PYTHON = "python"


class Direction(StrEnum):
    """One of the two scripts of a migration."""

    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """A version: its text and the key by which it is compared.

    If versions are numbers, ``7`` equals ``0007``. If a tool's order is a list (`Catalog.order`), the
    key is the place in it, and a version read from a database gets its key from the catalog.
    """

    key: tuple[int, ...]
    text: str = field(compare=False)

    def __str__(self) -> str:
        return self.text

    @classmethod
    def parse(cls, text: str) -> Version:
        """Read digits, with dots or underscores between groups.

        Raises:
            ValueError: the text contains anything else.
        """
        if text.isascii() and text.isdigit():
            return cls((int(text),), text)
        if not _VERSION.fullmatch(text):
            raise ValueError(
                f'"{text}" is not a version; a version is digits, such as 20261122093000'
            )
        return cls(tuple(int(part) for part in re.split(r"[._]", text)), text)

    @classmethod
    def stored(cls, text: str) -> Version:
        """Return a version from the history; one that is not a number has no key yet."""
        return cls.parse(text) if _VERSION.fullmatch(text) else cls((), text)


_VERSION = re.compile(r"[0-9]+(?:[._][0-9]+)*")


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a script. ``None`` means "not given"; timeouts are in milliseconds."""

    transaction: bool | None = None
    lock_timeout_ms: int | None = None
    statement_timeout_ms: int | None = None

    def to_json(self) -> str:
        """Return the given options as JSON, which the history stores with a down script."""
        return json.dumps({k: v for k, v in dataclasses.asdict(self).items() if v is not None})

    @classmethod
    def from_json(cls, text: str) -> Options:
        """Read the result of `to_json`; options added by later releases are ignored."""
        known = {field.name for field in dataclasses.fields(cls)}
        return cls(**{k: v for k, v in json.loads(text).items() if k in known})


NO_OPTIONS = Options()
# As the rest of a sentence: how to run a native file outside a transaction.
NATIVE_OUTSIDE = "write transaction:false on the marker line"
# For a tool that sends a file as one message, where a single statement runs outside a transaction.
ALONE_OUTSIDE = "put the statement alone in a file"


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a script cannot be run. It does not matter for applied migrations.

    ``why`` completes a sentence that begins with the file. ``is_mistake``: if the script was applied,
    it did not do what its author meant, which calls for a warning. ``psql`` is the tool that runs such
    scripts with psql. ``variable`` is the environment variable, and ``library`` the Python library, that
    the script lacks in this environment and may have in another.
    """

    why: str
    hint: str
    line: int
    is_mistake: bool = False
    psql: str | None = None
    variable: str | None = None
    library: str | None = None


@dataclass(frozen=True, slots=True)
class Script:
    """One direction of a migration, verbatim.

    ``first_line`` is the line of ``path`` where ``text`` begins, from 1. ``checksum`` is that of the
    text (`core.checksum.text_checksum`). ``substituted`` is the text with its variables substituted, if
    the file asks for it; it is sent to the server, and never shown or stored. ``hidden`` are the
    substituted values, which the server's errors may quote (`core.failure.mask`). ``obstacle`` is why
    the script cannot be run. ``is_empty`` is set for Python only: the function is empty. ``origin`` is
    the location of a Python file, for code that reads files next to it. ``outside`` is how a file of
    this format is made to run outside a transaction, ``None`` if it cannot.
    """

    text: str
    path: str
    first_line: int
    language: Language
    options: Options
    checksum: str
    substituted: str | None = field(default=None, repr=False)
    hidden: tuple[str, ...] = field(default=(), repr=False)
    obstacle: Obstacle | None = None
    is_empty: bool = False
    origin: str | None = field(default=None, repr=False, compare=False)
    outside: str | None = field(default=NATIVE_OUTSIDE, repr=False, compare=False)

    @property
    def sql(self) -> str:
        """The text that is sent to the server."""
        return self.text if self.substituted is None else self.substituted


@dataclass(frozen=True, slots=True)
class Migration:
    """A versioned or repeatable migration. ``version`` is ``None`` for a repeatable one.

    ``empty_down`` is an empty down script, which cannot undo anything: ``down`` is then ``None``.
    """

    version: Version | None
    name: str
    kind: Kind
    up: Script
    down: Script | None
    empty_down: Script | None = None

    @property
    def migration_id(self) -> str:
        """The key in the history: the version's text, or ``R__name``."""
        return f"R__{self.name}" if self.version is None else self.version.text

    @property
    def label(self) -> str:
        """The migration's name for people: ``0007 add_orders``, ``R__account_view``."""
        return self.migration_id if self.version is None else f"{self.version} {self.name}".rstrip()

    @property
    def path(self) -> str:
        """The file's path, relative to the folder that was read."""
        return self.up.path
