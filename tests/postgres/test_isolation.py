"""Session changes made by one script are invisible to later scripts and to other users."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lockgate.report.report import Status

if TYPE_CHECKING:
    from tests.support.project import Project


@pytest.mark.parametrize(
    ("script", "look"),
    [
        ("SET search_path = pg_catalog", "current_setting('search_path')"),
        ("SELECT set_config('search_path', 'nowhere', false)", "current_setting('search_path')"),
        ("SET statement_timeout = '7s'", "current_setting('statement_timeout')"),
        ("SET work_mem = '7MB'", "current_setting('work_mem')"),
        ("SET default_transaction_read_only = on", "current_setting('transaction_read_only')"),
        ("CREATE TEMP TABLE t_temp (i int)", "to_regclass('t_temp')::text"),
        ("CREATE TABLE pg_temp.t_temp (i int)", "to_regclass('t_temp')::text"),
        ("CREATE OR REPLACE TEMP VIEW t_temp AS SELECT 1", "to_regclass('t_temp')::text"),
        ("PREPARE p AS SELECT 1", "(SELECT count(*) FROM pg_prepared_statements)::text"),
        ("SET ROLE pg_monitor", "current_user::text"),
        ("SET LOCAL ROLE pg_monitor", "current_user::text"),
        ("SET SESSION AUTHORIZATION pg_monitor", "session_user::text"),
        ("LISTEN x", "(SELECT count(*) FROM pg_listening_channels())::text"),
        ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", "(SELECT count(*) FROM pg_cursors)::text"),
        (
            "SELECT pg_advisory_lock(1)",
            (
                "(SELECT count(*) FROM pg_locks"
                " WHERE locktype = 'advisory' AND pid = pg_backend_pid())::text"
            ),
        ),
    ],
)
@pytest.mark.parametrize("atomicity", ["run", "migration"])
def test_script_leaves_nothing_to_the_next(
    project: Project, atomicity: str, script: str, look: str
) -> None:
    """The next migration starts with the same session state as a new connection."""
    expected = project.database.run(f"SELECT {look}")
    project.write(
        {
            "1_first.sql": "CREATE TABLE public.seen (value text);",
            "2_change.sql": script,
            "3_look.sql": f"INSERT INTO public.seen SELECT {look};",
        }
    )
    report = project.run(LOCKGATE_ATOMICITY=atomicity)
    assert Status.APPLIED == report.status, report.error
    assert expected == project.database.run("SELECT value FROM seen")


@pytest.mark.parametrize(
    "query",
    ["'24:00'::time", "'[0:1]={1,2}'::int[]", "'infinity'::timestamptz", "E'\\\\xff'::bytea"],
)
def test_rows_selected_by_a_script_are_discarded(project: Project, query: str) -> None:
    """A migration may select values that the driver cannot decode."""
    project.write({"1_select.sql": f"SELECT {query} FROM generate_series(1, 3);"})
    assert Status.APPLIED == project.run().status


def test_migration_that_warns_in_a_loop_does_not_fill_the_log(project: Project) -> None:
    """Only the first 20 warnings are logged, without their text."""
    loop = "FOR i IN 1..100 LOOP RAISE WARNING 'row %', i; END LOOP;"
    project.write({"1_warns.sql": f"DO $$ BEGIN {loop} END $$;"})
    assert Status.APPLIED == project.run().status
    assert [{"sqlstate": "01000"}] * 20 == project.emitted("server_warned")


def test_strings_are_read_as_the_server_reads_them(project: Project) -> None:
    """With standard_conforming_strings off, a script still cannot escape from its own part."""
    name = project.database.name
    project.database.run(f'ALTER DATABASE "{name}" SET standard_conforming_strings = off')
    hidden = "select '\\'' ; commit; select 1 as \"x\" --';\nselect 1/0;"
    project.write({"1_leak.sql": f"create table leaked(id int); {hidden}"})
    assert Status.FAILED == project.run().status
    assert [[None]] == project.database.run("SELECT to_regclass('leaked')")


@pytest.mark.parametrize("setting", ["transaction_timeout", "idle_session_timeout"])
def test_timeouts_of_the_database_do_not_end_a_migration(project: Project, setting: str) -> None:
    """Timeouts that the database sets for its clients do not apply to migrations."""
    known = project.database.run("SELECT count(*) FROM pg_settings WHERE name = :n", n=setting)
    if known == [[0]]:
        pytest.skip(f"{setting} came with a later version")
    name = project.database.name
    project.database.run(f"ALTER DATABASE \"{name}\" SET {setting} = '1s'")
    project.write({"1_slow.sql": "SELECT pg_sleep(1.2);", "2_wait.py": WAITING})
    report = project.run()
    assert Status.APPLIED == report.status, report.error


WAITING = "import time\n\ntransaction = False\n\n\ndef up(connection):\n    time.sleep(1.2)\n"


def test_script_can_begin_with_transaction_settings(project: Project) -> None:
    """SET TRANSACTION works as the first statement of a migration, even in the first run."""
    project.write(
        {
            "1_t.sql": "CREATE TABLE t (level text);",
            "2_level.sql": (
                "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE;\n"
                "INSERT INTO t SELECT current_setting('transaction_isolation');"
            ),
        }
    )
    report = project.run(LOCKGATE_ATOMICITY="run")
    assert Status.APPLIED == report.status, report.error
    assert [["serializable"]] == project.database.run("SELECT level FROM t")


@pytest.mark.parametrize("how", ["COMMIT", "ROLLBACK", "COMMIT; BEGIN"])
def test_python_migration_that_ends_the_transaction_by_sql_is_found_out(
    project: Project, how: str
) -> None:
    """A transaction that SQL ended unnoticed is reported neither as rolled back nor as applied."""
    project.write(
        {
            "1_raw.py": (
                "def up(connection):\n"
                "    connection.exec_driver_sql('CREATE TABLE t (i int)')\n"
                f"    connection.exec_driver_sql('{how}')\n"
            )
        }
    )
    report = project.run()
    assert Status.FAILED == report.status
    assert report.error is not None
    assert "began or ended a transaction by itself" in report.error.message
    assert "the schema is as it was" not in report.error.message
    assert [] == project.history()


def test_changed_repeatable_with_own_transaction_runs_again(project: Project) -> None:
    """A changed repeatable migration with its own transaction is executed, not only recorded."""
    view = "BEGIN; CREATE OR REPLACE VIEW v AS SELECT {} AS x; COMMIT;"
    project.write({"R__v.sql": view.format(1)})
    project.run()
    project.write({"R__v.sql": view.format(2)})
    assert Status.APPLIED == project.run().status
    assert [[2]] == project.database.run("SELECT x FROM v")


def test_deleted_lock_row_is_restored_above_every_token(project: Project) -> None:
    """Deleting the lock row loses no history, and the next token is above all earlier ones."""
    project.write({"1_a.sql": "SELECT 1;"})
    project.run()
    project.write({"2_b.sql": "SELECT 2;"})
    project.run()
    project.database.run("DELETE FROM lockgate.migration_lock")
    assert Status.UP_TO_DATE == project.run().status
    project.write({"3_c.sql": "SELECT 3;"})
    report = project.run()
    assert ["3"] == [entry.version for entry in report.applied]
    assert [[3]] == project.database.run("SELECT token FROM lockgate.migration_lock")


def test_blockers_are_named_within_the_lock_timeout_of_a_file(project: Project) -> None:
    """A file may set a shorter time than LOCKGATE_LOCK_TIMEOUT; the session is named all the same."""
    project.write({"1_t.sql": "CREATE TABLE t (i int);"})
    project.run()
    other = project.database.connect()
    other.run("BEGIN")
    other.run("LOCK TABLE t IN SHARE MODE")
    project.write({"2_wait.sql": "-- migrate:up lock_timeout:2s\nINSERT INTO t VALUES (1);"})
    error = project.run(LOCKGATE_LOCK_TIMEOUT="20s", LOCKGATE_LOCK_RETRIES="0").error
    assert error is not None
    assert ("55P03", 1) == (error.sqlstate, len(error.blockers))


def test_blockers_of_an_earlier_statement_explain_no_other_failure(project: Project) -> None:
    """Blockers are reported only if the wait for a lock is what failed."""
    project.write({"1_t.sql": "CREATE TABLE t (i int);"})
    project.run()
    other = project.database.connect()
    other.run("BEGIN")
    other.run("LOCK TABLE t IN SHARE MODE")
    other.run("SET idle_in_transaction_session_timeout = '1500ms'")
    project.write({"2_wait.sql": "INSERT INTO t VALUES (1);\nSELECT 1/0;"})
    error = project.run(LOCKGATE_LOCK_TIMEOUT="20s").error
    assert error is not None
    assert ("22012", ()) == (error.sqlstate, error.blockers)
