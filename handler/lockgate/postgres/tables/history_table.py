"""Reading the history table. `history_sql` has the statements that write it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lockgate.core.history import Applied, History, State, StoredScripts
from lockgate.core.migration import Kind, Language, Options, Version
from lockgate.postgres.quoting import quote_literal
from lockgate.postgres.tables.history_row import SUBSTITUTED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lockgate.postgres.server.own_session import OwnConnection
    from lockgate.postgres.tables.table_names import Tables

# One value, because the driver needs far longer to read twenty values per row. Tables of an earlier
# build lack the last two columns.
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

_SCRIPTS = """
SELECT migration_id, language, down_script, coalesce(down_options::text, '{{}}'), up_script
FROM {history}
WHERE migration_id = ANY ({ids}::text[])
"""

# Much faster than calling the enumerations.
_KINDS = {kind.value: kind for kind in Kind}
_STATES = {state.value: state for state in State}


def read_history(connection: OwnConnection, tables: Tables) -> History:
    """Return every row of the history."""
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
    """Return the stored scripts of some migrations, by their ids."""
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
        is_substituted=bool(json.loads(options).get(SUBSTITUTED)),
        up=up,
    )
