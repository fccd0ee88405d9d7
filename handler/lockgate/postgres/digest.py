"""The history in one row: a digest to hold against the files' own, and what is unfinished.

Knows the query alone: a run with nothing to do reads no more of the history than this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.value import dataclass

if TYPE_CHECKING:
    from lockgate.postgres.schema import Tables

# Every row as a line, in the order of bytes: what `Catalog.digest` computes over the files.
_DIGEST = """
SELECT pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(coalesce(
           pg_catalog.string_agg(line, '' ORDER BY line), ''), 'UTF8')), 'hex'),
       count(*) FILTER (WHERE state <> 'applied'),
       max(layout_version), count(migration_id), max(owner), max(token)
FROM (SELECT max(layout_version) AS layout_version, max(owner) AS owner, max(token) AS token
      FROM {lock}) AS lock
LEFT JOIN (
    SELECT migration_id, state,
           (migration_id || ' ' || up_checksum || E'\\n') COLLATE "C" AS line
    FROM {history}
) AS rows ON true
"""


@dataclass(frozen=True, slots=True)
class Digest:
    """What the database says of its history in one row."""

    digest: str
    unfinished: int
    layout_version: int | None
    count: int
    owner: str | None
    token: int | None


def digest_sql(tables: Tables) -> str:
    """Return the query that a `Digest` is read from. Fails with 42P01 where there is no history."""
    return _DIGEST.format(history=tables.history, lock=tables.lock)
