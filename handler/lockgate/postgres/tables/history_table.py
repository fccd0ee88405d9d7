"""The history table: read as values, written as statements that travel with a migration.

Knows the rows. Knows no order of work.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from lockgate.core.history import Applied, History, State, StoredScripts
from lockgate.core.migration import Kind, Language, Migration, Options, Script, Version
from lockgate.core.token_checksum import find_token_checksum
from lockgate.fast_start.dataclass import dataclass
from lockgate.postgres.quoting import quote_literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lockgate.core.amendment import Amendment
    from lockgate.core.outcome import Stamp
    from lockgate.postgres.server.own_session import OwnConnection
    from lockgate.postgres.tables.schema import Tables

# One value: the driver takes far longer to read twenty of them a row. Tables of an earlier build lack
# the last two columns.
_READ = """
SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_array(
           migration_id, version, name, kind, up_checksum, up_token_checksum,
           down_script IS NOT NULL, state, statements_done, statements_total,
           extract(epoch FROM applied_at)::float8, duration_ms, run_id, token, attempting,
           attempted_oid, done_checksum, down_checksum,
           CASE WHEN state <> 'applied' THEN pg_catalog.to_jsonb(h) ->> 'session_digest' END,
           CASE WHEN state <> 'applied' THEN pg_catalog.to_jsonb(h) ->> 'attempt_facts' END)
           ORDER BY token, applied_at, migration_id)::text, '[]')
FROM {history} AS h
"""

# The duration is the time since the migration before it in this transaction was applied. A migration
# that is recorded statement by statement adds its stretches up, as long as it is one run's work. Rows
# come as one value: twenty literals for each take the server four times as long to read.
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

# What a down script drops may be what repeatable migrations made, so these run again with the next up.
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

_SCRIPTS = """
SELECT migration_id, language, down_script, coalesce(down_options::text, '{{}}'), up_script
FROM {history}
WHERE migration_id = ANY ({ids}::text[])
"""

# A key beside the options: what is kept of the script lacks the values that were filled in.
_SUBSTITUTED = "substituted"

_FORGET = """
DELETE FROM {history} WHERE migration_id = {migration_id} AND state = 'partial'
"""

_PREVIOUS = """coalesce((SELECT applied_at FROM {history}
                                     WHERE migration_id = {previous} AND run_id = {run_id}),
                                    pg_catalog.transaction_timestamp())"""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a migration outside a shared transaction has come (`Applied` has the words).

    ``attempt_facts`` is JSON.
    """

    state: State
    done: int
    total: int
    attempting: int | None = None
    done_checksum: str | None = None
    attempt_facts: str | None = None


# An enumeration that is called takes many times as long as a look into these.
_KINDS = {kind.value: kind for kind in Kind}
_STATES = {state.value: state for state in State}


def read_history(connection: OwnConnection, tables: Tables) -> History:
    """Return every row."""
    results = connection.send(_READ.format(history=tables.history))
    return History(tuple(map(_to_applied, json.loads(results[0].rows[0][0]))))


def _to_applied(row: list[Any]) -> Applied:
    (migration_id, version, name, kind, checksum, tokens, has_down, state, done, total,
     applied_at, duration, run_id, token, attempting, attempted_oid, done_checksum,
     down_checksum, session_digest, attempt_facts) = row  # fmt: skip
    return Applied(
        migration_id=migration_id,
        version=None if version is None else Version.stored(version),
        name=name,
        kind=_KINDS[kind],
        checksum=checksum,
        token_checksum=tokens,
        has_down=has_down,
        state=_STATES[state],
        statements_done=done,
        statements_total=total,
        applied_at=datetime.fromtimestamp(applied_at, UTC),
        duration_ms=duration,
        run_id=run_id,
        token=token,
        attempting=attempting,
        attempted_oid=attempted_oid,
        done_checksum=done_checksum,
        down_checksum=down_checksum,
        session_digest=session_digest,
        attempt_facts=attempt_facts,
    )


def read_scripts(
    connection: OwnConnection, tables: Tables, migration_ids: Sequence[str]
) -> dict[str, StoredScripts]:
    """Return what the history keeps of the text of some migrations, by their ids."""
    ids = ", ".join(quote_literal(one) for one in migration_ids)
    sql = _SCRIPTS.format(history=tables.history, ids=f"ARRAY[{ids}]")
    return {row[0]: _to_scripts(row) for row in connection.send(sql)[0].rows}


def _to_scripts(row: tuple[Any, ...]) -> StoredScripts:
    migration_id, language, down, options, up = row
    return StoredScripts(
        migration_id=migration_id,
        language=Language(language),
        down=down,
        options=Options.from_json(options),
        is_substituted=bool(json.loads(options).get(_SUBSTITUTED)),
        up=up,
    )


def revert_sql(
    tables: Tables, migration: Migration, progress: Progress, *, session_digest: str = "NULL"
) -> str:
    """Return the statement that writes how far a migration is undone; the row goes with the last.

    ``State.APPLIED`` here says that nothing of the down script was done. ``session_digest`` is an
    expression of SQL.
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
        attempted_oid=quote_literal(_attempted_oid(progress)),
        attempt_facts=quote_literal(progress.attempt_facts),
        done_checksum=quote_literal(progress.done_checksum),
        session_digest=session_digest,
    )


def _attempted_oid(progress: Progress) -> int | None:
    """Return the fact that tables of an earlier build have a column for."""
    facts = json.loads(progress.attempt_facts or "{}")
    oid: int | None = facts.get("oid")
    return oid


def session_digest_sql(tables: Tables, migration: Migration, session_digest: str) -> str:
    """Return the statement that writes what a migration has left of its session, and nothing else."""
    return _SESSION.format(
        history=tables.history,
        migration_id=quote_literal(migration.migration_id),
        session_digest=session_digest,
    )


def recorded_digest_sql(tables: Tables, migration: Migration) -> str:
    """Return the expression that is the digest which a migration's row has already."""
    migration_id = quote_literal(migration.migration_id)
    return _RECORDED.format(history=tables.history, migration_id=migration_id)


def forget_sql(tables: Tables, migration: Migration) -> str:
    """Return the statement that removes the row of a migration of which nothing was done."""
    return _FORGET.format(
        history=tables.history, migration_id=quote_literal(migration.migration_id)
    )


Row = dict[str, Any]


def make_row(migration: Migration, stamp: Stamp, progress: Progress) -> Row:
    """Return what is recorded of a migration, but for when it was applied and how long it took."""
    return {
        **_texts(migration),
        "migration_id": migration.migration_id,
        "version": None if migration.version is None else migration.version.text,
        "kind": migration.kind,
        "state": progress.state,
        "statements_done": progress.done,
        "statements_total": progress.total,
        "attempting": progress.attempting,
        "attempted_oid": _attempted_oid(progress),
        "attempt_facts": progress.attempt_facts and json.loads(progress.attempt_facts),
        "done_checksum": progress.done_checksum,
        "run_id": stamp.run_id,
        "token": stamp.token,
        "package_version": stamp.package_version,
    }


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
    """Return the statement that writes a migration's row; where there is none yet, ``is_new``.

    ``has_scripts``: this run has written the row before, and its scripts are in it. To send them again
    with each of thousands of statements would take longer than the statements.

    ``previous`` is the id of the migration from whose row the duration counts: the one before it in
    the same transaction, or itself where it is recorded more than once. Without a row of this run it
    counts from the transaction's start. ``session_digest`` is an expression of SQL.
    """
    since = "pg_catalog.transaction_timestamp()"
    clock = "pg_catalog.clock_timestamp() AS now_at"
    if applied_at is not None:
        # Taken over from another tool, which did not say how long it took.
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
    """Return the one statement that writes many rows, which have ``applied_at`` and ``duration_ms``.

    A statement for each takes as long as a small migration itself.
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
    """Return the statement that gives a row the checksums and the down script of its file."""
    texts = _texts(migration)
    options = texts["down_options"]
    if options is not None:
        texts["down_options"] = json.dumps(options)
    values = {name: quote_literal(value) for name, value in texts.items()}
    migration_id = quote_literal(migration.migration_id)
    return _ACCEPT.format(history=tables.history, migration_id=migration_id, **values)


def remove_sql(tables: Tables, migration_id: str) -> str:
    """Return the statement that removes a row."""
    return _REMOVE.format(history=tables.history, migration_id=quote_literal(migration_id))


def amendment_sql(tables: Tables, amendment: Amendment, stamp: Stamp) -> list[str]:
    """Return the statements that write an amendment."""
    whole = Progress(State.APPLIED, 1, 1)
    records = (
        record_sql(tables, make_row(one.migration, stamp, whole), applied_at=one.applied_at)
        for one in amendment.recorded
    )
    accepted = (accept_sql(tables, migration) for migration in amendment.accepted)
    removed = (remove_sql(tables, row.migration_id) for row in amendment.forgotten)
    return [*records, *accepted, *removed]


def _texts(migration: Migration) -> Row:
    """Return what a row keeps of a migration's file."""
    up, down = migration.up, migration.down
    is_sql = up.language is Language.SQL
    return {
        "name": migration.name,
        "up_checksum": up.checksum,
        "up_token_checksum": find_token_checksum(up.text) if is_sql else None,
        "up_script": up.text if migration.kind is Kind.REPEATABLE else None,
        "down_checksum": None if down is None else down.checksum,
        # No text of PostgreSQL holds a NUL, and a script with one can never be run.
        "down_script": None if down is None or "\0" in down.text else down.text,
        "down_options": None if down is None else _stored_options(down),
        "language": up.language,
    }


def _stored_options(down: Script) -> Row:
    options = {**_plain_options(down.options)}
    return options if down.substituted is None else {**options, _SUBSTITUTED: True}


# Most migrations ask for nothing.
@lru_cache(maxsize=100)
def _plain_options(options: Options) -> Row:
    plain: Row = json.loads(options.to_json())
    return plain
