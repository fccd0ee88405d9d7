"""The history in one row: a digest to compare with that of the files, and the unfinished rows.

A run with nothing to do reads no more of the history than this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.fast_start.dataclass import dataclass

if TYPE_CHECKING:
    from lockgate.postgres.tables.table_names import Tables

# One line per row, in the byte order of the ids, as `core.listing.digest_lines` computes it for the
# files. PostgreSQL 16 and later sort once for both digests.
_DIGEST = """
SELECT pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(rows.lines, 'UTF8')), 'hex'),
       pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(rows.down_lines, 'UTF8')), 'hex'),
       rows.unfinished, lock.layout_version, rows.count, lock.owner, lock.token
FROM (
    SELECT max(layout_version) AS layout_version, max(owner) AS owner, max(token) AS token
    FROM {lock}
) AS lock, (
    SELECT coalesce(pg_catalog.string_agg(line, '' ORDER BY migration_id), '') AS lines,
           coalesce(pg_catalog.string_agg(down_line, '' ORDER BY migration_id), '') AS down_lines,
           count(*) FILTER (WHERE state <> 'applied') AS unfinished, count(*) AS count
    FROM (
        SELECT migration_id COLLATE "C" AS migration_id, state,
               migration_id || ' ' || up_checksum || E'\\n' AS line,
               migration_id || ' ' || down_checksum || E'\\n' AS down_line
        FROM {history}
    ) AS lined
) AS rows
"""


@dataclass(frozen=True, slots=True)
class Digest:
    """The digests and counts of the history, and the state of the lock."""

    digest: str
    down_digest: str
    unfinished: int
    layout_version: int | None
    count: int
    owner: str | None
    token: int | None


def digest_sql(tables: Tables) -> str:
    """Return the query for a `Digest`. It fails with 42P01 if there is no history."""
    return _DIGEST.format(history=tables.history, lock=tables.lock)
