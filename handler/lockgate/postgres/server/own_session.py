"""Lockgate's own role and settings: for one message that leaves nothing behind, or for a run's session.

Nobody knows before the first answer whether a pooler lends the session of an application. So a look sets
what it needs with SET LOCAL in the transaction of its message, and only a run that takes the lock sets
up its session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.fast_start.dataclass import dataclass
from lockgate.postgres.quoting import quote_identifier, quote_literal
from lockgate.postgres.server.statement_result import Result, StatementError

if TYPE_CHECKING:
    from collections.abc import Callable

    from lockgate.postgres.server.connection import Connection

# Lockgate's own statements are answered well within what a silent server is given
# (`connector.ANSWER_SECONDS`).
OWN_LOCK_TIMEOUT_MS = 5_000

# Of our own statements every name and operator is PostgreSQL's, whatever path the role or the database
# has been given: the next best match for an operator may be somebody else's, in a schema of the path.
OWN_PATH = "search_path = pg_catalog, pg_temp"

# The role may have settings of its own. A policy that hides rows must be an error, not an empty history;
# times and numbers must be read as they were written.
_LOCAL_SETTINGS = """
SELECT pg_catalog.count(pg_catalog.set_config(name, value, true))
FROM (VALUES
    ('search_path', 'pg_catalog, pg_temp'), ('row_security', 'off'), ('statement_timeout', '0'),
    ('lock_timeout', '{lock_timeout}'), ('DateStyle', 'ISO'), ('TimeZone', 'UTC'),
    ('extra_float_digits', '1'), ('transform_null_equals', 'off')) AS settings (name, value)
"""

# Where a message keeps its session's start, which it may not see any more once it acts as another role.
SESSION_START = "lockgate.session_start"
_REMEMBER_START = """
SELECT pg_catalog.set_config('lockgate.session_start', backend_start::text, true)
FROM pg_catalog.pg_stat_activity WHERE pid = pg_catalog.pg_backend_pid()
"""

# Serializable and deferrable by default, a transaction would wait before its first query.
_ISOLATION = "SET LOCAL transaction_isolation = 'read committed'"
# A script may have left the session read-only.
_READ_WRITE = "SET LOCAL transaction_read_only = off"

_SESSION = (
    "RESET SESSION AUTHORIZATION",
    "RESET ROLE",
    "RESET ALL",
    "SET client_connection_check_interval = 2000",
    "SET idle_in_transaction_session_timeout = 0",
    # A run that waits for the lock, or for a backup, is idle between two messages.
    "SET idle_session_timeout = 0",
)


def local_settings_sql() -> str:
    """Return the statement that makes our settings, for this transaction or savepoint."""
    return _LOCAL_SETTINGS.format(lock_timeout=OWN_LOCK_TIMEOUT_MS)


def role_sql(set_role: str | None) -> str:
    """Return what makes a transaction act as ``set_role``, else as the role that a session begins with.

    That is not always the one that signs in: ``ALTER ROLE … SET role`` names another.
    """
    if set_role is None:
        return "SET LOCAL role TO DEFAULT"
    return f"SET LOCAL ROLE {quote_identifier(set_role)}"


def _name_sql(run_id: str) -> str:
    """Return what gives the session the name by which other runs know it."""
    return f"SET application_name = {quote_literal(f'lockgate run={run_id} ')}"


@dataclass(frozen=True, slots=True)
class OwnConnection:
    """The connection as Lockgate's own statements use it: each message is one transaction.

    It has our role and settings, and leaves the session as it was, unless it ``begins_run``, the id of a
    run: then the session is set up for that too. ``names_session``: the message can tell its session's
    start. ``writes``: the transaction is not read-only, whatever the session's default is.
    """

    connection: Connection
    set_role: str | None
    writes: bool = False
    begins_run: str | None = None
    names_session: bool = False

    def send(self, sql: str, *, meanwhile: Callable[[], object] | None = None) -> list[Result]:
        """Send statements and return their results; see `Connection.send`.

        A statement that is refused ends the transaction, so nothing is left to be rolled back unless the
        statements begin a transaction block themselves.
        """
        before = self._before()
        message = ";\n".join([*before, sql])
        try:
            return self.connection.send(message, meanwhile=meanwhile)[len(before) :]
        except StatementError as error:
            del error.results[: len(before)]
            raise

    def _before(self) -> list[str]:
        mode = (_READ_WRITE,) if self.writes else ()
        setup = () if self.begins_run is None else (*_SESSION, _name_sql(self.begins_run))
        start = ("SET LOCAL ROLE NONE", _REMEMBER_START) if self.names_session else ()
        user = "SET LOCAL SESSION AUTHORIZATION DEFAULT"
        settings = local_settings_sql()
        return [_ISOLATION, *mode, *setup, user, settings, *start, role_sql(self.set_role)]
