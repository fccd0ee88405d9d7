"""The result of a check as a value, and its JSON form ``lockgate/check/v1`` (docs/check.schema.json)."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from lockgate import __version__
from lockgate.fast_start.dataclass import dataclass
from lockgate.report.report import to_plain

if TYPE_CHECKING:
    from lockgate.errors import LockgateError
    from lockgate.report.report import SegmentEntry

FORMAT = "lockgate/check/v1"


class CheckStatus(StrEnum):
    """Whether a run would accept the files."""

    PASSED = "passed"
    REFUSED = "refused"


class WarningCode(StrEnum):
    """What a check warns of. A run would not be refused, or not everywhere."""

    EMPTY_MIGRATION = "empty-migration"
    EMPTY_DOWN = "empty-down"
    UNUSABLE_DOWN = "unusable-down"
    VARIABLE_NOT_SET = "variable-not-set"
    LIBRARY_NOT_INSTALLED = "library-not-installed"


@dataclass(frozen=True, slots=True)
class Problem:
    """A refusal or a warning, and where. ``line`` and ``column`` count from 1 in ``file``."""

    code: str
    message: str
    hint: str | None = None
    file: str | None = None
    line: int | None = None
    column: int | None = None


@dataclass(frozen=True, slots=True)
class CheckedMigration:
    """A migration of the folder."""

    version: str | None
    name: str
    kind: str
    file: str


@dataclass(frozen=True, slots=True)
class Segments:
    """What would share a transaction in a fresh database, and in one that is in use."""

    fresh: tuple[SegmentEntry, ...] = ()
    used: tuple[SegmentEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check found. ``tool`` is the format of the files, ``None`` if it is not known.

    ``migrations`` is empty if a file cannot be read, and ``segments`` if anything is refused.
    """

    folder: str
    tool: str | None = None
    atomicity: str | None = None
    latest: str | None = None
    migrations: tuple[CheckedMigration, ...] = ()
    segments: Segments = Segments()
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()

    @property
    def status(self) -> CheckStatus:
        """Whether a run would accept the files."""
        return CheckStatus.REFUSED if self.problems else CheckStatus.PASSED

    def to_json(self) -> dict[str, Any]:
        """Return the JSON value: keys in a fixed order, and every entry of each list."""
        head = {"format": FORMAT, "lockgate_version": __version__, "status": self.status}
        content: dict[str, Any] = to_plain(self)
        return {**head, **content}


def describe_problem(error: LockgateError, code: str | None = None) -> Problem:
    """Return an error as a problem; ``code`` replaces its own."""
    return Problem(
        code=code or error.code,
        message=error.message,
        hint=error.hint,
        file=getattr(error, "file", None),
        line=getattr(error, "line", None),
        column=getattr(error, "column", None),
    )
