"""Roles and databases with their own settings: a run works as in psql and reads every row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lockgate.core.request import Action
from lockgate.report.report import Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.database import Database
    from tests.support.project import Project


@pytest.fixture
def roles(database: Database) -> Iterator[tuple[str, str]]:
    """Return a login role and an owner role that it is a member of without inheriting its rights."""
    login, owner = f"login_{database.name}", f"owner_{database.name}"
    database.run(
        f"CREATE ROLE {owner}; CREATE ROLE {login} LOGIN NOINHERIT PASSWORD 'x' IN ROLE {owner};"
        f'GRANT CREATE ON DATABASE "{database.name}" TO {owner}; GRANT ALL ON SCHEMA public TO {owner}'
    )
    yield login, owner
    database.run(
        f"SET ROLE NONE; DROP OWNED BY {owner}, {login} CASCADE; DROP ROLE {login}, {owner}"
    )


@pytest.fixture
def as_login(project: Project, roles: tuple[str, str]) -> Project:
    """Return a project that connects with its own login role."""
    project.login = (roles[0], "x")
    project.settings["LOCKGATE_DATABASE_URL"] = project.address()
    return project


MIGRATIONS = {
    "1_t.sql": "CREATE TABLE t (i int); SET ROLE NONE; RESET ROLE;",
    "2_index.sql": "CREATE INDEX CONCURRENTLY t_i ON t (i);",
    "3_fill.py": "def up(connection):\n    connection.exec_driver_sql('INSERT INTO t VALUES (1)')\n",
}


@pytest.mark.parametrize(
    "setting",
    [
        "ALTER ROLE {login} SET role = {owner}",
        'ALTER ROLE {login} IN DATABASE "{database}" SET role = {owner}',
        'ALTER DATABASE "{database}" SET role = {owner}',
    ],
)
def test_role_of_a_new_session_runs_the_migrations(
    as_login: Project, roles: tuple[str, str], setting: str
) -> None:
    """All tables, including Lockgate's, belong to that role, although the login inherits nothing."""
    login, owner = roles
    as_login.database.run(setting.format(login=login, owner=owner, database=as_login.database.name))
    as_login.write(MIGRATIONS)
    first = as_login.run(LOCKGATE_ATOMICITY="migration")
    assert (None, Status.APPLIED) == (first.error, first.status)
    assert Status.UP_TO_DATE == as_login.run().status
    as_login.write({"4_u.sql": "CREATE TABLE u ();"})
    second = as_login.run()
    assert (None, Status.APPLIED) == (second.error, second.status)
    owners = as_login.database.run(
        "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class WHERE relkind = 'r'"
        " AND relnamespace IN ('public'::regnamespace, 'lockgate'::regnamespace)"
    )
    assert [[owner]] == owners
    started = "SELECT DISTINCT database_user FROM lockgate.migration_history"
    assert [[login]] == as_login.database.run(started)


SETTINGS = [
    "DateStyle = 'SQL, DMY'",
    "TimeZone = 'Asia/Kolkata'",
    "IntervalStyle = 'iso_8601'",
    "bytea_output = 'escape'",
    "standard_conforming_strings = off",
    "client_encoding = 'LATIN1'",
    "default_transaction_isolation = 'serializable'",
    "default_transaction_deferrable = on",
    "row_security = off",
    "lock_timeout = '1ms'",
    "statement_timeout = '400ms'",
    "idle_session_timeout = '200ms'",
    "idle_in_transaction_session_timeout = '200ms'",
    "extra_float_digits = -15",
    "transform_null_equals = on",
    "search_path = '\"$user\", nowhere'",
    "search_path = ''",
    "session_replication_role = 'origin'",
    "enable_seqscan = off",
    "check_function_bodies = off",
    "client_min_messages = 'error'",
    "quote_all_identifiers = on",
    "array_nulls = off",
]


@pytest.mark.parametrize("setting", SETTINGS)
def test_setting_of_the_role_changes_nothing(as_login: Project, setting: str) -> None:
    """Lockgate's own statements behave the same under any setting of the role."""
    assert as_login.login is not None
    name, _, value = setting.partition(" = ")
    as_login.database.run(f"ALTER ROLE {as_login.login[0]} SET {name} = {value}")
    as_login.database.run(
        f'GRANT CREATE ON DATABASE "{as_login.database.name}" TO {as_login.login[0]};'
        f"GRANT ALL ON SCHEMA public TO {as_login.login[0]}"
    )
    as_login.write(
        {
            "1_t.sql": "CREATE TABLE public.t (i int);",
            "2_index.sql": "CREATE INDEX CONCURRENTLY t_i ON public.t (i);",
            "3_sleep.py": "import time\ndef up(connection):\n    time.sleep(0.3)\n",
        }
    )
    first = as_login.run(LOCKGATE_ATOMICITY="migration")
    assert (None, Status.APPLIED) == (first.error, first.status)
    before = as_login.history()
    again = as_login.run()
    assert (None, Status.UP_TO_DATE, before) == (again.error, again.status, as_login.history())
    assert None is as_login.run(Action.STATUS).error


POLICIES = {
    "policy": "ALTER TABLE {table} ENABLE ROW LEVEL SECURITY; ALTER TABLE {table} OWNER TO postgres;"
    " GRANT ALL ON {table} TO {owner}",
    "policy of the owner's": "ALTER TABLE {table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
    "policy for some": "ALTER TABLE {table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;"
    " CREATE POLICY mine ON {table} USING (false) WITH CHECK (true)",
    "view": "ALTER TABLE {table} RENAME TO kept; CREATE VIEW {table} AS SELECT * FROM lockgate.kept"
    " WHERE false; ALTER VIEW {table} OWNER TO {owner}",
}


@pytest.mark.parametrize("table", ["migration_history", "migration_run", "migration_lock"])
@pytest.mark.parametrize("kind", POLICIES)
def test_history_of_which_rows_are_hidden_is_refused(
    as_login: Project, roles: tuple[str, str], kind: str, table: str
) -> None:
    """A history with hidden rows, which only looks empty, does not cause migrations to run again."""
    login, owner = roles
    as_login.database.run(f"ALTER ROLE {login} SET role = {owner}")
    as_login.write({"1_t.sql": "CREATE TABLE t (i int);", "2_t.sql": "INSERT INTO t VALUES (1);"})
    assert Status.APPLIED == as_login.run().status
    as_login.database.run(POLICIES[kind].format(table=f"lockgate.{table}", owner=owner))
    for action in (Action.UP, Action.STATUS, Action.PLAN, Action.VALIDATE, Action.HISTORY):
        report = as_login.run(action)
        assert report.error is not None
        assert ("history-unusable", Status.REFUSED) == (report.error.code, report.status)
        said = f"lockgate.{table} may hide rows from role {owner}"
        assert report.error.message.startswith(said)
    assert [[1]] == as_login.database.run("SELECT count(*) FROM t")
