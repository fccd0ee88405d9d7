"""A script run statement by statement continues in another session, or is refused if it cannot."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import pytest
from tests.support.waiting import Background, is_asleep, wait_until

from lockgate.core.deadline import Deadline
from lockgate.report.report import Status

if TYPE_CHECKING:
    from tests.support.project import Project

    from lockgate.report.report import Report

BEFORE = """
CREATE SCHEMA s1; CREATE SCHEMA s2;
CREATE TABLE public.t (i int); CREATE TABLE s1.t (i int); CREATE TABLE public.u (i int);
CREATE FUNCTION public.set_it() RETURNS int LANGUAGE plpgsql
    AS $$ BEGIN PERFORM set_config('search_path', 's1', false); RETURN 1; END $$;
CREATE FUNCTION public.fire() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN PERFORM set_config('search_path', 's1', false); RETURN NEW; END $$;
CREATE TABLE public.watched (i int);
CREATE TRIGGER fire BEFORE INSERT ON public.watched FOR EACH ROW EXECUTE FUNCTION public.fire();
CREATE TABLE public.parent (i int PRIMARY KEY); INSERT INTO public.parent VALUES (1);
CREATE TABLE public.child (i int REFERENCES public.parent ON DELETE CASCADE);
INSERT INTO public.child VALUES (1);
CREATE TRIGGER fire BEFORE DELETE ON public.child FOR EACH ROW EXECUTE FUNCTION public.fire();
CREATE VIEW public.seen AS SELECT public.set_it() AS i;
CREATE DOMAIN public.checked AS int CHECK (public.set_it() > 0);
CREATE TABLE public.called (i int DEFAULT public.set_it(), j int);
"""
SLEEP = "SELECT pg_catalog.pg_sleep(3);"
REST = "INSERT INTO t VALUES (1);\nINSERT INTO t VALUES (2);\n"


class Interruption(StrEnum):
    """The way in which the session ends."""

    RECONNECT = "the connection breaks, and the run goes on"
    NEXT_RUN = "the run ends, and another one goes on"


def interrupt(project: Project, script: str, how: Interruption) -> Report:
    """Run a script whose session ends during its sleep, and return the report of the continuation."""
    project.write({"1_t.sql": BEFORE})
    project.run()
    project.write({"2_steps.sql": f"-- migrate:up transaction:false\n{script}"})
    deadline = Deadline(None, 1_000)
    running = Background.start(lambda: project.run(deadline=deadline))
    wait_until(lambda: is_asleep(project.database), "a statement that sleeps")
    project.database.run("ALTER FUNCTION pg_catalog.pg_sleep(double precision) RENAME TO pg_slept")
    project.database.run(
        "CREATE FUNCTION pg_catalog.pg_sleep(double precision) RETURNS void"
        " LANGUAGE sql AS 'SELECT'"
    )
    if how is Interruption.NEXT_RUN:
        deadline.interrupt("the test")
        assert Status.INCOMPLETE == running.result().status
        return project.run()
    # Found by its query, since the script may have changed the application name.
    project.database.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        " AND query LIKE '%pg_sleep(3)%' AND pid <> pg_backend_pid()"
    )
    report: Report = running.result()
    return report


def count_rows(project: Project) -> dict[str, int]:
    """Return the number of rows in each table that the rest of the script could refer to."""
    rows = project.database.run(
        "SELECT (SELECT count(*) FROM public.t), (SELECT count(*) FROM s1.t)"
    )
    return dict(zip(("public", "s1"), rows[0], strict=True))


def assert_unknown(report: Report) -> None:
    """Require the refusal that says where the script stopped and how to continue."""
    assert report.error is not None
    assert "outcome-unknown" == report.error.code
    assert "was interrupted after statement" in report.error.message
    assert "lockgate repair --mark 2" in str(report.next_action)


REPEATED = {
    "set": "SET search_path = s1;",
    "set_session": "SET SESSION search_path TO s1, public;",
    "call": "SELECT set_config('search_path', 's1', false);",
    "two": "SET search_path = s2; SET search_path = s1;",
    "among": "SET search_path = s1; INSERT INTO public.u VALUES (1); SET work_mem = '8MB';",
}


@pytest.mark.parametrize("how", list(Interruption))
@pytest.mark.parametrize("setter", REPEATED.values(), ids=REPEATED)
def test_plain_settings_are_made_again(project: Project, setter: str, how: Interruption) -> None:
    """A plain SET is repeated in the new session, and the rest of the script runs with it."""
    report = interrupt(project, f"{setter}\n{SLEEP}\n{REST}", how)
    assert Status.APPLIED == report.status, report.error
    assert {"public": 0, "s1": 2} == count_rows(project)


# Each sets the path to s1, creates a temporary table t, or changes what a new session looks like.
UNREPEATABLE = {
    "other_value": (
        "SELECT set_config('search_path', 's1,' || current_setting('search_path'), false);"
    ),
    "alias": "SELECT set_config('search_path', 's1', false) AS path;",
    "two_in_one": "SELECT set_config('search_path', 's1', false), set_config('a.b', '1', false);",
    "cast": "SELECT set_config('search_path', 's1', 'f'::boolean);",
    "current_schema": "SELECT set_config('search_path', 's1', false) FROM public.parent;",
    "do": "DO $$ BEGIN PERFORM set_config('search_path', 's1', false); END $$;",
    "do_set": "DO $$ BEGIN SET search_path = s1; END $$;",
    "function": "SELECT public.set_it();",
    "view": "SELECT * FROM public.seen;",
    "default": "INSERT INTO public.called (j) VALUES (1);",
    "block": "BEGIN;\nSET search_path = s1;\nCOMMIT;",
    "trigger": "INSERT INTO public.watched VALUES (1);",
    "trigger_of_its_own": (
        "INSERT INTO public.u VALUES (1); CREATE TRIGGER fire BEFORE INSERT ON public.u FOR EACH ROW"
        " EXECUTE FUNCTION public.fire(); INSERT INTO public.u VALUES (2);"
    ),
    "plain_behind_another": (
        "INSERT INTO public.u VALUES (1); SELECT public.set_it(); INSERT INTO public.u VALUES (2);"
    ),
    "cascade": "DELETE FROM public.parent WHERE i = 1;",
    "temporary": "CREATE TEMPORARY TABLE t (i int);",
    "temporary_as": "CREATE TEMP TABLE t AS SELECT 1 AS i;",
    "pg_temp": "CREATE TABLE pg_temp.t (i int);",
    "select_into": "SELECT 1 AS i INTO TEMP t;",
    "database": "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = s1',"
    " current_database()); END $$;",
    "column_of_a_domain": "ALTER TABLE public.parent ADD COLUMN h public.checked DEFAULT 5;",
    "type_of_a_domain": (
        "INSERT INTO public.u VALUES (1); ALTER TABLE public.u ALTER COLUMN i TYPE public.checked;"
    ),
    "undone": "SET search_path = s1; INSERT INTO public.u VALUES (1); DISCARD ALL;",
}


@pytest.mark.parametrize("how", list(Interruption))
@pytest.mark.parametrize("setter", UNREPEATABLE.values(), ids=UNREPEATABLE)
def test_rest_is_not_run_in_a_different_session(
    project: Project, setter: str, how: Interruption
) -> None:
    """If the session was changed in a way that cannot be repeated, the script stops."""
    report = interrupt(project, f"{setter}\n{SLEEP}\n{REST}", how)
    assert_unknown(report)
    assert {"public": 0, "s1": 0} == count_rows(project)
    assert project.lock_owner() is None


INVISIBLE_TO_ROWS = {
    "prepare": "PREPARE q AS SELECT 1;",
    "cursor": "DECLARE c CURSOR WITH HOLD FOR SELECT 1;",
    "listen": "LISTEN channel;",
    "advisory": "SELECT pg_advisory_lock(7);",
    "seed": "SELECT setseed(0.5);",
    "custom": "SELECT set_config('app.tenant', 'a', false) AS tenant;",
    "custom_computed": "SELECT set_config('app.' || 'tenant', 'a', false);",
    "custom_from_rows": "SELECT set_config(n, 'a', false) FROM (VALUES ('app.tenant')) AS v (n);",
    "custom_execute": "DO $$ BEGIN EXECUTE format('SET %s = 1', 'app.tenant'); END $$;",
    "custom_execute_in_parts": "DO $$ BEGIN EXECUTE 'SET app.' || 'tenant = 1'; END $$;",
    "custom_do": "DO $$ BEGIN SET app.tenant = 'a'; END $$;",
    "authorization": "DO $$ BEGIN SET SESSION AUTHORIZATION pg_monitor; END $$;",
    "role": "DO $$ BEGIN SET ROLE pg_monitor; END $$;",
}


@pytest.mark.parametrize("setter", INVISIBLE_TO_ROWS.values(), ids=INVISIBLE_TO_ROWS)
def test_any_other_session_state_stops_the_script(project: Project, setter: str) -> None:
    """A prepared statement, cursor, lock, role or seed stops the script just as a setting does."""
    rest = "RESET SESSION AUTHORIZATION;" if "AUTHORIZATION" in setter else ""
    report = interrupt(project, f"{setter}\n{SLEEP}\n{rest}\n{REST}", Interruption.NEXT_RUN)
    assert_unknown(report)
    assert {"public": 0, "s1": 0} == count_rows(project)


HARMLESS = {
    "ddl": "CREATE TABLE made (i int);",
    "rows": "INSERT INTO u VALUES (1);",
    "select": "SELECT count(*) FROM u;",
    "function": "SELECT pg_catalog.upper('a');",
    "do": "DO $$ BEGIN INSERT INTO u VALUES (1); END $$;",
    "set_local": "BEGIN;\nSET LOCAL search_path = s1;\nINSERT INTO public.u VALUES (1);\nCOMMIT;",
    "load": "LOAD 'plpgsql';\nINSERT INTO u VALUES (1);",
    "set_back": "DO $$ BEGIN PERFORM set_config('search_path', 's1', false);"
    " PERFORM set_config('search_path', 'public', false);"
    " PERFORM set_config('search_path', '\"$user\", public', false); END $$;",
}


@pytest.mark.parametrize("how", list(Interruption))
@pytest.mark.parametrize("statement", HARMLESS.values(), ids=HARMLESS)
def test_script_that_left_its_session_unchanged_continues(
    project: Project, statement: str, how: Interruption
) -> None:
    """The session state is compared, so a call or a block alone does not stop the script."""
    report = interrupt(project, f"{statement}\n{SLEEP}\n{REST}", how)
    assert Status.APPLIED == report.status, report.error
    assert {"public": 2, "s1": 0} == count_rows(project)


FORGET_DIGEST = "UPDATE lockgate.migration_history SET session_digest = NULL"
KINDS = {
    "ddl": ("CREATE TABLE public.made (i int);", True),
    "rows": ("INSERT INTO public.u VALUES (1);", True),
    "index": ("CREATE INDEX CONCURRENTLY ON public.u (i);", True),
    "trigger": ("INSERT INTO public.watched VALUES (1);", False),
    "cascade": ("DELETE FROM public.parent WHERE i = 1;", False),
    "default": ("INSERT INTO public.called (j) VALUES (1);", False),
    "call": ("SELECT public.set_it();", False),
}


@pytest.mark.parametrize(("statement", "goes_on"), KINDS.values(), ids=KINDS)
def test_without_a_digest_only_statements_that_cannot_set_the_session_continue(
    project: Project, statement: str, *, goes_on: bool
) -> None:
    """Without a stored session digest, the statements and the catalogs decide."""
    script = f"{statement}\nSELECT 1 / count(*) FROM public.u WHERE i = 5;\n{REST}"
    project.write({"1_t.sql": BEFORE})
    project.run()
    project.write({"2_steps.sql": f"-- migrate:up transaction:false\n{script}"})
    assert Status.FAILED == project.run().status
    project.database.run(f"{FORGET_DIGEST}; INSERT INTO public.u VALUES (5)")
    report = project.run()
    if goes_on:
        assert Status.APPLIED == report.status, report.error
    else:
        assert_unknown(report)
        assert {"public": 0, "s1": 0} == count_rows(project)


def test_failed_script_continues_in_an_equal_session(project: Project) -> None:
    """A corrected file is resumed like a killed run, so the path that a block set is missing."""
    script = "BEGIN;\nSET search_path = s1;\nCOMMIT;\nSELECT 1/{};\nINSERT INTO t VALUES (1);\n"
    project.write({"1_t.sql": BEFORE})
    project.run()
    head = "-- migrate:up transaction:false\n"
    project.write({"2_steps.sql": head + script.format(0)})
    assert Status.FAILED == project.run().status
    project.write({"2_steps.sql": head + script.format(1)})
    assert_unknown(project.run())
    assert {"public": 0, "s1": 0} == count_rows(project)


def test_detaching_after_an_unknown_path_does_not_count_as_done(project: Project) -> None:
    """Names that do not resolve in the new session prove nothing about the statement."""
    project.write(
        {
            "1_t.sql": f"{BEFORE} CREATE TABLE s1.p (i int) PARTITION BY RANGE (i);"
            " CREATE TABLE s1.p1 PARTITION OF s1.p FOR VALUES FROM (1) TO (9);"
        }
    )
    project.run()
    project.write(
        {
            "2_steps.sql": "-- migrate:up transaction:false\nSELECT public.set_it();\n"
            "ALTER TABLE p DETACH PARTITION p1 CONCURRENTLY;\n"
        }
    )
    blocker = project.database.connect()
    blocker.run("BEGIN")
    blocker.run("SELECT * FROM s1.p")
    running = Background.start(project.run)
    waiting = (
        "SELECT FROM pg_stat_activity WHERE datname = current_database()"
        " AND query LIKE '%DETACH PARTITION%' AND wait_event_type = 'Lock'"
    )
    wait_until(lambda: project.database.run(waiting), "a detaching that waits")
    project.database.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name LIKE 'lockgate run=%'"
    )
    report = running.result()
    blocker.run("COMMIT")
    assert_unknown(report)
    assert [[1]] == project.database.run(
        "SELECT count(*)::int FROM pg_inherits WHERE inhrelid = 's1.p1'::regclass"
    )
