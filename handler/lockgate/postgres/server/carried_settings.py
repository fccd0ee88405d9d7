"""Session settings that one migration passes to the next, for tools that run all in one session.

They are read after a migration is committed and set again before each one that follows. In between, the
session is Lockgate's own; after a broken connection it is a new one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lockgate.core.catalog import SessionRule
from lockgate.postgres.quoting import quote_literal

if TYPE_CHECKING:
    from lockgate.postgres.server.connection import Connection

# Settings that Lockgate makes for every migration, and those that decide how scripts are parsed.
_NOT_CARRIED: Final = (
    "application_name",
    "client_connection_check_interval",
    "client_encoding",
    "client_min_messages",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "lock_timeout",
    "standard_conforming_strings",
    "statement_timeout",
    "transaction_timeout",
)
_READ = """
SELECT name, setting FROM pg_catalog.pg_settings
 WHERE source OPERATOR(pg_catalog.=) 'session'
   AND name OPERATOR(pg_catalog.!~) '^(transaction|tcp)_'
   AND NOT (name OPERATOR(pg_catalog.=) ANY (ARRAY[{names}]))
UNION ALL
SELECT 'role', pg_catalog.current_setting('role')
"""
_PATH, _ROLE, _NO_ROLE = "search_path", "role", "none"


def read_carried_settings(connection: Connection, rule: SessionRule) -> tuple[str, ...]:
    """Return the statements that restore the settings of this session, outside a transaction.

    An empty search path is not carried on: it is useless, and dumps of pg_dump leave it behind.
    """
    names = ", ".join(map(quote_literal, _NOT_CARRIED))
    rows = connection.send(_READ.format(names=names))[0].rows
    settings = {str(name): str(value) for name, value in rows}
    if settings.get(_PATH) in {"", '""'} or rule is SessionRule.SETTINGS:
        settings.pop(_PATH, None)
    if settings[_ROLE] == _NO_ROLE or rule is SessionRule.SETTINGS:
        del settings[_ROLE]
    return tuple(
        f"SELECT pg_catalog.set_config({quote_literal(name)}, {quote_literal(value)}, false)"
        # The role comes last: it may not be allowed to make the other settings.
        for name, value in sorted(settings.items(), key=lambda item: (item[0] == _ROLE, item[0]))
    )
