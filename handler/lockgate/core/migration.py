"""One migration as a value. Knows versions, scripts and options; knows no folder and no server."""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import field
from enum import StrEnum

from lockgate.fast_start.dataclass import dataclass


class Kind(StrEnum):
    """When a migration runs: once, or again whenever its text changes."""

    VERSIONED = "versioned"
    REPEATABLE = "repeatable"


class Language(StrEnum):
    """What a script is written in."""

    SQL = "sql"
    PYTHON = "python"


class Direction(StrEnum):
    """Which of a migration's two scripts is meant."""

    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """A version: the text as it was written, and what it is compared by.

    Where versions are numbers, ``7`` equals ``0007``. Where a tool's order is a list (`Catalog.order`),
    the key is the place in it, and a version read from a database gets its key from the catalog.
    """

    key: tuple[int, ...]
    text: str = field(compare=False)

    def __str__(self) -> str:
        return self.text

    @classmethod
    def parse(cls, text: str) -> Version:
        """Read digits, with dots or underscores between groups.

        Raises:
            ValueError: the text holds anything else.
        """
        if text.isascii() and text.isdigit():
            return cls((int(text),), text)
        if not _VERSION.fullmatch(text):
            raise ValueError(f'"{text}" is no version; a version is digits, such as 20261122093000')
        return cls(tuple(int(part) for part in re.split(r"[._]", text)), text)

    @classmethod
    def stored(cls, text: str) -> Version:
        """Return a version as the history has it; a name that is no number has no key yet."""
        return cls.parse(text) if _VERSION.fullmatch(text) else cls((), text)


_VERSION = re.compile(r"[0-9]+(?:[._][0-9]+)*")


@dataclass(frozen=True, slots=True)
class Options:
    """What a script asks for. ``None`` means "not given"; timeouts are in milliseconds."""

    transaction: bool | None = None
    lock_timeout_ms: int | None = None
    statement_timeout_ms: int | None = None

    def to_json(self) -> str:
        """Return what was given, as the history keeps it beside a down script."""
        return json.dumps({k: v for k, v in dataclasses.asdict(self).items() if v is not None})

    @classmethod
    def from_json(cls, text: str) -> Options:
        """Return what `to_json` made; what a later release added is passed over."""
        known = {field.name for field in dataclasses.fields(cls)}
        return cls(**{k: v for k, v in json.loads(text).items() if k in known})


NO_OPTIONS = Options()
# As the rest of a sentence: how a file of the native format leaves the transaction.
NATIVE_OUTSIDE = "write transaction:false on the marker line"
# Of a tool that sends a file as one message, which is in no transaction if it is one statement.
ALONE_OUTSIDE = "put the statement alone in a file"


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a script cannot be run; one that was applied already is left alone.

    ``why`` completes the sentence that begins with the file. ``is_mistake``: the script was run, and
    did not do what its author meant, so that whoever looks should be warned. ``psql`` is the tool that
    runs the script by psql, which can.
    """

    why: str
    hint: str
    line: int
    is_mistake: bool = False
    psql: str | None = None


@dataclass(frozen=True, slots=True)
class Script:
    """One direction of a migration, verbatim.

    ``first_line`` is the line of ``path`` at which ``text`` begins, from 1. ``checksum`` is that of
    the text (`core.checksum.text_checksum`). ``substituted`` holds the
    text with its variables filled in where the file asked for that; it is what the server gets, and
    it is never shown or stored. ``hidden`` are the values that were filled in: what the server says
    of the script may quote them (`core.failure.mask`). ``obstacle`` refuses a run of the script.
    ``is_empty`` is known of Python alone: the function has nothing in it.
    ``origin`` is where a Python file lies, for code that looks beside itself. ``outside`` is how a
    file of this format says that it runs outside of a transaction, ``None`` where it cannot.
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
        """The text that the server gets."""
        return self.text if self.substituted is None else self.substituted


@dataclass(frozen=True, slots=True)
class Migration:
    """A versioned or repeatable migration. ``version`` is ``None`` for a repeatable one.

    ``empty_down`` is a down script with nothing in it, which is no way back: ``down`` is ``None`` then.
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
        """The migration for people: ``0007 add_orders``, ``R__account_view``."""
        return self.migration_id if self.version is None else f"{self.version} {self.name}".rstrip()

    @property
    def path(self) -> str:
        """Where the file is, relative to the folder that was read."""
        return self.up.path
