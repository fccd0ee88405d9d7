"""Drift: applied migrations whose files were edited or are missing."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from lockgate.core.history import Applied, History, State
from lockgate.core.migration import Direction, Kind, Language, Migration, Version
from lockgate.core.token_checksum import find_token_checksum
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lockgate.core.catalog import Catalog


class Severity(StrEnum):
    """A warning lets the run continue; an error refuses it."""

    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Drift:
    """A script of an applied migration that was edited or is missing (``actual`` is ``None``).

    ``is_older``: the files are from an older package, so a newer one may have made the edit.
    """

    version: str | None
    label: str
    name: str
    file: str | None
    recorded: str
    actual: str | None
    severity: Severity
    direction: Direction = Direction.UP
    is_older: bool = False
    is_partial: bool = False

    @property
    def is_warning(self) -> bool:
        """True if the run may continue."""
        return self.severity is Severity.WARNING

    def describe(self) -> str:
        """Describe what happened and where, in one or two sentences."""
        if self.file is None:
            return (
                f"Migration {self.label} was applied, and its file is missing."
                f" History has {_short(self.recorded)}."
            )
        what = "was edited" if self.severity is Severity.ERROR else "was edited in layout only"
        subject = "Migration"
        if self.direction is Direction.DOWN:
            what = "was edited" if self.actual is not None else "was taken out"
            subject = "The down script of migration"
        if self.is_older:
            return (
                f"Migration {self.label} differs from what was applied; the database is ahead"
                f" of this package, so the file may be older. {self.file}: history has"
                f" {_short(self.recorded)}, the file has {_short(self.actual or '')}."
            )
        now = "" if self.actual is None else f", the file has {_short(self.actual)}"
        return (
            f"{subject} {self.label} {what} after it was applied."
            f" {self.file}: history has {_short(self.recorded)}{now}."
        )


def _short(checksum: str) -> str:
    algorithm, _, digest = checksum.partition(":")
    return f"{algorithm}:{digest[:12]}…"


def find_ahead(catalog: Catalog, history: History) -> tuple[Applied, ...]:
    """Return the rows that are ahead: applied by a newer package, with no file here.

    A version above the catalog's latest is ahead. So is a lower one that was applied by a later run
    than everything in the catalog: a newer package applied it out of order. Repeatables without a
    file are ahead too: their file may be removed at any time.
    """
    known = [row.token for row in history.rows if _find_file(catalog, row) is not None]
    last_known, latest = max(known, default=0), catalog.latest
    return tuple(
        row
        for row in history.rows
        if _find_file(catalog, row) is None and _is_ahead(row, latest, last_known)
    )


def _is_ahead(row: Applied, latest: Version | None, last_known_token: int) -> bool:
    if row.version is None or latest is None:
        return True
    return row.version > latest or row.token > last_known_token


def _find_file(catalog: Catalog, row: Applied) -> Migration | None:
    if row.version is not None:
        return catalog.by_version.get(row.version)
    return catalog.by_id.get(row.migration_id)


def find_drift(
    catalog: Catalog, history: History, ahead: tuple[Applied, ...], *, is_older: bool = False
) -> tuple[Drift, ...]:
    """Return every applied versioned migration whose file is missing or was edited.

    An edited down script is only a warning, because the stored one is used. So is an edit if the
    package ``is_older`` than the database: a newer package may have edited and accepted the file, and
    a stack that rolls back to this package must not fail because of it.
    """
    ahead_ids = {row.migration_id for row in ahead}
    return tuple(
        drift
        for row in history.rows
        if row.kind is Kind.VERSIONED and row.migration_id not in ahead_ids
        for drift in _compare(row, _find_file(catalog, row), is_older=is_older)
    )


def _compare(row: Applied, migration: Migration | None, *, is_older: bool) -> Iterator[Drift]:
    # The file of a failed migration may be fixed; the part already done is checked on resume.
    if migration is not None and row.state is State.PARTIAL:
        return
    if migration is None or row.checksum != migration.up.checksum:
        severity = _severity(row, migration)
        is_allowed = is_older and migration is not None and severity is Severity.ERROR
        yield Drift(
            version=None if row.version is None else row.version.text,
            label=row.label,
            name=row.name,
            file=None if migration is None else migration.path,
            recorded=row.checksum,
            actual=None if migration is None else migration.up.checksum,
            severity=Severity.WARNING if is_allowed else severity,
            is_older=is_allowed,
        )
    if migration is not None:
        yield from _compare_down(row, migration)


def _compare_down(row: Applied, migration: Migration) -> Iterator[Drift]:
    """Yield an edit of the down script; a Python file has a single text, which was compared."""
    actual = None if migration.down is None else migration.down.checksum
    empty = migration.empty_down
    if row.down_checksum is None or row.down_checksum == actual:
        return
    # An earlier release stored empty down scripts.
    if empty is not None and row.down_checksum == empty.checksum:
        return
    if migration.up.language is not Language.SQL:
        return
    yield Drift(
        version=None if row.version is None else row.version.text,
        label=row.label,
        name=row.name,
        file=migration.path,
        recorded=row.down_checksum,
        actual=actual,
        severity=Severity.WARNING,
        direction=Direction.DOWN,
    )


def _severity(row: Applied, migration: Migration | None) -> Severity:
    if migration is None or migration.up.language is not Language.SQL or row.token_checksum is None:
        return Severity.ERROR
    same = find_token_checksum(migration.up.text) == row.token_checksum
    return Severity.WARNING if same else Severity.ERROR
