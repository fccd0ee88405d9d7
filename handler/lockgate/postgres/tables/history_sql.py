"""Statements that write the history, in the transaction of the work that they record."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from lockgate.core.history import State
from lockgate.postgres.quoting import quote_literal
from lockgate.postgres.tables.history_row import (
    MigrationProgress,
    Row,
    find_attempted_oid,
    make_row,
    row_texts,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from lockgate.core.amendment import Amendment
    from lockgate.core.migration import Migration
    from lockgate.core.outcome import RowStamp
    from lockgate.postgres.tables.table_names import Tables

# The duration counts from the previous migration in this transaction. If one run records a migration
# statement by statement, the durations add up. All rows are sent as one value: the server needs four
# times as long to parse twenty literals per row.
_INSERT = """
INSERT INTO {history} AS rows
    ({columns}, applied_at, duration_ms, database_user, session_digest)
SELECT {columns}, {applied_at}, {duration_ms}, session_user, {session_digest}
FROM pg_catalog.json_populate_recordset(NULL::{history}, {rows}) AS given{clock}
"""
_COLUMNS = """migration_id, version, name, kind, up_checksum, up_token_checksum, down_checksum,
    down_script, down_options, up_script, language, state, statements_done, statements_total, attempting,
    attempted_oid, attempt_facts, done_checksum, run_id, token, package_version"""
_UPDATE = """
ON CONFLICT (migration_id) DO UPDATE SET
    version = excluded.version, name = excluded.name, up_checksum = excluded.up_checksum,
    up_token_checksum = excluded.up_token_checksum, down_checksum = excluded.down_checksum,
    {scripts}down_options = excluded.down_options, state = excluded.state,
    statements_done = excluded.statements_done, statements_total = excluded.statements_total,
    language = excluded.language, attempting = excluded.attempting,
    attempted_oid = excluded.attempted_oid, attempt_facts = excluded.attempt_facts,
    done_checksum = excluded.done_checksum, session_digest = excluded.session_digest,
    applied_at = excluded.applied_at,
    duration_ms = excluded.duration_ms + CASE
        WHEN rows.state = 'partial' AND rows.run_id = excluded.run_id THEN rows.duration_ms ELSE 0
    END,
    run_id = excluded.run_id, token = excluded.token,
    database_user = excluded.database_user, package_version = excluded.package_version
"""
_SCRIPT_COLUMNS = ("up_script", "down_script")
_RETURNING = """RETURNING migration_id AS lockgate_record, duration_ms,
          extract(epoch FROM applied_at)::float8, 'up'
"""

# A down script may drop what repeatable migrations created, so these run again with the next up.
_REVERTED = """
WITH stale AS (
    UPDATE {history} SET state = 'stale' WHERE kind = 'repeatable' AND state = 'applied'
        AND migration_id <> {migration_id}
)
DELETE FROM {history} WHERE migration_id = {migration_id}
RETURNING migration_id AS lockgate_record,
          (extract(epoch FROM pg_catalog.clock_timestamp() - pg_catalog.transaction_timestamp())
              * 1000)::bigint,
          extract(epoch FROM pg_catalog.clock_timestamp())::float8, 'down'
"""

_REVERTING = """
UPDATE {history}
SET state = {state}, statements_done = {done}, statements_total = {total},
    attempting = {attempting}, attempted_oid = {attempted_oid}, attempt_facts = {attempt_facts},
    done_checksum = {done_checksum}, session_digest = {session_digest}
WHERE migration_id = {migration_id}
RETURNING migration_id AS lockgate_record, 0, extract(epoch FROM applied_at)::float8, 'down'
"""

_SESSION = """
UPDATE {history} SET session_digest = {session_digest} WHERE migration_id = {migration_id}
"""

_RECORDED = "(SELECT session_digest FROM {history} WHERE migration_id = {migration_id})"

_ACCEPT = """
UPDATE {history}
SET up_checksum = {up_checksum}, up_token_checksum = {up_token_checksum}, name = {name},
    down_checksum = {down_checksum}, down_script = {down_script}, down_options = {down_options},
    up_script = {up_script}, language = {language}
WHERE migration_id = {migration_id}
"""

_REMOVE = """
DELETE FROM {history} WHERE migration_id = {migration_id}
"""

_FORGET = """
DELETE FROM {history} WHERE migration_id = {migration_id} AND state = 'partial'
"""

_PREVIOUS = """coalesce((SELECT applied_at FROM {history}
                                     WHERE migration_id = {previous} AND run_id = {run_id}),
                                    pg_catalog.transaction_timestamp())"""


def revert_sql(
    tables: Tables,
    migration: Migration,
    progress: MigrationProgress,
    *,
    session_digest: str = "NULL",
) -> str:
    """Return the statement that records how far a migration is undone, or deletes its row at the end.

    ``State.APPLIED`` here means that no statement of the down script was done. ``session_digest`` is an
    SQL expression.
    """
    template = _REVERTING
    if progress.state is State.REVERTING and progress.done == progress.total:
        template = _REVERTED
    return template.format(
        history=tables.history,
        migration_id=quote_literal(migration.migration_id),
        state=quote_literal(progress.state),
        done=progress.done,
        total=progress.total,
        attempting=quote_literal(progress.attempting),
        attempted_oid=quote_literal(find_attempted_oid(progress)),
        attempt_facts=quote_literal(progress.attempt_facts),
        done_checksum=quote_literal(progress.done_checksum),
        session_digest=session_digest,
    )


def session_digest_sql(tables: Tables, migration: Migration, session_digest: str) -> str:
    """Return the statement that writes only the session digest of a migration."""
    return _SESSION.format(
        history=tables.history,
        migration_id=quote_literal(migration.migration_id),
        session_digest=session_digest,
    )


def recorded_digest_sql(tables: Tables, migration: Migration) -> str:
    """Return the SQL expression for the digest that a migration's row has already."""
    migration_id = quote_literal(migration.migration_id)
    return _RECORDED.format(history=tables.history, migration_id=migration_id)


def forget_sql(tables: Tables, migration: Migration) -> str:
    """Return the statement that deletes the row of a migration of which nothing was done."""
    return _FORGET.format(
        history=tables.history, migration_id=quote_literal(migration.migration_id)
    )


def record_sql(
    tables: Tables,
    row: Row,
    *,
    is_new: bool = False,
    has_scripts: bool = False,
    previous: str | None = None,
    applied_at: datetime | None = None,
    session_digest: str = "NULL",
) -> str:
    """Return the statement that writes a migration's row. ``is_new``: there is no row yet.

    ``has_scripts``: this run has written the row before, so it already contains the scripts. Sending
    them with each of thousands of statements would take longer than the statements themselves.

    ``previous`` is the id of the migration from whose row the duration counts: the one before it in
    the same transaction, or itself if it is recorded more than once. Without such a row of this run, it
    counts from the start of the transaction. ``session_digest`` is an SQL expression.
    """
    since = "pg_catalog.transaction_timestamp()"
    clock = "pg_catalog.clock_timestamp() AS now_at"
    if applied_at is not None:
        # Adopted from another tool, which did not record the duration.
        since = "now_at"
        clock = f"(SELECT {quote_literal(applied_at)}::timestamptz AS now_at) AS clock"
    if previous is not None:
        since = _PREVIOUS.format(
            history=tables.history,
            previous=quote_literal(previous),
            run_id=quote_literal(row["run_id"]),
        )
    return _insert_sql(
        tables,
        [_without_scripts(row) if has_scripts else row],
        is_new=is_new,
        has_scripts=has_scripts,
        applied_at="now_at",
        duration_ms=f"extract(epoch FROM now_at - {since}) * 1000",
        clock=f",\n     {clock}",
        session_digest=session_digest,
    )


def records_sql(tables: Tables, rows: Sequence[Row], *, is_new: bool) -> str:
    """Return one statement that writes many rows, which include ``applied_at`` and ``duration_ms``.

    A statement for each row would take as long as a small migration.
    """
    return _insert_sql(
        tables, rows, is_new=is_new, applied_at="applied_at", duration_ms="duration_ms", clock=""
    )


def _insert_sql(
    tables: Tables,
    rows: Sequence[Row],
    *,
    is_new: bool,
    applied_at: str,
    duration_ms: str,
    clock: str,
    has_scripts: bool = False,
    session_digest: str = "NULL",
) -> str:
    insert = _INSERT.format(
        history=tables.history,
        columns=_COLUMNS,
        applied_at=applied_at,
        duration_ms=duration_ms,
        rows=quote_literal(json.dumps([_without_nulls(row) for row in rows], ensure_ascii=False)),
        clock=clock,
        session_digest=session_digest,
    )
    scripts = () if has_scripts else (f"{one} = excluded.{one}, " for one in _SCRIPT_COLUMNS)
    return f"{insert}{'' if is_new else _UPDATE.format(scripts=''.join(scripts))}{_RETURNING}"


def _without_scripts(row: Row) -> Row:
    return {name: value for name, value in row.items() if name not in _SCRIPT_COLUMNS}


def _without_nulls(row: Row) -> Row:
    return {name: value for name, value in row.items() if value is not None}


def accept_sql(tables: Tables, migration: Migration) -> str:
    """Return the statement that sets the checksums and scripts of a row to those of the file."""
    texts = row_texts(migration)
    options = texts["down_options"]
    if options is not None:
        texts["down_options"] = json.dumps(options)
    values = {name: quote_literal(value) for name, value in texts.items()}
    migration_id = quote_literal(migration.migration_id)
    return _ACCEPT.format(history=tables.history, migration_id=migration_id, **values)


def remove_sql(tables: Tables, migration_id: str) -> str:
    """Return the statement that deletes a row."""
    return _REMOVE.format(history=tables.history, migration_id=quote_literal(migration_id))


def amendment_sql(tables: Tables, amendment: Amendment, stamp: RowStamp) -> list[str]:
    """Return the statements that write an amendment."""
    whole = MigrationProgress(State.APPLIED, 1, 1)
    records = (
        record_sql(tables, make_row(one.migration, stamp, whole), applied_at=one.applied_at)
        for one in amendment.recorded
    )
    accepted = (accept_sql(tables, migration) for migration in amendment.accepted)
    removed = (remove_sql(tables, row.migration_id) for row in amendment.forgotten)
    return [*records, *accepted, *removed]
