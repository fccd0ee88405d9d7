"""The history table: read as values, written as statements that travel with a migration.

Knows the rows. Knows no order of work.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lockgate.core.checksum import token_checksum
from lockgate.core.history import Applied, History, State
from lockgate.core.migration import Kind, Language, Migration, Version
from lockgate.postgres.quoting import quote_literal

if TYPE_CHECKING:
    from lockgate.core.outcome import Stamp
    from lockgate.postgres.connection import Connection
    from lockgate.postgres.schema import Tables

_READ = """
SELECT migration_id, version, name, kind, up_checksum, up_token_checksum,
       down_script IS NOT NULL, state, statements_done, statements_total,
       extract(epoch FROM applied_at)::float8, duration_ms, run_id, token, attempting, attempted_oid,
       done_checksum,
       down_checksum
FROM {history}
ORDER BY token, applied_at, migration_id
"""

# Every row as a line, in the order of bytes: what `Catalog.digest` computes over the files.
_DIGEST = """
SELECT pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(coalesce(
           pg_catalog.string_agg(line, '' ORDER BY line), ''), 'UTF8')), 'hex'),
       count(*) FILTER (WHERE state <> 'applied'),
       max(layout_version), count(migration_id), max(owner)
FROM (SELECT max(layout_version) AS layout_version, max(owner) AS owner FROM {lock}) AS lock
LEFT JOIN (
    SELECT migration_id, state,
           (migration_id || ' ' || up_checksum || E'\\n') COLLATE "C" AS line
    FROM {history}
) AS rows ON true
"""

# The duration is the time since the migration before it in this transaction was applied. A migration
# that is recorded statement by statement adds its stretches up, as long as it is one run's work.
_RECORD = """
INSERT INTO {history} AS rows (
    migration_id, version, name, kind, up_checksum, up_token_checksum, down_checksum, down_script,
    language, state, statements_done, statements_total, attempting, attempted_oid, done_checksum,
    applied_at, duration_ms, run_id, token, database_user, package_version)
SELECT {migration_id}, {version}, {name}, {kind}, {up_checksum}, {up_token_checksum},
       {down_checksum}, {down_script}, {language}, {state}, {done}, {total}, {attempting},
       {attempted_oid}, {done_checksum}, now_at, extract(epoch FROM now_at - {since}) * 1000,
       {run_id}, {token}, session_user, {package_version}
FROM pg_catalog.clock_timestamp() AS now_at
ON CONFLICT (migration_id) DO UPDATE SET
    version = excluded.version, name = excluded.name, up_checksum = excluded.up_checksum,
    up_token_checksum = excluded.up_token_checksum, down_checksum = excluded.down_checksum,
    down_script = excluded.down_script, state = excluded.state,
    statements_done = excluded.statements_done, statements_total = excluded.statements_total,
    language = excluded.language, attempting = excluded.attempting,
    attempted_oid = excluded.attempted_oid, done_checksum = excluded.done_checksum,
    applied_at = excluded.applied_at,
    duration_ms = excluded.duration_ms + CASE
        WHEN rows.state = 'partial' AND rows.run_id = excluded.run_id THEN rows.duration_ms ELSE 0
    END,
    run_id = excluded.run_id, token = excluded.token,
    database_user = excluded.database_user, package_version = excluded.package_version
RETURNING migration_id AS lockgate_record, duration_ms, extract(epoch FROM applied_at)::float8
"""

_FORGET = """
DELETE FROM {history} WHERE migration_id = {migration_id} AND state = 'partial'
"""

_PREVIOUS = """coalesce((SELECT applied_at FROM {history}
                                     WHERE migration_id = {previous} AND run_id = {run_id}),
                                    pg_catalog.transaction_timestamp())"""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a migration outside a shared transaction has come (`Applied` has the words)."""

    state: State
    done: int
    total: int
    attempting: int | None = None
    done_checksum: str | None = None
    attempted_oid: int | None = None


@dataclass(frozen=True, slots=True)
class Digest:
    """What the database says of its history in one row."""

    digest: str
    unfinished: int
    layout_version: int | None
    count: int
    owner: str | None


def digest_sql(tables: Tables) -> str:
    """Return the query that a `Digest` is read from. Fails with 42P01 where there is no history."""
    return _DIGEST.format(history=tables.history, lock=tables.lock)


def read_history(connection: Connection, tables: Tables) -> History:
    """Return every row."""
    rows = connection.send(_READ.format(history=tables.history))[0].rows
    return History(tuple(_to_applied(row) for row in rows))


def _to_applied(row: tuple[object, ...]) -> Applied:
    (migration_id, version, name, kind, checksum, tokens, has_down, state, done, total,
     applied_at, duration, run_id, token, attempting, attempted_oid, done_checksum,
     down_checksum) = row  # fmt: skip
    return Applied(
        migration_id=str(migration_id),
        version=None if version is None else Version.stored(str(version)),
        name=str(name),
        kind=Kind(str(kind)),
        checksum=str(checksum),
        token_checksum=None if tokens is None else str(tokens),
        has_down=bool(has_down),
        state=State(str(state)),
        statements_done=int(str(done)),
        statements_total=int(str(total)),
        applied_at=datetime.fromtimestamp(float(str(applied_at)), UTC),
        duration_ms=int(str(duration)),
        run_id=str(run_id),
        token=int(str(token)),
        attempting=None if attempting is None else int(str(attempting)),
        attempted_oid=None if attempted_oid is None else int(str(attempted_oid)),
        done_checksum=None if done_checksum is None else str(done_checksum),
        down_checksum=None if down_checksum is None else str(down_checksum),
    )


def forget_sql(tables: Tables, migration: Migration) -> str:
    """Return the statement that removes the row of a migration of which nothing was done."""
    return _FORGET.format(
        history=tables.history, migration_id=quote_literal(migration.migration_id)
    )


def record_sql(
    tables: Tables,
    migration: Migration,
    stamp: Stamp,
    progress: Progress,
    *,
    previous: str | None = None,
) -> str:
    """Return the statement that writes a migration's row.

    ``previous`` is the id of the migration from whose row the duration counts: the one before it in
    the same transaction, or itself where it is recorded more than once. Without a row of this run it
    counts from the transaction's start.
    """
    since = "pg_catalog.transaction_timestamp()"
    if previous is not None:
        since = _PREVIOUS.format(
            history=tables.history,
            previous=quote_literal(previous),
            run_id=quote_literal(stamp.run_id),
        )
    up, down = migration.up, migration.down
    is_sql = up.language is Language.SQL
    return _RECORD.format(
        history=tables.history,
        since=since,
        migration_id=quote_literal(migration.migration_id),
        version=quote_literal(None if migration.version is None else migration.version.text),
        name=quote_literal(migration.name),
        kind=quote_literal(migration.kind),
        up_checksum=quote_literal(up.checksum),
        up_token_checksum=quote_literal(token_checksum(up.text) if is_sql else None),
        down_checksum=quote_literal(None if down is None else down.checksum),
        down_script=quote_literal(None if down is None else down.text),
        language=quote_literal(up.language),
        state=quote_literal(progress.state),
        done=progress.done,
        total=progress.total,
        attempting=quote_literal(progress.attempting),
        attempted_oid=quote_literal(progress.attempted_oid),
        done_checksum=quote_literal(progress.done_checksum),
        run_id=quote_literal(stamp.run_id),
        token=stamp.token,
        package_version=quote_literal(stamp.package_version),
    )
