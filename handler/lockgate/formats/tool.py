"""Defines a tool: how to read its folder, and its history table in a database.

Each package of a tool has a module ``tool`` with one value ``TOOL``. Every hook that the registry, an
adoption or the finder of tables calls is a field of it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from lockgate.core.catalog import Markers, SessionRule
from lockgate.core.migration import NATIVE_OUTSIDE
from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from lockgate.core.catalog import Catalog
    from lockgate.core.migration import Migration


# A folder.


class ReadFolder(Protocol):
    """Reads a folder of a tool."""

    def __call__(self, folder: Path, variables: Mapping[str, str], /) -> Catalog:
        """Return every migration; ``variables`` are those of the environment.

        Raises:
            MigrationFileInvalid: the folder or a file in it cannot be run as the tool would run it.
        """
        ...


class Recognise(Protocol):
    """Recognises a folder of a tool."""

    def __call__(self, folder: Path, /) -> str | None:
        """Return what only this tool's folders have, as part of a sentence, or ``None``."""
        ...


# A history table.


class Ask(Protocol):
    """Sends one query, whose constants are in the text, and returns its rows."""

    def __call__(self, sql: str) -> Sequence[tuple[Any, ...]]:
        """Send one query."""
        ...


class ForeignState(StrEnum):
    """The state of a migration in the tool's table. Only an applied one can be adopted."""

    APPLIED = "applied"
    FAILED = "failed"
    DIRTY = "dirty"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ForeignRow:
    """One migration that the tool's table lists.

    ``version`` is the id that the tool's catalog gives it (`Migration.migration_id`). ``checksum`` is
    the tool's own digest as its table has it; ``None`` where it keeps none. ``detail`` explains a state
    other than applied and what to do, as a sentence. ``group`` is its project, if one table serves
    several.
    """

    version: str
    name: str = ""
    applied_at: datetime | None = None
    checksum: str | None = None
    state: ForeignState = ForeignState.APPLIED
    detail: str | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class ForeignHistory:
    """The whole content of a tool's history table.

    ``baseline``: everything up to this version counts as applied, although it has no row. ``heads``:
    these and all that they build on count as applied. ``problem``: why nothing can be adopted. If rows
    or heads can only be understood with the folder, `HistoryTable.complete` does that.
    """

    table: str
    rows: tuple[ForeignRow, ...]
    baseline: str | None = None
    problem: str | None = None
    heads: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FoundTable:
    """A table of the database with its columns and their types.

    ``neighbours`` are the tables of the same schema that the shape asks about. ``is_readable``: this
    role may read every row.
    """

    table: str
    oid: int
    schema: str
    name: str
    columns: Mapping[str, str]
    neighbours: frozenset[str]
    is_readable: bool


@dataclass(frozen=True, slots=True)
class TableShape:
    """How to recognise a tool's history table.

    ``name`` is the tool's default. ``has_any_name``: a setting of the tool can rename the table, and no
    other table has these columns. ``is_exact``: the table has no further columns. ``fits`` decides where
    the names of the columns do not. ``beside`` are the tool's other tables, in the same schema; in them
    ``{name}`` is the table's own name. Only with the neighbour ``needs``, and never with the neighbour
    ``excludes``, the table is this tool's.
    """

    name: str
    columns: tuple[str, ...]
    has_any_name: bool = False
    is_exact: bool = False
    schema: str | None = None
    beside: tuple[str, ...] = ()
    needs: str | None = None
    excludes: str | None = None
    fits: Callable[[FoundTable], bool] = lambda _: True

    @property
    def asked_neighbours(self) -> tuple[str, ...]:
        """The names of the neighbours that decide whether a table has this shape."""
        return tuple(name for name in (self.needs, self.excludes) if name is not None)

    def is_of(self, found: FoundTable, name: str) -> bool:
        """Return whether a table has this shape; ``name`` is the one that it should have."""
        if not found.columns.keys() >= set(self.columns):
            return False
        if self.schema not in {None, found.schema}:
            return False
        if self.needs not in {None, *found.neighbours} or self.excludes in found.neighbours:
            return False
        is_named = found.name.lower() == name.lower()
        if self.is_exact and not is_named and set(found.columns) != set(self.columns):
            return False
        return self.fits(found)


@dataclass(frozen=True, slots=True)
class TableName:
    """The name that a setting gives a tool's history table: ``table`` or ``schema.table``, and where."""

    name: str
    source: str


class ReadTable(Protocol):
    """Reads a tool's history table."""

    def __call__(self, ask: Ask, table: str, /) -> ForeignHistory:
        """Return what the table lists, in the order of application; ``table`` is quoted."""
        ...


class FileChecksum(Protocol):
    """Computes the tool's own digest of a migration's file."""

    def __call__(self, folder: Path, migration: Migration, /) -> str | None:
        """Return the digest as the tool's table has it; ``None`` if it cannot be computed."""
        ...


class MatchesChecksum(Protocol):
    """Compares a digest, for a tool that accepts several for one file."""

    def __call__(self, folder: Path, migration: Migration, checksum: str, /) -> bool:
        """Return whether the tool would accept the digest for the migration's file."""
        ...


class CompleteHistory(Protocol):
    """Explains a history with the tool's folder."""

    def __call__(self, folder: Path, history: ForeignHistory, /) -> ForeignHistory:
        """Return the history with a row for each migration that counts, under its id in the catalog.

        Raises:
            MigrationFileInvalid: the folder cannot be read.
        """
        ...


class AlignHistory(Protocol):
    """Matches a history to a catalog, for a tool whose names or versions have several spellings."""

    def __call__(self, history: ForeignHistory, catalog: Catalog, /) -> ForeignHistory:
        """Return the history with the spellings of the catalog."""
        ...


class FindTableName(Protocol):
    """Finds the name of the history table in the tool's own settings."""

    def __call__(self, folder: Path, variables: Mapping[str, str], /) -> TableName | None:
        """Return the name, from variables of the environment or from files in or beside the folder.

        Raises:
            MigrationFileInvalid: a file of settings cannot be read.
        """
        ...


@dataclass(frozen=True, slots=True)
class HistoryTable:
    """A tool's history table: how to find it, read it, and compare its digests with the files."""

    shape: TableShape
    read: ReadTable
    file_checksum: FileChecksum | None = None
    matches_checksum: MatchesChecksum | None = None
    complete: CompleteHistory | None = None
    align: AlignHistory | None = None
    find_name: FindTableName | None = None


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool: its name as in ``LOCKGATE_FORMAT``, its folder, and its history table.

    ``evidence`` completes "a database that the tool migrated …". ``outside`` is how a file of it leaves
    the transaction (`Script.outside`), ``session`` what migrations leave to each other, ``markers`` the
    lines that divide a file with both scripts. ``has_downs``: its files can have down scripts.
    ``is_like_native``: a folder of the tool can look like a native one. ``takes_native_files``: a new
    native file in its folder is run as such.
    """

    name: str
    read_folder: ReadFolder
    recognise: Recognise
    table: HistoryTable | None
    evidence: str
    outside: str | None = NATIVE_OUTSIDE
    session: SessionRule = SessionRule.NEW
    markers: Markers | None = None
    has_downs: bool = True
    is_like_native: bool = False
    takes_native_files: bool = False
