"""The SQL that resets a session for a migration, and that begins and ends its transaction."""

from __future__ import annotations

from lockgate.postgres.apply.constraints import RESET_ALL_BUT_CHECKED
from lockgate.postgres.quoting import quote_identifier, quote_literal

BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
COMMIT = "COMMIT"
# The last commit of a run, which releases the lock, is synchronous and flushes all earlier ones.
COMMIT_LATER = "SET LOCAL synchronous_commit = off"

_RESET_ALL = "RESET ALL"
# RESET ALL resets settings only, so the rest follows.
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

# A statement ends by itself when its client is gone: the server checks for a closed socket, and
# keepalive notices a silent network. Timeouts of the role or the database do not apply to migrations.
_OTHERS = """('client_connection_check_interval', '2000'), ('tcp_keepalives_idle', '10'),
    ('tcp_keepalives_interval', '5'), ('tcp_keepalives_count', '3'),
    ('idle_in_transaction_session_timeout', '0'),
    ('idle_session_timeout', '0')"""
_OTHERS_NOW = f"{_OTHERS}, ('transaction_timeout', '0')"
_HAS_TRANSACTION_TIMEOUT = 170000

# Only results whose first column has this name are read.
_MAKE_SETTINGS = """
SELECT extract(epoch FROM pg_catalog.clock_timestamp()) AS lockgate_record,
       pg_catalog.count(pg_catalog.set_config(name, value, {is_local})){unlock}
FROM (VALUES
    ('application_name', {application_name}), ('lock_timeout', '{lock_timeout}'),
    ('statement_timeout', '{statement_timeout}'), ('client_min_messages', '{messages}'),
    {others}) AS settings (name, value)
"""
_UNLOCK = ", pg_catalog.pg_advisory_unlock_all()"
# The previous client of a borrowed session may have set anything; its settings return at the end.
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
    """Return the statements that reset a session and set the role.

    ``is_checked``: remember which constraints were checked in this transaction.
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
    """Return one statement that makes the settings, reads the clock and releases advisory locks.

    Separate statements took a tenth of the time of a small migration. ``is_local``: for this transaction
    only, without releasing advisory locks.
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
