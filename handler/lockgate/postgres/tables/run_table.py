"""The run table: one row for each run that wanted to change something. Taking the lock inserts it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lockgate.core.run_record import RunRecord
from lockgate.postgres.quoting import quote_literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lockgate.postgres.server.own_session import OwnConnection
    from lockgate.postgres.tables.table_names import Tables

_FINISH = """
UPDATE {run}
SET finished_at = pg_catalog.clock_timestamp(), status = {status}, from_version = {from_version},
    to_version = {to_version}, report = {report}::jsonb{catalog_digest}
WHERE run_id = {run_id}
"""

_READ_ACTIONS = """
SELECT r.run_id, r.action FROM {run} AS r
WHERE r.run_id IN (SELECT h.run_id FROM {history} AS h)
"""

# Tables of an earlier build lack the column; then its name refers to the NULL outside the subquery.
# Reading whole rows as JSON instead would load every report and every description of the database.
_HAS_RECORDED = """
SELECT EXISTS (
    SELECT FROM (VALUES (NULL::text)) AS earlier_build (catalog_digest), LATERAL (
        SELECT FROM {run} AS r
        WHERE r.token < {token} AND r.finished_at IS NOT NULL
          AND r.status IN ('applied', 'up_to_date', 'rolled_back')
          AND catalog_digest = {digest}
        LIMIT 1
    ) AS recorded)
"""

# Tokens only grow, so the newest is the highest.
_READ = """
SELECT run_id, action, status, extract(epoch FROM started_at)::float8,
       extract(epoch FROM finished_at)::float8, caller, caller_reference::text, requested_by, reason,
       from_version, to_version, package_version,
       pg_catalog.jsonb_extract_path_text(report, 'error', 'code')
FROM {run}
ORDER BY token DESC, started_at DESC, run_id
LIMIT {limit}
"""

_IS_FINISHED = """
SELECT finished_at IS NOT NULL AND status <> 'abandoned' FROM {run} WHERE run_id = {run_id}
"""


_STORE_FACTS = "UPDATE {run} SET undo_facts = {facts}::jsonb WHERE run_id = {run_id}"

_READ_FACTS = """
SELECT undo_facts::text FROM {run} WHERE run_id = ANY (ARRAY[{ids}]) ORDER BY token, run_id
"""

# A package undoes everything above it. So the facts of a run are useless once its versions are gone, or
# once a later run has applied a version without recording facts. A deploy is a run that left exactly its
# package's migrations in the database; only the last ones are kept, because facts are large.
_KEPT_DEPLOYS = 10
_PRUNE_FACTS = """
UPDATE {run} AS r SET undo_facts = NULL
WHERE r.undo_facts IS NOT NULL
  AND (NOT EXISTS (SELECT FROM {history} AS h
                   WHERE h.run_id = r.run_id AND h.version IS NOT NULL)
       OR EXISTS (SELECT FROM {run} AS later
                  WHERE later.token > r.token AND later.undo_facts IS NULL
                    AND EXISTS (SELECT FROM {history} AS h
                                WHERE h.run_id = later.run_id AND h.version IS NOT NULL))
       OR r.token <= (SELECT deploy.token FROM {run} AS deploy
                      WHERE deploy.catalog_digest IS NOT NULL
                      ORDER BY deploy.token DESC OFFSET {kept} LIMIT 1))
"""

# Runs of an earlier build did not set `has_committed`, so status and report count as well. `unlock`
# changes no migration. Tables of an earlier build lack the column; then its name refers to the NULL
# outside the subquery.
_HAS_CHANGED = """
SELECT EXISTS (
    SELECT FROM (VALUES (NULL::boolean)) AS earlier_build (has_committed), LATERAL (
        SELECT FROM {run} AS r
        WHERE r.action <> 'unlock'
          AND (has_committed
               OR r.status IN ('applied', 'rolled_back')
               OR r.report -> 'applied' -> 0 IS NOT NULL
               OR r.report -> 'reverted' -> 0 IS NOT NULL)
        LIMIT 1
    ) AS changed)
"""
_NOTE_COMMIT = """
UPDATE {run} SET has_committed = true WHERE run_id = {run_id} AND has_committed IS NOT TRUE
"""


def undo_facts_sql(tables: Tables, run_id: str, facts: str) -> str:
    """Return the statement that stores the undo facts of a run."""
    return _STORE_FACTS.format(
        run=tables.run, facts=quote_literal(facts), run_id=quote_literal(run_id)
    )


def prune_facts_sql(tables: Tables) -> str:
    """Return the statement that removes the undo facts of runs that can no longer be undone by them."""
    return _PRUNE_FACTS.format(run=tables.run, history=tables.history, kept=_KEPT_DEPLOYS)


def read_undo_facts(
    connection: OwnConnection, tables: Tables, run_ids: Sequence[str]
) -> list[str | None]:
    """Return the stored undo facts of some runs, oldest run first."""
    ids = ", ".join(quote_literal(one) for one in run_ids)
    rows = connection.send(_READ_FACTS.format(run=tables.run, ids=ids))[0].rows
    return [row[0] for row in rows]


def is_finished(connection: OwnConnection, tables: Tables, run_id: str) -> bool:
    """Return whether a run recorded its end itself."""
    sql = _IS_FINISHED.format(run=tables.run, run_id=quote_literal(run_id))
    rows = connection.send(sql)[0].rows
    return bool(rows and rows[0][0])


def finish_sql(tables: Tables, run_id: str, outcome: Mapping[str, str | None]) -> str:
    """Return the statement that records a run's end.

    ``outcome`` has ``status``, ``from_version``, ``to_version``, ``report`` (JSON text) and
    ``catalog_digest``, which is ``None`` unless the database now has exactly this catalog.
    """
    values = {name: quote_literal(value) for name, value in outcome.items()}
    digest = outcome["catalog_digest"]
    values["catalog_digest"] = (
        "" if digest is None else f", catalog_digest = {quote_literal(digest)}"
    )
    return _FINISH.format(run=tables.run, run_id=quote_literal(run_id), **values)


def read_actions(connection: OwnConnection, tables: Tables) -> dict[str, str]:
    """Return the actions of the runs that have rows in the history, by run id."""
    rows = connection.send(_READ_ACTIONS.format(run=tables.run, history=tables.history))[0].rows
    return dict(rows)


def has_recorded(connection: OwnConnection, tables: Tables, digest: str, token: int) -> bool:
    """Return whether a run with a lower token finished with exactly this catalog."""
    sql = _HAS_RECORDED.format(run=tables.run, digest=quote_literal(digest), token=token)
    return bool(connection.send(sql)[0].rows[0][0])


def read_runs(connection: OwnConnection, tables: Tables, limit: int) -> tuple[RunRecord, ...]:
    """Return the last runs, newest first."""
    rows = connection.send(_READ.format(run=tables.run, limit=limit))[0].rows
    return tuple(_to_record(*row) for row in rows)


def _to_record(
    run_id: str,
    action: str,
    status: str,
    started: float,
    finished: float | None,
    caller: str,
    reference: str,
    *texts: str | None,
) -> RunRecord:
    requested_by, reason, from_version, to_version, package_version, error_code = texts
    return RunRecord(
        run_id=run_id,
        action=action,
        status=status,
        started_at=datetime.fromtimestamp(started, UTC),
        finished_at=None if finished is None else datetime.fromtimestamp(finished, UTC),
        caller=caller,
        reference=json.loads(reference),
        requested_by=requested_by,
        reason=reason,
        from_version=from_version,
        to_version=to_version,
        package_version=package_version,
        error_code=error_code,
    )


def has_changed_anything(connection: OwnConnection, tables: Tables) -> bool:
    """Return whether a recorded run has committed, adopted or baselined anything."""
    return bool(connection.send(_HAS_CHANGED.format(run=tables.run))[0].rows[0][0])


def note_commit_sql(tables: Tables, run_id: str) -> str:
    """Return the statement that records that a run commits a change, for the same transaction."""
    return _NOTE_COMMIT.format(run=tables.run, run_id=quote_literal(run_id))
