"""PgBouncer is detected, and refused unless a setting allows it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pg8000.native
import pytest

from lockgate.core.request import Action
from lockgate.report.report import Status

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.project import Project

PROGRAM = shutil.which("pgbouncer", path=os.environ.get("PATH", "") + ":/usr/sbin")

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="pgbouncer is not installed")

CONFIGURATION = """
[databases]
* = host={host} port={port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own_port}
unix_socket_dir =
auth_type = plain
auth_file = {folder}/users
pool_mode = {mode}
server_tls_sslmode = require
default_pool_size = {size}
"""


@contextmanager
def run_pooler(project: Project, folder: Path, mode: str, *, size: int = 3) -> Iterator[int]:
    """Run PgBouncer in front of the server, connect the project through it, and return its port."""
    database = project.database
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder.chmod(0o755)
    users = folder / "users"
    users.write_text(f'"{database.user}" "{database.password}"\n')
    settings = folder / "pgbouncer.ini"
    settings.write_text(
        CONFIGURATION.format(
            host=database.host,
            port=database.port,
            own_port=port,
            folder=folder,
            mode=mode,
            size=size,
        )
    )
    # PgBouncer refuses to run as root.
    as_somebody = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
    command = [*(as_somebody if os.geteuid() == 0 else []), str(PROGRAM), str(settings)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _wait_for(port, folder / "log")
        project.settings |= {
            "LOCKGATE_DATABASE_URL": (
                f"postgresql://{database.user}:{database.password}@127.0.0.1:{port}/{database.name}"
            ),
            "LOCKGATE_TLS": "off",
        }
        yield port
    finally:
        process.terminate()
        process.wait(timeout=10)


def _wait_for(port: int, log: Path) -> None:
    ends_at = time.monotonic() + 10
    while time.monotonic() < ends_at:
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError(log.read_text())


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_pooler_is_found_out_and_refused(project: Project, tmp_path: Path, mode: str) -> None:
    """Both pooling modes are refused, since they cannot be distinguished."""
    project.write({"1_t.sql": "CREATE TABLE t ();"})
    with run_pooler(project, tmp_path, mode):
        report = project.run()
    assert Status.REFUSED == report.status
    assert report.error is not None
    assert report.error.message.startswith("Lockgate is connected through a connection pooler")
    assert [[None]] == project.database.run("SELECT to_regnamespace('lockgate')")


@pytest.mark.parametrize(("mode", "setting"), [("session", "session"), ("transaction", "lease")])
def test_allowed_pooler_is_used(project: Project, tmp_path: Path, mode: str, setting: str) -> None:
    """With the setting, migrations are applied once and the report has a warning."""
    project.write(
        {
            "1_t.sql": "CREATE TABLE t (i int);",
            "2_index.sql": "CREATE INDEX t_i ON t (i);",
            "3_fill.py": (
                "def up(connection):\n    connection.exec_driver_sql('INSERT INTO t VALUES (1)')\n"
            ),
        }
    )
    with run_pooler(project, tmp_path, mode):
        report = project.run(LOCKGATE_POOLER=setting, LOCKGATE_ATOMICITY="migration")
        again = project.run(LOCKGATE_POOLER=setting)
    assert Status.APPLIED == report.status, report.error
    assert Status.UP_TO_DATE == again.status
    assert "Lockgate is connected through a pooler or proxy" in report.warnings[0]
    assert [[1]] == project.database.run("SELECT count(*) FROM t")
    assert project.lock_owner() is None


def test_lock_over_a_transaction_pooler_depends_on_its_lease(
    project: Project, tmp_path: Path
) -> None:
    """Through a pooler the holder's session proves nothing, so the lock is held until its lease ends."""
    project.write({"1_t.sql": "CREATE TABLE t ();"})
    project.run()
    project.write({"2_u.sql": "CREATE TABLE u ();"})
    hold = (
        "UPDATE lockgate.migration_lock SET owner = 'other', caller = 'test', token = token + 1,"
        " backend_pid = NULL, backend_start = NULL, taken_at = now(), expires_at = now() + '1 hour'"
    )
    project.database.run(hold)
    with run_pooler(project, tmp_path, "transaction"):
        waiting = project.run(LOCKGATE_POOLER="lease", LOCKGATE_LOCK_WAIT="0")
        project.database.run("UPDATE lockgate.migration_lock SET expires_at = now()")
        after = project.run(LOCKGATE_POOLER="lease", LOCKGATE_LOCK_WAIT="0")
    assert (Status.BUSY, Status.APPLIED) == (waiting.status, after.status)


# The session state that an application behind the pooler sees.
SESSION = """
SELECT current_user::text, session_user::text, string_agg(name || '=' || setting, '; ' ORDER BY name)
FROM pg_settings WHERE source = 'session' OR name IN ('search_path', 'lock_timeout', 'role')
"""


def ask_as_application(project: Project, sql: str = SESSION) -> list[list[Any]]:
    """Run a query through the pooler, in the session that its last client used."""
    url = urlsplit(project.settings["LOCKGATE_DATABASE_URL"])
    database = project.database
    application = pg8000.native.Connection(
        database.user,
        host="127.0.0.1",
        port=url.port,
        password=database.password,
        database=database.name,
    )
    try:
        rows: list[list[Any]] = application.run(sql)
    finally:
        application.close()
    return rows


LOOKS = [
    pytest.param({"action": Action.STATUS}, id="status"),
    pytest.param({"action": Action.PLAN}, id="plan"),
    pytest.param({"action": Action.VALIDATE}, id="validate"),
    pytest.param({"action": Action.HISTORY}, id="history"),
    pytest.param({"action": Action.PLAN, "steps": 1}, id="plan down"),
    pytest.param({"action": Action.ADOPT, "dry_run": True}, id="adopt"),
    pytest.param({"action": Action.UP}, id="up with nothing to do"),
    pytest.param({"action": Action.UP, "pending": True}, id="up with something to do"),
]


@pytest.mark.parametrize("pooler", ["refuse", "lease"])
@pytest.mark.parametrize("look", LOOKS)
def test_reading_leaves_the_session_of_the_pool_unchanged(
    project: Project, tmp_path: Path, look: dict[str, Any], pooler: str
) -> None:
    """An application that gets the session next sees no setting or role of Lockgate.

    With pending migrations, an up is refused, or applies them in a leased session.
    """
    project.write({"1_t.sql": "-- migrate:up\nCREATE TABLE t ();\n-- migrate:down\nDROP TABLE t;"})
    project.run()
    if look.get("pending"):
        project.write({"2_u.sql": "SELECT 1;"})
    given = {name: value for name, value in look.items() if name != "pending"}
    project.database.run("CREATE TABLE application (i integer)")
    role = f"owner_{project.database.name}"
    project.database.run(f"CREATE ROLE {role}; GRANT ALL ON SCHEMA lockgate TO {role}")
    project.database.run(f"GRANT ALL ON ALL TABLES IN SCHEMA lockgate TO {role}")
    try:
        with run_pooler(project, tmp_path, "transaction"):
            before = ask_as_application(project)
            project.do(**given, LOCKGATE_POOLER=pooler, LOCKGATE_SET_ROLE=role)
            assert before == ask_as_application(project)
            assert [[0]] == ask_as_application(project, "SELECT count(*) FROM application")
    finally:
        project.database.run(f"DROP OWNED BY {role}; DROP ROLE {role}")


def connect(project: Project, port: int) -> pg8000.native.Connection:
    """Connect through the pooler, as an application does."""
    database = project.database
    return pg8000.native.Connection(
        database.user,
        host="127.0.0.1",
        port=port,
        database=database.name,
        password=database.password,
    )


STATE = """
SELECT (SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) FROM pg_settings
        WHERE source = 'session' AND name !~ '^transaction_'),
       current_user::text, session_user::text, current_setting('role'),
       (SELECT count(*)::int FROM pg_class WHERE relnamespace = pg_my_temp_schema()),
       (SELECT count(*)::int FROM pg_locks WHERE locktype = 'advisory'),
       (SELECT count(*)::int FROM pg_prepared_statements WHERE from_sql)
"""
PLAIN = {
    "1_t.sql": "CREATE TABLE t (i int); INSERT INTO t VALUES (1);",
    "2_own.sql": "BEGIN;\nSET LOCAL work_mem = '8MB';\nINSERT INTO t VALUES (2);\nCOMMIT;",
    "3_local.sql": "SELECT set_config('search_path', 'public', true); SET LOCAL ROLE pg_monitor;",
    "4_temporary.sql": "CREATE TEMP TABLE x ON COMMIT DROP AS SELECT 1; INSERT INTO t VALUES (3);",
    "5_path.sql": "CREATE TABLE where_am_i AS SELECT current_setting('search_path') AS path;",
    "6_fill.py": "def up(connection):\n    connection.exec_driver_sql('INSERT INTO t VALUES (4)')\n",
}


@pytest.mark.parametrize("atomicity", ["migration", "run"])
@pytest.mark.parametrize("has_role", [True, False])
def test_run_leaves_nothing_in_a_session_that_it_borrows(
    project: Project, tmp_path: Path, atomicity: str, *, has_role: bool
) -> None:
    """The application's settings are unchanged afterwards, and migrations do not see them."""
    project.write(PLAIN)
    if has_role:
        project.settings["LOCKGATE_SET_ROLE"] = project.database.user
    with run_pooler(project, tmp_path, "transaction", size=1) as port:
        application = connect(project, port)
        application.run("SET search_path = pg_catalog")
        application.run("SET statement_timeout = '1234ms'")
        before = application.run(STATE)
        report = project.run(LOCKGATE_POOLER="lease", LOCKGATE_ATOMICITY=atomicity)
        after = application.run(STATE)
        application.close()
    assert Status.APPLIED == report.status, report.error
    assert before == after
    (path,) = project.database.run("SELECT path FROM public.where_am_i")
    assert ['"$user", public'] == path
    assert [[4]] == project.database.run("SELECT count(*) FROM public.t")


NEEDS = {
    "index": "CREATE INDEX CONCURRENTLY ON t (i);",
    "steps": "-- migrate:up transaction:false\nSET search_path = s;\nINSERT INTO t VALUES (2);",
    "set": "SET search_path = s; INSERT INTO t VALUES (2);",
    "reset": "RESET ALL;",
    "around": "SET search_path = s;\nBEGIN;\nINSERT INTO t VALUES (2);\nCOMMIT;",
    "set_config": "SELECT pg_catalog.set_config('search_path', 's', false);",
    "do": "DO $$ BEGIN PERFORM set_config('search_path', 's', false); END $$;",
    "do_set": "DO $$ BEGIN SET search_path = s; END $$;",
    "temporary": "CREATE TEMPORARY TABLE x (i int);",
    "prepare": "PREPARE q AS SELECT 1;",
    "lock": "SELECT pg_advisory_lock(1);",
    "listen": "LISTEN channel;",
}


@pytest.mark.parametrize("script", NEEDS.values(), ids=NEEDS)
def test_migration_that_needs_a_session_is_refused_before_anything_runs(
    project: Project, tmp_path: Path, script: str
) -> None:
    """Plan, validate and up name the migration and the reason, and nothing is applied."""
    project.write({"1_t.sql": "CREATE TABLE t (i int);", "2_next.sql": script})
    with run_pooler(project, tmp_path, "transaction"):
        reports = [
            project.run(action, LOCKGATE_POOLER="lease")
            for action in (Action.PLAN, Action.VALIDATE, Action.UP)
        ]
    for report in reports:
        assert Status.REFUSED == report.status
        assert report.error is not None
        assert "session-needed" == report.error.code
        assert report.error.message.startswith("Migration 2 next ")
    assert [[None]] == project.database.run("SELECT to_regclass('public.t')")


def test_down_script_that_needs_a_session_is_refused_too(project: Project, tmp_path: Path) -> None:
    """A down script that needs a session is refused as well."""
    down = "-- migrate:up\nCREATE TABLE t ();\n-- migrate:down\nSET work_mem = '8MB'; DROP TABLE t;"
    project.write({"1_t.sql": down})
    project.run()
    with run_pooler(project, tmp_path, "transaction"):
        report = project.do(Action.DOWN, steps=1, reason="test", LOCKGATE_POOLER="lease")
    assert report.error is not None
    assert "session-needed" == report.error.code


def test_run_leaves_the_session_of_a_transaction_pooler_unchanged(
    project: Project, tmp_path: Path
) -> None:
    """No setting of the run or its scripts remains in the session that the pooler lends out next."""
    project.write({"1_t.sql": "CREATE TABLE t ();"})
    project.run()
    project.write({f"{number}_x.sql": f"CREATE TABLE x{number} ();" for number in (2, 3, 4)})
    with run_pooler(project, tmp_path, "transaction"):
        before = ask_as_application(project)
        report = project.run(LOCKGATE_POOLER="lease", LOCKGATE_ATOMICITY="migration")
        assert (None, 3) == (report.error, len(report.applied))
        assert before == ask_as_application(project)
