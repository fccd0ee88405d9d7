"""The lock row: taken in one statement, by the clock of the server.

A lease lasts as long as the invocation can live, plus a margin, so nothing has to renew it::

    take                                              Lambda kills           lease ends
     |------------------ the invocation -------------------|------ margin ------|
     token 7                                                                     anyone may take it:
                                                                                 token 8

A holder whose backend is gone is replaced at once. The token only grows. Every commit checks that the
run still holds the lock with its token (`fence_sql`), so a run that was replaced cannot commit.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lockgate.core.lease import Holder, Terms
from lockgate.core.outcome import TakenLock
from lockgate.postgres.quoting import quote_literal
from lockgate.postgres.server.own_session import SESSION_START
from lockgate.postgres.tables.untrusted_owners import ownership_check_sql

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lockgate.postgres.server.own_session import OwnConnection
    from lockgate.postgres.tables.table_names import Tables

# Compare and swap: update only if the row still has the values that we read.
# - A holder is examined in an earlier statement. Within one statement, a session that has just started
#   could be missed, because pg_stat_activity is read before the wait for the row.
# - SKIP LOCKED: a holder that commits locks the row for an instant. Waiting for it inside the server
#   would hold a snapshot that CREATE INDEX CONCURRENTLY waits for.
# - ON CONFLICT: a run whose connection broke while it took the lock takes it again.
_TAKE = """
WITH held AS MATERIALIZED (
    SELECT l.owner FROM {lock} AS l WHERE l.lock_id = 1 AND {as_seen} FOR UPDATE SKIP LOCKED
), taken AS (
    UPDATE {lock} AS l
    SET token = l.token + 1,
        owner = {run_id},
        caller = {caller},
        backend_pid = {session_pid},
        backend_start = {session_start},
        taken_at = pg_catalog.clock_timestamp(),
        expires_at = pg_catalog.clock_timestamp() + {lease_ms} * interval '1 millisecond'
    FROM held
    WHERE l.lock_id = 1
    RETURNING l.token
), abandoned AS (
    UPDATE {run} AS r
    SET status = 'abandoned', finished_at = pg_catalog.clock_timestamp()
    FROM held, taken
    WHERE r.run_id = held.owner AND r.run_id <> {run_id} AND r.finished_at IS NULL
), recorded AS (
    INSERT INTO {run} (run_id, action, caller, caller_reference, requested_by, reason, token,
                       started_at, status, package_version)
    SELECT {run_id}, {action}, {caller}, {reference}::jsonb, {requested_by}, {reason}, taken.token,
           pg_catalog.clock_timestamp(), 'running', {package_version}
    FROM taken
    ON CONFLICT (run_id) DO UPDATE SET token = excluded.token
)
SELECT taken.token, held.owner FROM taken, held
"""

_IS_FREE = "l.owner IS NULL"
_IS_AS_SEEN = """
    l.token = {token} AND l.owner = {owner} AND l.backend_pid IS NOT DISTINCT FROM {pid}
"""

# A role without the right to see backend_start reads NULL. Then a session with the process id of the
# holder counts as alive, and its application name, which everybody may see, shows whether it is the
# holder's.
#
# A row that somebody edited by hand may have no times, or infinite ones: then its lease has ended.
_HOLDER = """
SELECT l.owner, coalesce(l.caller, 'unknown'), l.token, l.backend_pid, l.backend_start::text,
       extract(epoch FROM l.taken_at)::float8, extract(epoch FROM l.expires_at)::float8,
       extract(epoch FROM l.expires_at - pg_catalog.clock_timestamp())::float8,
       coalesce(r.caller_reference::text, '{{}}'),
       (SELECT count(*) FROM pg_catalog.pg_stat_activity AS a
        WHERE a.datname = pg_catalog.current_database() AND a.application_name LIKE 'lockgate run=%')
FROM (
    SELECT owner, caller, token, backend_pid, backend_start,
           CASE WHEN isfinite(taken_at) THEN taken_at ELSE 'epoch' END AS taken_at,
           CASE WHEN isfinite(expires_at) THEN expires_at ELSE 'epoch' END AS expires_at
    FROM {lock}
) AS l
LEFT JOIN {run} AS r ON r.run_id = l.owner
WHERE l.owner IS NOT NULL
"""

# Sent as the role that signed in, which may always see and end its own sessions.
_SESSION = """
SELECT a.backend_start IS NOT NULL OR a.application_name LIKE {name}, a.application_name
FROM pg_catalog.pg_stat_activity AS a
WHERE a.pid = {pid} AND a.pid <> pg_catalog.pg_backend_pid()
  AND (a.backend_start = {started}::timestamptz OR a.backend_start IS NULL OR {started} IS NULL)
"""

_IS_ALIVE = """
SELECT FROM pg_catalog.pg_stat_activity AS a
WHERE a.pid = {pid}
  AND (a.backend_start = {started}::timestamptz
       OR ((a.backend_start IS NULL OR {started} IS NULL) AND a.application_name LIKE {name}))
"""

# The token grows here too, because the former session of this run may still work behind a broken
# network. If the lease has ended, another run may already have ended this one; it must not come back.
_RETAKE = """
UPDATE {lock}
SET token = token + 1, backend_pid = {session_pid}, backend_start = {session_start}
WHERE lock_id = 1 AND token = {token} AND owner = {run_id}
  AND expires_at > pg_catalog.clock_timestamp()
RETURNING token
"""

_RELEASE = """
UPDATE {lock}
SET owner = NULL, caller = NULL, backend_pid = NULL, backend_start = NULL, taken_at = NULL,
    expires_at = NULL
WHERE lock_id = 1 AND token = {token} AND owner = {run_id}
"""

# The token grows, so the former holder cannot commit any more.
_FORCE_UNLOCK = """
WITH held AS MATERIALIZED (
    SELECT l.owner FROM {lock} AS l WHERE l.lock_id = 1 AND {as_seen} FOR UPDATE
), broken AS (
    UPDATE {lock} AS l
    SET token = l.token + 1, owner = NULL, caller = NULL, backend_pid = NULL, backend_start = NULL,
        taken_at = NULL, expires_at = NULL
    FROM held WHERE l.lock_id = 1
    RETURNING l.token
), abandoned AS (
    UPDATE {run} AS r SET status = 'abandoned', finished_at = pg_catalog.clock_timestamp()
    FROM held WHERE r.run_id = held.owner AND r.finished_at IS NULL
), recorded AS (
    INSERT INTO {run} (run_id, action, caller, caller_reference, requested_by, reason, token,
                       started_at, finished_at, status, package_version)
    SELECT {run_id}, {action}, {caller}, {reference}::jsonb, {requested_by}, {reason}, broken.token,
           pg_catalog.clock_timestamp(), pg_catalog.clock_timestamp(), 'applied', {package_version}
    FROM broken
)
SELECT broken.token, held.owner FROM broken, held
"""

# A single statement can fail on purpose by division by zero; `apply/failures.py` recognises it by its
# place.
_FENCE = """
SELECT 1 / count(*) FROM (
    SELECT FROM {lock} WHERE lock_id = 1 AND token = {token} AND owner = {run_id} FOR UPDATE
) AS held
"""


def take_free_lock(
    connection: OwnConnection,
    tables: Tables,
    terms: Terms,
    meanwhile: Callable[[], object] | None = None,
) -> TakenLock | None:
    """Take the lock if nobody holds it, and record the run in the same statement.

    Never waits inside the server. Returns ``None`` if another run holds the lock or is just committing.
    ``meanwhile`` is called while the server works.
    """
    return _take(connection, tables, terms, _IS_FREE, meanwhile)


def take_over_lock(
    connection: OwnConnection, tables: Tables, terms: Terms, holder: Holder
) -> TakenLock | None:
    """Take the lock from a dead holder, if it is still the one that we read."""
    return _take(connection, tables, terms, _as_seen(holder))


def _as_seen(holder: Holder) -> str:
    return _IS_AS_SEEN.format(
        token=holder.token, owner=quote_literal(holder.run_id), pid=quote_literal(holder.pid)
    )


def _take(
    connection: OwnConnection,
    tables: Tables,
    terms: Terms,
    as_seen: str,
    meanwhile: Callable[[], object] | None = None,
) -> TakenLock | None:
    sql = _TAKE.format(
        **_terms_sql(tables, terms),
        **_session_sql(is_pooled=terms.is_pooled),
        lease_ms=terms.lease_ms,
        as_seen=as_seen,
    )
    rows = connection.send(f"{ownership_check_sql(tables)};\n{sql}", meanwhile=meanwhile)[1].rows
    return None if not rows else TakenLock(*rows[0])


def force_unlock(connection: OwnConnection, tables: Tables, terms: Terms, holder: Holder) -> bool:
    """Release the lock, fence its holder, and record who did it and why.

    Returns False if another run holds it by now. Waits while a holder commits.
    """
    sql = _FORCE_UNLOCK.format(**_terms_sql(tables, terms), as_seen=_as_seen(holder))
    return bool(connection.send(f"{ownership_check_sql(tables)};\n{sql}")[1].rows)


def _terms_sql(tables: Tables, terms: Terms) -> dict[str, str]:
    request = terms.request
    return {
        "lock": tables.lock,
        "run": tables.run,
        "run_id": quote_literal(terms.run_id),
        "caller": quote_literal(request.caller.name),
        "reference": quote_literal(terms.reference_json),
        "requested_by": quote_literal(request.requested_by),
        "reason": quote_literal(request.reason),
        "action": quote_literal(request.action),
        "package_version": quote_literal(terms.package_version),
    }


def _session_sql(*, is_pooled: bool) -> dict[str, str]:
    """Return how to identify this session in the lock row; a pooled session cannot be identified."""
    if is_pooled:
        return {"session_pid": "NULL", "session_start": "NULL"}
    start = f"pg_catalog.current_setting('{SESSION_START}')::timestamptz"
    return {"session_pid": "pg_catalog.pg_backend_pid()", "session_start": start}


def read_holder(
    connection: OwnConnection, tables: Tables, seen: Holder | None = None
) -> Holder | None:
    """Return the holder of the lock, or ``None`` if it is free.

    Takes one message if the holder is still the one that was ``seen`` last, otherwise two.
    """
    query = _HOLDER.format(lock=tables.lock, run=tables.run)
    sessions: Sequence[tuple[Any, ...]] = ()
    if seen is not None and seen.pid is not None:
        session = _SESSION.format(**_names(seen.run_id, seen.pid, seen.started))
        results = connection.send(f"{query};\nSET LOCAL ROLE NONE;\n{session}")
        sessions = results[2].rows
    else:
        results = connection.send(query)
    if not results[0].rows:
        return None
    row = results[0].rows[0]
    owner, _, _, pid, started, *_ = row
    is_seen = seen is not None and (owner, pid, started) == (seen.run_id, seen.pid, seen.started)
    if pid is not None and not is_seen:
        sessions = _as_session_user(connection, _SESSION.format(**_names(owner, pid, started)))
    return _make_holder(row, sessions)


def _make_holder(row: tuple[Any, ...], sessions: Sequence[tuple[Any, ...]]) -> Holder:
    """Return the holder of the lock from its row and its session, if that still runs."""
    owner, caller, token, pid, started, taken_at, expires_at, remaining, reference, runs = row
    is_known, application = sessions[0] if sessions else (False, None)
    return Holder(
        run_id=owner,
        caller=caller,
        token=token,
        pid=pid,
        started=started,
        taken_at=datetime.fromtimestamp(taken_at, UTC),
        expires_at=datetime.fromtimestamp(expires_at, UTC),
        remaining_seconds=remaining,
        reference=json.loads(reference),
        is_alive=pid is None or bool(sessions),
        is_known=bool(is_known),
        at=application.rpartition(" at=")[2] if application and " at=" in application else None,
        runs=runs,
    )


def _names(owner: str, pid: int | None, started: str | None) -> dict[str, str]:
    return {
        "pid": quote_literal(pid),
        "started": quote_literal(started),
        "name": quote_literal(f"lockgate run={owner} %"),
    }


def _as_session_user(connection: OwnConnection, sql: str) -> list[tuple[Any, ...]]:
    return list(connection.send(f"SET LOCAL ROLE NONE;\n{sql}")[1].rows)


def terminate_holder(connection: OwnConnection, holder: Holder) -> None:
    """Ask the server to end the session of the holder, but no other session with its process id.

    Raises:
        StatementError: the role may not do that.
    """
    alive = _alive_sql(holder)
    _as_session_user(
        connection, f"SELECT pg_catalog.pg_terminate_backend({holder.pid}) WHERE EXISTS ({alive})"
    )


def is_holder_alive(connection: OwnConnection, holder: Holder) -> bool:
    """Return whether the session of the holder exists."""
    return bool(_as_session_user(connection, f"SELECT 1 WHERE EXISTS ({_alive_sql(holder)})"))


def _alive_sql(holder: Holder) -> str:
    return _IS_ALIVE.format(**_names(holder.run_id, holder.pid, holder.started))


def retake_lock(
    connection: OwnConnection, tables: Tables, token: int, run_id: str, *, is_pooled: bool
) -> int | None:
    """Move the lock of this run to this session and return the new token.

    Returns ``None`` if the lock is no longer held with the old token.
    """
    sql = _RETAKE.format(
        lock=tables.lock,
        token=token,
        run_id=quote_literal(run_id),
        **_session_sql(is_pooled=is_pooled),
    )
    rows = connection.send(f"{ownership_check_sql(tables)};\n{sql}")[1].rows
    return rows[0][0] if rows else None


def release_sql(tables: Tables, token: int, run_id: str) -> str:
    """Return the statement that releases the lock if it is still held with this token."""
    return _RELEASE.format(lock=tables.lock, token=token, run_id=quote_literal(run_id))


def fence_sql(tables: Tables, token: int, run_id: str) -> str:
    """Return the statement that fails unless the lock is still held with this token.

    It locks the row until the transaction ends, so that nobody can take the lock between the check and
    the commit.
    """
    return _FENCE.format(lock=tables.lock, token=token, run_id=quote_literal(run_id))
