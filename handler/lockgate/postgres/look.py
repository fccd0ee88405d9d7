"""The first look at a server: one message, and what is wrong with the server if something is.

Knows the facts that a run depends on. Changes nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lockgate.core.probe import Probe
from lockgate.errors import HistoryUnusable, LockgateError, TargetUnsuitable
from lockgate.postgres.connection import Connection, Result, StatementError
from lockgate.postgres.digest import Digest, digest_sql
from lockgate.postgres.quoting import quote_identifier, quote_literal, write_name
from lockgate.postgres.schema import (
    LAYOUT_VERSION,
    STRANGER_FOUND,
    Tables,
    guard_sql,
    has_columns_sql,
    strangers_sql,
)
from lockgate.value import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from lockgate.core.target import Endpoint
    from lockgate.settings import Pooler

OLDEST_SERVER = 140000
_UNDEFINED_TABLE, _UNDEFINED_COLUMN, _FORBIDDEN = "42P01", "42703", "42501"
_NO_SUCH_SETTING, _READ_ONLY = "42704", "25006"

# Statements of ours are answered well within what a silence is given (`connector.ANSWER_SECONDS`).
OWN_LOCK_TIMEOUT_MS = 5_000

# Where a session keeps its own start, which it may not see any more once it acts as another role.
SESSION_START = "lockgate.session_start"

_REMEMBER_START = """
SELECT pg_catalog.set_config('{name}', backend_start::text, false)
FROM pg_catalog.pg_stat_activity WHERE pid = pg_catalog.pg_backend_pid()
"""

# Of our own statements every name and operator is PostgreSQL's, whatever path the role or the database
# has been given: the next best match for an operator may be somebody else's, in a schema of the path.
OWN_PATH = "search_path = pg_catalog, pg_temp"
# For one message whose names are looked up on the path that there is: operators are PostgreSQL's first.
# One without an exact match there may still be somebody else's, so its operands are cast.
OWN_OPERATORS = """
SELECT pg_catalog.set_config(
    'search_path',
    pg_catalog.concat('pg_catalog, ', pg_catalog.current_setting('search_path')), true)
"""

_FACTS = """
SELECT pg_catalog.current_database(), session_user, pg_catalog.pg_backend_pid(),
       pg_catalog.current_setting('server_version_num')::integer,
       pg_catalog.current_setting('server_version'),
       pg_catalog.current_setting('transaction_read_only')::boolean,
       pg_catalog.current_setting('max_locks_per_transaction')::integer
           * (pg_catalog.current_setting('max_connections')::integer
              + pg_catalog.current_setting('max_prepared_transactions')::integer),
       EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = {schema}),
       NOT EXISTS (
           SELECT FROM pg_catalog.pg_class AS c
           JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
           WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
             AND n.nspname NOT IN ('pg_catalog', 'information_schema', {schema})
             AND n.nspname !~ '^pg_'
             AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d
                             WHERE d.classid = 'pg_catalog.pg_class'::regclass
                               AND d.objid = c.oid AND d.deptype = 'e')),
       (SELECT min(owner) FROM ({strangers}) AS strangers),
       {has_columns}
"""


def session_sql(set_role: str | None) -> list[str]:
    """Return the statements that set up a session for our own tables."""
    statements = [
        "RESET SESSION AUTHORIZATION",
        "RESET ALL",
        f"SET {OWN_PATH}",
        "SET client_connection_check_interval = 2000",
        "SET idle_in_transaction_session_timeout = 0",
        # A run that waits for the lock is idle between two looks.
        "SET idle_session_timeout = 0",
        f"SET lock_timeout = {OWN_LOCK_TIMEOUT_MS}",
        _REMEMBER_START.format(name=SESSION_START),
    ]
    return (
        statements if set_role is None else [*statements, f"SET ROLE {quote_identifier(set_role)}"]
    )


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a server, and the words for what it refuses."""

    tables: Tables
    set_role: str | None

    def setup_sql(self) -> str:
        """Return what sets a session up, as a transaction that keeps it whatever comes after."""
        return ";\n".join(["BEGIN", *session_sql(self.set_role), "COMMIT"])

    def probe(self, connection: Connection, meanwhile: Callable[[], object] | None = None) -> Probe:
        """Look: one message, whether or not there is a history.

        ``meanwhile`` is called while the server works.

        Raises:
            TargetUnsuitable: the server is too old, or hides our tables.
            HistoryUnusable: a newer release laid out our tables.
            ConnectionLost: the connection broke.
        """
        schema = quote_literal(self.tables.schema_name)
        facts = _FACTS.format(
            schema=schema,
            strangers=strangers_sql(self.tables),
            has_columns=has_columns_sql(self.tables),
        )
        setup = session_sql(self.set_role)
        # What is committed stays, also where the query behind it fails for want of a history. A table
        # of a stranger's is not even read: what it is and does, the stranger decides.
        message = ";\n".join(
            ["BEGIN", *setup, facts, "COMMIT", guard_sql(self.tables), digest_sql(self.tables)]
        )
        try:
            results = connection.send(message, meanwhile=meanwhile)
        except StatementError as error:
            if error.sqlstate not in {_UNDEFINED_TABLE, STRANGER_FOUND}:
                raise self.refusal(error) from error
            results = error.results
        return self._to_probe(results, connection)

    def _to_probe(self, results: list[Result], connection: Connection) -> Probe:
        # The facts stand before the COMMIT that keeps the session's settings.
        place = [result.tag for result in results].index("COMMIT")
        (database, user, pid, number, version, read_only, slots, has_schema, is_fresh,
         stranger, has_columns) = results[place - 1].rows[0]  # fmt: skip
        if number < OLDEST_SERVER:
            raise TargetUnsuitable(
                f"The server is PostgreSQL {version}; Lockgate needs 14 or later."
                " Nothing was changed.",
                hint="Upgrade the server.",
            )
        if stranger is not None:
            raise self._refuse_stranger(stranger)
        probe = Probe(
            database=database,
            user=user,
            server_version=version.split(" ")[0],
            version_number=number,
            is_read_only=read_only,
            lock_slots=slots,
            has_schema=has_schema,
            is_fresh=is_fresh,
            behind_pooler=connection.backend_pid != pid,
            has_columns=has_columns,
        )
        has_digest = len(results) > place + 2
        return self._with_digest(probe, results[-1]) if has_digest else probe

    def _refuse_stranger(self, owner: str) -> TargetUnsuitable:
        schema = self.tables.schema_name
        return TargetUnsuitable(
            f"Tables in schema {schema} belong to role {owner}, in whose rights this role has no part."
            " Nothing was read or changed.",
            hint=f"Whoever owns them decides what runs here. If that is right, set LOCKGATE_SET_ROLE"
            f" or GRANT {write_name(owner)} to this role; else drop the schema, or set LOCKGATE_SCHEMA.",
        )

    def _with_digest(self, probe: Probe, result: Result) -> Probe:
        digest = Digest(*result.rows[0])
        if digest.layout_version is not None and digest.layout_version > LAYOUT_VERSION:
            raise HistoryUnusable(
                f"The tables in schema {self.tables.schema_name} have layout"
                f" {digest.layout_version}; this package knows up to {LAYOUT_VERSION}."
                " Nothing was changed.",
                hint="Deploy the release of Lockgate that wrote them, or a later one.",
            )
        return replace(
            probe,
            digest=digest.digest,
            down_digest=digest.down_digest,
            count=digest.count,
            unfinished=digest.unfinished,
            has_lock=digest.layout_version is not None,
            is_held=digest.owner is not None,
            lock_token=digest.token,
            is_fresh=probe.is_fresh and digest.count == 0,
        )

    def refusal(self, error: StatementError) -> LockgateError:
        """Return what the server's refusal of a statement of ours means."""
        schema = self.tables.schema_name
        if self.set_role is not None and f'"{self.set_role}"' in str(error):
            return self._refuse_role(self.set_role, error)
        if error.sqlstate == _FORBIDDEN:
            return TargetUnsuitable(
                f"The role may not use the tables in schema {schema}: {error}. Nothing was changed.",
                hint=f"Let the owner of schema {schema} run migrations, or set LOCKGATE_SET_ROLE to"
                " that role.",
            )
        if error.sqlstate == _UNDEFINED_COLUMN:
            return HistoryUnusable(
                f"The tables in schema {schema} are not Lockgate's: {error}. Nothing was changed.",
                hint="Set LOCKGATE_SCHEMA to another name.",
            )
        if error.sqlstate == _NO_SUCH_SETTING:
            return TargetUnsuitable(
                f"The server is older than PostgreSQL 14: {error}. Nothing was changed.",
                hint="Upgrade the server.",
            )
        return TargetUnsuitable(
            f"The server refused a statement of Lockgate's own ({error.sqlstate}): {error}."
            " No migration was run by it.",
            hint=f"See what this role may do, and that nobody changed the tables in schema {schema}.",
        )

    def _refuse_role(self, role: str, error: StatementError) -> LockgateError:
        if error.sqlstate == _FORBIDDEN:
            return TargetUnsuitable(
                f"The role that signs in may not act as the one in LOCKGATE_SET_ROLE: {error}."
                " Nothing was changed.",
                hint=f"GRANT {write_name(role)} to the role that signs in, or correct"
                " LOCKGATE_SET_ROLE.",
            )
        return TargetUnsuitable(
            f"LOCKGATE_SET_ROLE names a role that is not there: {error}. Nothing was changed.",
            hint=f"Create it (CREATE ROLE {write_name(role)}), or correct LOCKGATE_SET_ROLE.",
        )

    def uninstallable(self, error: StatementError, probe: Probe) -> LockgateError:
        """Return what it means that our tables could not be created."""
        schema = self.tables.schema_name
        if error.sqlstate == STRANGER_FOUND:
            return self._refuse_stranger("of somebody else's")
        if error.sqlstate == _UNDEFINED_COLUMN:
            return self.refusal(error)
        if error.sqlstate == _FORBIDDEN:
            return TargetUnsuitable(
                f"The role {probe.user} may not create Lockgate's tables in database"
                f" {probe.database}: {error}. Nothing was changed.",
                hint="As the database's owner: GRANT CREATE ON DATABASE"
                f" {write_name(probe.database)} TO {write_name(probe.user)}; or CREATE SCHEMA"
                f" {write_name(schema)} AUTHORIZATION {write_name(probe.user)}.",
            )
        return TargetUnsuitable(
            f"Lockgate's tables could not be created in schema {schema}: {error}"
            f" ({error.sqlstate}). Nothing was changed.",
            hint="Mend what the message names and invoke again.",
        )


def refuse_read_only(probe: Probe) -> None:
    """Refuse a server on which nothing can be written.

    Raises:
        TargetUnsuitable: it is a standby, or transactions are read-only by default.
    """
    if probe.is_read_only:
        raise TargetUnsuitable(
            f"Database {probe.database} is read-only here (a standby, or"
            " default_transaction_read_only). Nothing was changed.",
            hint="Connect to the writer: the cluster endpoint, not the reader endpoint.",
        )


def refuse_pooler(probe: Probe, policy: Pooler, endpoint: Endpoint | None) -> None:
    """Refuse a pooler before the database, unless a setting allows it. RDS Proxy pins and works.

    Raises:
        TargetUnsuitable: there is one, and ``LOCKGATE_POOLER`` is ``refuse``.
    """
    is_proxy = endpoint is not None and ".proxy-" in endpoint.host
    if probe.behind_pooler and policy == "refuse" and not is_proxy:
        raise TargetUnsuitable(
            "A connection pooler is before the database, and the lock needs one session."
            " Nothing was changed.",
            hint="Connect to the database itself; or set LOCKGATE_POOLER=session if the pooler"
            " pools sessions, LOCKGATE_POOLER=lease if it pools transactions.",
        )
