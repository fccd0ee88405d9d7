"""Reads Sqitch's registry: the deployed changes of all projects.

The rows have Sqitch's own ids; `complete_history` replaces them by those of the catalog, which takes the
plan.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from lockgate.formats.tool import ForeignHistory, ForeignRow, TableShape

if TYPE_CHECKING:
    from pathlib import Path

    from lockgate.core.migration import Migration
    from lockgate.formats.tool import Ask

# A setting can rename the schema of the registry, but not the tables in it.
SHAPE = TableShape(
    "changes", ("change_id", "script_hash", "change", "project", "committed_at", "planned_at")
)
_READ = """
SELECT change_id, change, project, script_hash, committed_at
  FROM {table}
 ORDER BY committed_at, change_id
"""


def read_table(ask: Ask, table: str) -> ForeignHistory:
    """Return one row for each change, with Sqitch's own id as its version."""
    return ForeignHistory(
        table,
        tuple(
            ForeignRow(
                change_id,
                change,
                committed_at,
                # Releases before 0.998 had no digest and stored the id instead.
                None if script_hash == change_id else script_hash,
                group=project,
            )
            for change_id, change, project, script_hash, committed_at in ask(
                _READ.format(table=table)
            )
        ),
    )


def file_checksum(folder: Path, migration: Migration) -> str | None:
    """Return the SHA-1 of the deploy script's bytes."""
    content = (folder / migration.path).read_bytes()
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()
