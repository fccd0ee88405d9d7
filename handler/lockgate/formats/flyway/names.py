"""Parses Flyway's file names: prefix, version, separator, description, suffix."""

from __future__ import annotations

import re
from enum import StrEnum

from lockgate.core.migration import Version
from lockgate.fast_start.dataclass import dataclass
from lockgate.formats.flyway.table import make_version_text

_VERSION = re.compile(r"[0-9]+(?:[._][0-9]+)*")
# Programs that Flyway would run: Java and related languages, and shell scripts.
PROGRAM_SUFFIXES = (
    ".java", ".class", ".kt", ".groovy", ".scala", ".js", ".py", ".ps1", ".bat", ".cmd", ".sh", ".bash",
)  # fmt: skip
# Events that migrate, its validation or undo raise. The others (clean, repair, info, baseline) belong to
# commands that Lockgate does not replace.
_EVENTS = (
    *(
        f"{when}{event}"
        for event in ("Migrate", "Undo", "Validate", "Connect")
        for when in ("before", "after")
    ),
    *(
        f"{when}Each{event}{part}"
        for event in ("Migrate", "Undo")
        for when, part in (
            ("before", ""),
            ("after", ""),
            ("after", "Error"),
            ("before", "Statement"),
            ("after", "Statement"),
            ("after", "StatementError"),
        )
    ),
    *(f"after{event}Error" for event in ("Migrate", "Undo", "Validate")),
    "afterMigrateApplied",
    "afterMigrateOperationFinish",
    "afterUndoOperationFinish",
    "afterVersioned",
    "beforeRepeatables",
    "beforeCreateSchema",
    "createSchema",
)


class NameKind(StrEnum):
    """How Flyway uses a file."""

    VERSIONED = "versioned"
    UNDO = "undo"
    REPEATABLE = "repeatable"
    BASELINE = "baseline"
    CALLBACK = "callback"


@dataclass(frozen=True, slots=True)
class Name:
    """A parsed name; ``version`` is ``None`` for a repeatable migration and a callback."""

    kind: NameKind
    version: Version | None
    description: str


@dataclass(frozen=True, slots=True)
class NameRules:
    """How names are built: PREFIX VERSION SEPARATOR DESCRIPTION SUFFIX."""

    versioned: str = "V"
    undo: str = "U"
    repeatable: str = "R"
    baseline: str = "B"
    separator: str = "__"
    suffixes: tuple[str, ...] = (".sql",)

    def prefixes(self) -> list[tuple[str, NameKind]]:
        """Return every prefix, the longest first: Flyway tries them in this order."""
        own = [
            (self.versioned, NameKind.VERSIONED),
            (self.undo, NameKind.UNDO),
            (self.baseline, NameKind.BASELINE),
            (self.repeatable, NameKind.REPEATABLE),
        ]
        events = [(event, NameKind.CALLBACK) for event in _EVENTS]
        return sorted(own + events, key=lambda pair: -len(pair[0]))


def parse_name(name: str, rules: NameRules) -> Name | None:
    """Parse a file's name; ``None`` if Flyway would ignore the file.

    ``1.0`` and ``1`` are the same version, and so are ``1_2`` and ``1.2``.
    """
    suffix = next((s for s in rules.suffixes if name.endswith(s)), None)
    return None if suffix is None else parse_stem(name.removesuffix(suffix), rules)


def parse_program(name: str, rules: NameRules) -> Name | None:
    """Parse the name of a program; ``None`` if it is neither a migration nor a callback."""
    stem, dot, suffix = name.rpartition(".")
    return parse_stem(stem, rules) if dot + suffix in PROGRAM_SUFFIXES else None


def parse_stem(stem: str, rules: NameRules) -> Name | None:
    """Parse a name without its suffix."""
    found = next(((p, k) for p, k in rules.prefixes() if stem.startswith(p)), None)
    if found is None:
        return None
    prefix, kind = found
    version, _, description = stem.removeprefix(prefix).partition(rules.separator)
    description = description.replace("_", " ")
    if kind in {NameKind.REPEATABLE, NameKind.CALLBACK}:
        return None if version else Name(kind, None, description)
    if not _VERSION.fullmatch(version):
        return None
    return Name(kind, Version.parse(make_version_text(version)), description)
