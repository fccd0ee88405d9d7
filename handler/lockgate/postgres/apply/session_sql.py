"""The SQL that gives a migration a session like a new one, and that frames its transaction."""

from __future__ import annotations

from lockgate.postgres.apply.constraints import RESET_ALL_BUT_CHECKED
from lockgate.postgres.quoting import quote_identifier, quote_literal

BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
COMMIT = "COMMIT"
# The last commit of a run, which frees the lock, is synchronous and flushes all that came before.
COMMIT_LATER = "SET LOCAL synchronous_commit = off"

_RESET_ALL = "RESET ALL"
# It leaves all the others alone.
_AS_NEW = (
    "RESET SESSION AUTHORIZATION",
    "RESET ROLE",
    _RESET_ALL,
    "CLOSE ALL",
    "DEALLOCATE ALL",
    "UNLISTEN *",
    "DISCARD TEMP",
    "DISCARD SEQUENCES",
)

# A statement whose client is gone ends by itself: the server looks for a closed socket, and its
# kernel notices one that only fell silent. No timeout of the role's or the database's applies to
# migrations.
_OTHERS = """('client_connection_check_interval', '2000'), ('tcp_keepalives_idle', '10'),
    ('tcp_keepalives_interval', '5'), ('tcp_keepalives_count', '3'),
    ('idle_in_transaction_session_timeout', '0'),
    ('idle_session_timeout', '0')"""
_OTHERS_NOW = f"{_OTHERS}, ('transaction_timeout', '0')"
_HAS_TRANSACTION_TIMEOUT = 170000

# Rows are kept of what begins with this column.
_MAKE_SETTINGS = """
SELECT extract(epoch FROM pg_catalog.clock_timestamp()) AS lockgate_record,
       pg_catalog.count(pg_catalog.set_config(name, value, {is_local})){unlock}
FROM (VALUES
    ('application_name', {application_name}), ('lock_timeout', '{lock_timeout}'),
    ('statement_timeout', '{statement_timeout}'), ('client_min_messages', '{messages}'),
    {others}) AS settings (name, value)
"""
_UNLOCK = ", pg_catalog.pg_advisory_unlock_all()"
# Whoever had a borrowed session before may have set anything; it gets that back at the end.
LOCALLY_AS_NEW = """
SELECT pg_catalog.count(pg_catalog.set_config(name, reset_val, true))
FROM pg_catalog.pg_settings
WHERE source OPERATOR(pg_catalog.=) 'session'
  AND name OPERATOR(pg_catalog.!~) '^transaction_'
  AND (context OPERATOR(pg_catalog.=) 'user'
       OR pg_catalog.current_setting('is_superuser') OPERATOR(pg_catalog.=) 'on')
"""
END_TIME = "SELECT extract(epoch FROM pg_catalog.clock_timestamp()) AS lockgate_record"


def as_new_sql(set_role: str | None, *, is_checked: bool) -> list[str]:
    """Return the statements that make a session as new, acting as ``set_role``.

    ``is_checked``: the note of which constraints were checked in this transaction stays.
    """
    role = [] if set_role is None else [f"SET ROLE {quote_identifier(set_role)}"]
    as_new = [*_AS_NEW, *role]
    return [RESET_ALL_BUT_CHECKED if is_checked and sql == _RESET_ALL else sql for sql in as_new]


def settings_sql(
    application_name: str,
    *,
    lock_timeout_ms: int,
    statement_timeout_ms: int,
    least_message: str,
    server_version: int,
    is_local: bool,
) -> str:
    """Return the one statement that makes the settings, tells the time and frees advisory locks.

    A statement for each of them took a tenth of the time of a small migration. ``is_local``: for this
    transaction only, and advisory locks stay.
    """
    return _MAKE_SETTINGS.format(
        is_local="true" if is_local else "false",
        unlock="" if is_local else _UNLOCK,
        application_name=quote_literal(application_name),
        lock_timeout=lock_timeout_ms,
        statement_timeout=statement_timeout_ms,
        messages=least_message,
        others=_OTHERS if server_version < _HAS_TRANSACTION_TIMEOUT else _OTHERS_NOW,
    )
