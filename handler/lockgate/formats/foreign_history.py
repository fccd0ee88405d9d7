"""What another tool's history table says, as values, and how a module reads it.

A module per tool has ``FORMAT`` (the `formats` module whose folder it belongs to), ``SHAPE``,
``read_table`` and ``file_checksum``. It knows that tool's table and digest, and no catalog of ours.
"""

from __future__ import annotations

from enum import StrEnum
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from lockgate.core.migration import Migration
    from lockgate.formats.foreign_tables import Shape


class Ask(Protocol):
    """Sends one query, whose constants are in the text, and returns its rows."""

    def __call__(self, sql: str) -> Sequence[tuple[Any, ...]]:
        """Send one query."""
        ...


class ForeignState(StrEnum):
    """What the other tool says of one migration. All but the first stand in an adoption's way."""

    APPLIED = "applied"
    FAILED = "failed"
    DIRTY = "dirty"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ForeignRow:
    """One migration that the other tool says was applied.

    ``version`` is the id that the format's catalog gives it (`Migration.migration_id`). ``checksum``
    is the tool's own digest as its table has it; ``None`` where it keeps none. ``detail`` says what a
    state other than applied means and what to do, as a sentence. ``group`` is the project that it
    belongs to, where one table serves several.
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
    """All that the other tool's table says.

    ``baseline``: everything up to this version counts as applied, though there is no row for it.
    ``heads``: all that these build on counts as applied. ``problem``: why nothing can be adopted,
    if so. Where the folder has to say what rows and heads mean, its format has a function
    ``complete_history(folder, history)``, which returns a row for each migration that counts.
    """

    table: str
    rows: tuple[ForeignRow, ...]
    baseline: str | None = None
    problem: str | None = None
    heads: tuple[str, ...] = ()


class ForeignTool(Protocol):
    """What a tool's module has."""

    FORMAT: str
    SHAPE: Shape

    def read_table(self, ask: Ask, table: str) -> ForeignHistory:
        """Return what the table says, in the order of application."""
        ...

    def file_checksum(self, folder: Path, migration: Migration) -> str | None:
        """Return the tool's own digest of a migration's file; ``None`` where it has none.

        A tool that accepts several has ``matches_checksum(folder, migration, checksum)`` besides.
        """
        ...


def find_tool(tool: str) -> ForeignTool:
    """Return the module of a tool."""
    return cast("ForeignTool", import_module(f"lockgate.formats.{tool.replace('-', '_')}.table"))
