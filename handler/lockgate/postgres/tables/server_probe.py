"""The first query to a server: one message that reads everything a run depends on. Changes nothing.

It also translates the errors of the server into Lockgate's own.
"""

from __future__ import annotations

import struct
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from lockgate.core.probe import Probe
from lockgate.errors import DatabaseBusy, HistoryUnusable, LockgateError, TargetUnsuitable
from lockgate.fast_start.dataclass import dataclass
from lockgate.postgres.quoting import quote_literal, write_name
from lockgate.postgres.server.own_session import OwnConnection
from lockgate.postgres.server.statement_result import Result, StatementError
from lockgate.postgres.server.unsupported_servers import IS_LIMITLESS
from lockgate.postgres.tables.digest import Digest, digest_sql
from lockgate.postgres.tables.schema import LAYOUT_VERSION, has_columns_sql
from lockgate.postgres.tables.untrusted_owners import (
    UNTRUSTED_OWNER_FOUND,
    UntrustedOwner,
    first_untrusted_owner_sql,
    hidden_rows_sql,
    ownership_check_sql,
    refuse_hidden_rows,
    refuse_new_untrusted_owner,
    refuse_untrusted_owner,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lockgate.postgres.server.connection import Connection
    from lockgate.postgres.tables.table_names import Tables


OLDEST_SERVER = 140000
_UNDEFINED_TABLE, _UNDEFINED_COLUMN, _FORBIDDEN = "42P01", "42703", "42501"
_NO_SUCH_SETTING, _LOCK_NOT_AVAILABLE = "42704", "55P03"
_NOT_POSTGRES = {
    _NO_SUCH_SETTING: ("The server is older than PostgreSQL 14", "Upgrade the server."),
    "0A000": (
        "The server does not support a statement that PostgreSQL supports",
        "Use PostgreSQL, RDS or Aurora PostgreSQL. Other servers with its protocol are not supported.",
    ),
}
_SERVER_PLACE, _FACTS_PLACE = 0, 1

# For one message that keeps the search path of the role: puts PostgreSQL's operators first. An operator
# without an exact match may still be another user's, so the operands are cast.
OWN_OPERATORS = """
SELECT pg_catalog.set_config(
    'search_path',
    pg_catalog.concat('pg_catalog, ', pg_catalog.current_setting('search_path')), true)
"""

# Comes first, so that it is answered even if the server rejects the rest.
_SERVER = """
SELECT pg_catalog.current_setting('server_version_num')::integer,
       pg_catalog.current_setting('server_version'), pg_catalog.pg_backend_pid()
"""

_FACTS = """
SELECT pg_catalog.current_database(), session_user, current_user,
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
       ({untrusted}), ({hidden}), ({limitless}),
       {has_columns}
"""


@contextmanager
def _expect_postgres() -> Iterator[None]:
    """Refuse a server whose answer does not look like PostgreSQL's."""
    try:
        yield
    except (AttributeError, IndexError, TypeError, ValueError, struct.error) as error:
        raise TargetUnsuitable(
            "The server does not answer like PostgreSQL.",
            hint="Check host and port: the console of a pooler or another product may answer there.",
        ) from error


@dataclass(frozen=True, slots=True)
class ServerProbe:
    """Probes a server and translates its errors."""

    tables: Tables
    set_role: str | None

    def probe(self, connection: Connection, meanwhile: Callable[[], object] | None = None) -> Probe:
        """Read the facts in one message, with or without a history. Leaves nothing behind.

        ``meanwhile`` is called while the server works.

        Raises:
            TargetUnsuitable: the server is too old, or an untrusted role controls our tables.
            HistoryUnusable: a newer release created our tables, or some of their rows are hidden.
            ConnectionLost: the connection broke.
        """
        facts = _FACTS.format(
            schema=quote_literal(self.tables.schema_name),
            untrusted=first_untrusted_owner_sql(self.tables),
            hidden=hidden_rows_sql(self.tables),
            limitless=IS_LIMITLESS,
            has_columns=has_columns_sql(self.tables),
        )
        # A table with an untrusted owner is not even read: reading it may run the code of that owner.
        guard, digest = ownership_check_sql(self.tables), digest_sql(self.tables)
        message = f"{_SERVER};\n{facts};\nSET LOCAL transaction_read_only = on;\n{guard};\n{digest}"
        try:
            results = OwnConnection(connection, self.set_role).send(message, meanwhile=meanwhile)
        except StatementError as error:
            with _expect_postgres():
                return self._read_refused(error, connection)
        with _expect_postgres():
            return self._with_digest(self._to_probe(results, connection), results[-1])

    def _read_refused(self, error: StatementError, connection: Connection) -> Probe:
        self._refuse_old(error.results)
        if len(error.results) <= _FACTS_PLACE:
            raise self.refusal(error) from error
        probe = self._to_probe(error.results, connection)
        if error.sqlstate != _UNDEFINED_TABLE:
            raise self.refusal(error) from error
        return probe

    def _refuse_old(self, results: list[Result]) -> None:
        if results and results[_SERVER_PLACE].rows[0][0] < OLDEST_SERVER:
            raise TargetUnsuitable(
                f"The server is PostgreSQL {results[_SERVER_PLACE].rows[0][1]}; Lockgate needs 14 or"
                " later.",
                hint="Upgrade the server.",
            )

    def _to_probe(self, results: list[Result], connection: Connection) -> Probe:
        self._refuse_old(results)
        number, version, pid = results[_SERVER_PLACE].rows[0]
        (database, user, role, read_only, slots, has_schema, is_fresh, untrusted, hidden, is_limitless,
         has_columns) = results[_FACTS_PLACE].rows[0]  # fmt: skip
        if untrusted is not None:
            raise refuse_untrusted_owner(
                self.tables.schema_name, UntrustedOwner.parse(untrusted), role
            )
        if hidden is not None:
            raise refuse_hidden_rows(self.tables.schema_name, hidden, role)
        return Probe(
            database=database,
            user=user,
            role=role,
            server_version=version.split(" ")[0],
            version_number=number,
            is_read_only=read_only,
            lock_slots=slots,
            has_schema=has_schema,
            is_limitless=is_limitless,
            is_fresh=is_fresh,
            behind_pooler=connection.backend_pid != pid,
            has_columns=has_columns,
        )

    def _with_digest(self, probe: Probe, result: Result) -> Probe:
        digest = Digest(*result.rows[0])
        if digest.layout_version is not None and digest.layout_version > LAYOUT_VERSION:
            raise HistoryUnusable(
                f"The tables in schema {self.tables.schema_name} have layout"
                f" {digest.layout_version}; this package knows up to {LAYOUT_VERSION}.",
                hint="Deploy the release of Lockgate that created them, or a later one.",
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
        """Return the error for a statement of Lockgate that the server refused."""
        schema = self.tables.schema_name
        if self.set_role is not None and f'"{self.set_role}"' in str(error):
            return self._refuse_role(self.set_role, error)
        if error.sqlstate == UNTRUSTED_OWNER_FOUND:
            return refuse_new_untrusted_owner(schema)
        if error.sqlstate == _FORBIDDEN:
            return TargetUnsuitable(
                f"The role may not use the tables in schema {schema}: {error}.",
                hint=f"Run migrations as the owner of schema {schema}, or set LOCKGATE_SET_ROLE to that"
                " owner.",
            )
        if error.sqlstate == _UNDEFINED_COLUMN:
            return HistoryUnusable(
                f"The tables in schema {schema} do not belong to Lockgate: {error}.",
                hint="Set LOCKGATE_SCHEMA to another name.",
            )
        if error.sqlstate in _NOT_POSTGRES:
            problem, hint = _NOT_POSTGRES[error.sqlstate]
            return TargetUnsuitable(f"{problem}: {error}.", hint=hint)
        return TargetUnsuitable(
            f"The server refused a statement of Lockgate itself ({error.sqlstate}): {error}."
            " That statement ran no migration.",
            hint="Check the privileges of this role, and that nobody changed the tables in schema"
            f" {schema}.",
        )

    def _refuse_role(self, role: str, error: StatementError) -> LockgateError:
        if error.sqlstate == _FORBIDDEN:
            return TargetUnsuitable(
                f"The role that signs in may not act as LOCKGATE_SET_ROLE: {error}.",
                hint=f"GRANT {write_name(role)} to the role that signs in, or correct"
                " LOCKGATE_SET_ROLE.",
            )
        return TargetUnsuitable(
            f"The role in LOCKGATE_SET_ROLE does not exist: {error}.",
            hint=f"Create it (CREATE ROLE {write_name(role)}), or correct LOCKGATE_SET_ROLE.",
        )

    def uninstallable(self, error: StatementError, probe: Probe) -> LockgateError:
        """Return the error for tables that could not be created."""
        schema = self.tables.schema_name
        if error.sqlstate in {UNTRUSTED_OWNER_FOUND, _UNDEFINED_COLUMN}:
            return self.refusal(error)
        if error.sqlstate == _FORBIDDEN:
            return TargetUnsuitable(
                f"The role {probe.role} may not create Lockgate's tables in database"
                f" {probe.database}: {error}.",
                hint="As the database's owner: GRANT CREATE ON DATABASE"
                f" {write_name(probe.database)} TO {write_name(probe.role)}; or CREATE SCHEMA"
                f" {write_name(schema)} AUTHORIZATION {write_name(probe.role)}.",
            )
        if error.sqlstate == _LOCK_NOT_AVAILABLE:
            return DatabaseBusy(
                f"This release adds a column to a table in schema {schema}, but another session is using"
                " that table.",
                hint="Invoke again when that session has ended its transaction.",
            )
        return TargetUnsuitable(
            f"Lockgate's tables could not be created in schema {schema}: {error}"
            f" ({error.sqlstate}).",
            hint="Fix the problem that the message names, then invoke again.",
        )


def refuse_read_only(probe: Probe) -> None:
    """Refuse a server that accepts no writes.

    Raises:
        TargetUnsuitable: the server is a standby, or transactions are read-only by default.
    """
    if probe.is_read_only:
        raise TargetUnsuitable(
            f"Database {probe.database} is read-only here (a standby, or"
            " default_transaction_read_only).",
            hint="Connect to the writer: use the cluster endpoint, not the reader endpoint.",
        )
