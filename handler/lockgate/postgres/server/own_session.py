"""The role and settings for Lockgate's own statements, for one message or for the session of a run.

Until the first answer, the session may be one that a pooler also lends to applications. So a message
that only reads uses SET LOCAL, and only a run that takes the lock sets up its session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.fast_start.dataclass import dataclass
from lockgate.postgres.quoting import quote_identifier, quote_literal
from lockgate.postgres.server.statement_result import Result, StatementError

if TYPE_CHECKING:
    from collections.abc import Callable

    from lockgate.postgres.server.connection import Connection

# Well below `connector.ANSWER_SECONDS`, after which a server counts as silent.
OWN_LOCK_TIMEOUT_MS = 5_000

# In Lockgate's own statements every name and operator must be PostgreSQL's own. With the search path of
# the role, an operator of another user could be a better match.
OWN_PATH = "search_path = pg_catalog, pg_temp"

# The role may have its own settings. A policy that hides rows must cause an error instead of an empty
# history, and times and numbers must be read as they were written.
_LOCAL_SETTINGS = """
SELECT pg_catalog.count(pg_catalog.set_config(name, value, true))
FROM (VALUES
    ('search_path', 'pg_catalog, pg_temp'), ('row_security', 'off'), ('statement_timeout', '0'),
    ('lock_timeout', '{lock_timeout}'), ('DateStyle', 'ISO'), ('TimeZone', 'UTC'),
    ('extra_float_digits', '1'), ('transform_null_equals', 'off')) AS settings (name, value)
"""

# The start of the session is stored here, because another role may not see it.
SESSION_START = "lockgate.session_start"
_REMEMBER_START = """
SELECT pg_catalog.set_config('lockgate.session_start', backend_start::text, true)
FROM pg_catalog.pg_stat_activity WHERE pid = pg_catalog.pg_backend_pid()
"""

# If the default is serializable and deferrable, a transaction would wait before its first query.
_ISOLATION = "SET LOCAL transaction_isolation = 'read committed'"
# A script may have set the session to read-only.
_READ_WRITE = "SET LOCAL transaction_read_only = off"

_SESSION = (
    "RESET SESSION AUTHORIZATION",
    "RESET ROLE",
    "RESET ALL",
    "SET client_connection_check_interval = 2000",
    "SET idle_in_transaction_session_timeout = 0",
    # A run is idle between two messages while it waits for the lock or for a backup.
    "SET idle_session_timeout = 0",
)


def local_settings_sql() -> str:
    """Return the statement that sets Lockgate's settings for this transaction or savepoint."""
    return _LOCAL_SETTINGS.format(lock_timeout=OWN_LOCK_TIMEOUT_MS)


def role_sql(set_role: str | None) -> str:
    """Return the statement that sets the role of a transaction; without ``set_role``, to the default.

    The default is not always the role that signs in: ``ALTER ROLE … SET role`` may name another.
    """
    if set_role is None:
        return "SET LOCAL role TO DEFAULT"
    return f"SET LOCAL ROLE {quote_identifier(set_role)}"


def _name_sql(run_id: str) -> str:
    """Return the statement that gives the session the name by which other runs recognise it."""
    return f"SET application_name = {quote_literal(f'lockgate run={run_id} ')}"


@dataclass(frozen=True, slots=True)
class OwnConnection:
    """Sends Lockgate's own statements with its role and settings; each message is one transaction.

    It leaves the session as it was, unless ``begins_run`` (a run id) is given: then it also sets up the
    session for that run. ``names_session``: the message can read the start of its session. ``writes``:
    the transaction is not read-only, whatever the default of the session.
    """

    connection: Connection
    set_role: str | None
    writes: bool = False
    begins_run: str | None = None
    names_session: bool = False

    def send(self, sql: str, *, meanwhile: Callable[[], object] | None = None) -> list[Result]:
        """Send statements and return their results; see `Connection.send`.

        A refused statement ends the transaction, so nothing is left to roll back unless the statements
        begin a transaction block themselves.
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
