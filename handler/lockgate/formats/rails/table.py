"""Rails' ``schema_migrations``, beside which stands ``ar_internal_metadata``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.formats.foreign_history import ForeignHistory, ForeignRow
from lockgate.formats.foreign_tables import Shape

if TYPE_CHECKING:
    from pathlib import Path

    from lockgate.core.migration import Migration
    from lockgate.formats.foreign_history import Ask
    from lockgate.formats.foreign_tables import Candidate

FORMAT = "rails"


def _is_rails(candidate: Candidate) -> bool:
    return candidate.is_of_rails and set(candidate.columns) == {"version"}


SHAPE = Shape("schema_migrations", ("version",), fits=_is_rails, beside=("ar_internal_metadata",))
# Rails sorts its versions as numbers.
_READ = "SELECT version::text FROM {table} ORDER BY pg_catalog.length(version::text), version"


def read_table(ask: Ask, table: str) -> ForeignHistory:
    """Return what is applied; Rails notes no time and no checksum."""
    rows = ask(_READ.format(table=table))
    return ForeignHistory(table, tuple(ForeignRow(str(row[0])) for row in rows))


def file_checksum(folder: Path, migration: Migration) -> None:
    """Return None: Rails has no checksums."""
    del folder, migration
