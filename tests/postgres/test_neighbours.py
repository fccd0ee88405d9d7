"""Effects that migrations sharing one transaction on a fresh database have on each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lockgate.report.report import Status

if TYPE_CHECKING:
    from tests.support.project import Project

TABLES = (
    "CREATE TABLE parent (id int PRIMARY KEY);"
    "CREATE TABLE child (id int CONSTRAINT child_fk REFERENCES parent DEFERRABLE INITIALLY DEFERRED);"
)
ORPHAN = "INSERT INTO child VALUES (7);"


@pytest.mark.parametrize(
    "neighbour",
    [
        "SET CONSTRAINTS ALL IMMEDIATE;",
        "SET CONSTRAINTS child_fk IMMEDIATE;",
        "DO $$ BEGIN SET CONSTRAINTS ALL IMMEDIATE; END $$;",
        "BEGIN; SET CONSTRAINTS ALL IMMEDIATE; COMMIT;",
    ],
)
def test_constraint_modes_of_one_file_do_not_reach_the_next(
    project: Project, neighbour: str
) -> None:
    """After SET CONSTRAINTS in one file, the next file still finds its constraints deferred."""
    project.write(
        {
            "1_tables.sql": TABLES,
            "2_neighbour.sql": neighbour,
            "3_rows.sql": f"{ORPHAN} INSERT INTO parent VALUES (7);",
        }
    )
    report = project.run()
    assert Status.APPLIED == report.status, report.error


def test_python_migration_that_sets_constraints_does_not_reach_the_next(project: Project) -> None:
    """The constraint modes that a Python migration sets end with that migration."""
    python = (
        "def up(connection):\n    connection.exec_driver_sql('SET CONSTRAINTS ALL IMMEDIATE')\n"
    )
    rows = f"{ORPHAN} INSERT INTO parent VALUES (7);"
    project.write({"1_tables.sql": TABLES, "2_set.py": python, "3_rows.sql": rows})
    report = project.run()
    assert Status.APPLIED == report.status, report.error


@pytest.mark.parametrize(
    "script",
    [
        "LOCK TABLE parent IN EXCLUSIVE MODE;",
        "LOCK parent;",
        "DO $$ BEGIN LOCK TABLE parent; END $$;",
        "SELECT pg_advisory_xact_lock(1);",
        "SELECT pg_catalog.pg_try_advisory_xact_lock_shared(1);",
        "TRUNCATE child; COPY child FROM stdin WITH (FREEZE);\n\\.\n",
        "SET CONSTRAINTS ALL DEFERRED;",
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE;",
        "SAVEPOINT here;",
    ],
)
def test_file_that_cannot_share_has_a_transaction_for_itself(project: Project, script: str) -> None:
    """Locks and modes of such a file end with its own commit, before the next migration begins."""
    look = (
        "CREATE TABLE seen AS SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid()"
        " AND (locktype = 'advisory' OR mode ~ '^(Access)?Exclusive' AND relation = 'parent'::regclass);"
    )
    project.write({"1_tables.sql": TABLES, "2_alone.sql": script, "3_look.sql": look})
    report = project.run()
    assert Status.APPLIED == report.status, report.error
    assert [("1",), ("2",), ("3",)] == [segment.migrations for segment in report.segments]
    assert [[0]] == project.database.run("SELECT * FROM seen")


def test_text_that_resembles_a_lock_statement_shares_a_transaction(project: Project) -> None:
    """A column named "lock" and a function body with LOCK TABLE do not cause a separate transaction."""
    function = (
        "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS 'BEGIN LOCK TABLE t; RETURN; END';"
    )
    project.write(
        {
            "1_t.sql": "CREATE TABLE t (lock int, frozen boolean);",
            "2_f.sql": function,
            "3_rows.sql": "INSERT INTO t (lock) VALUES (1); UPDATE t SET lock = 2;",
        }
    )
    report = project.run()
    assert [("1", "2", "3")] == [segment.migrations for segment in report.segments], report.error


def test_deferred_constraint_is_checked_after_the_migration_that_broke_it(project: Project) -> None:
    """A violation fails its own migration, even if a later migration would repair it."""
    project.write(
        {"1_tables.sql": TABLES, "2_child.sql": ORPHAN, "3_p.sql": "INSERT INTO parent VALUES (7);"}
    )
    report = project.run()
    assert report.error is not None
    assert "2 child" == report.error.migration
    assert "2_child.sql" == report.error.file
    assert report.error.message.startswith(
        "Migration 2 child failed when its deferred constraints were checked: insert or update on"
        ' table "child" violates foreign key constraint "child_fk" (23503). 2_child.sql.'
    )
    assert [[None]] == project.database.run("SELECT to_regclass('parent')")


def test_each_migration_finds_the_constraints_deferred_again(project: Project) -> None:
    """After the check, constraints are deferred again, as at the start of a transaction."""
    rows = "INSERT INTO child VALUES ({0}); INSERT INTO parent VALUES ({0});"
    project.write({"1_tables.sql": TABLES} | {f"{n}_r.sql": rows.format(n) for n in range(2, 6)})
    report = project.run()
    assert Status.APPLIED == report.status, report.error
    assert 1 == len(report.segments)


@pytest.mark.parametrize("other", ["", "DEFERRABLE INITIALLY IMMEDIATE"])
def test_constraints_that_share_a_name_keep_their_modes(project: Project, other: str) -> None:
    """Constraint names are unique per table only, and an immediate constraint stays immediate."""
    second = f"CREATE TABLE second (id int CONSTRAINT child_fk REFERENCES parent {other});"
    use = "INSERT INTO child VALUES (1); INSERT INTO parent VALUES (1);"
    early = (
        "DO $$ BEGIN INSERT INTO second VALUES (9); RAISE 'not checked at once'; EXCEPTION WHEN"
        " foreign_key_violation THEN NULL; END $$;"
    )
    project.write(
        {"1_t.sql": TABLES + second, "2_use.sql": use, "3_early.sql": early, "4_bad.sql": ORPHAN}
    )
    report = project.run()
    assert report.error is not None
    assert "4 bad" == report.error.migration, report.error


def test_names_that_need_quotes_and_constraint_triggers_are_checked(project: Project) -> None:
    """Every initially deferred constraint and trigger is checked, whatever its name."""
    trigger = (
        'CREATE SCHEMA "Odd ""one"; CREATE TABLE "Odd ""one".t (i int);'
        "CREATE FUNCTION deny() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'no row may come'; END $$;"
        'CREATE CONSTRAINT TRIGGER "it\'s; late" AFTER INSERT ON "Odd ""one".t'
        " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION deny();"
    )
    bad = 'INSERT INTO "Odd ""one".t VALUES (1);'
    project.write({"1_t.sql": trigger, "2_bad.sql": bad, "3_more.sql": "SELECT 1;"})
    report = project.run()
    assert report.error is not None
    assert "2 bad" == report.error.migration
    assert "no row may come" in report.error.message


def test_deferred_trigger_finds_the_path_of_its_migration(project: Project) -> None:
    """A deferred trigger runs with the search_path of its migration, not with Lockgate's."""
    trigger = (
        "CREATE TABLE t (i int); CREATE TABLE log (i int);"
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO log VALUES (new.i); RETURN NULL; END $$;"
        "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON t"
        " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note();"
    )
    project.write({"1_t.sql": trigger, "2_row.sql": "INSERT INTO t VALUES (1);"})
    report = project.run(LOCKGATE_ATOMICITY="migration")
    assert Status.APPLIED == report.status, report.error
    assert [[1]] == project.database.run("SELECT i FROM log")


HIDDEN = (
    "CREATE FUNCTION later() RETURNS void LANGUAGE plpgsql AS"
    " $$ BEGIN EXECUTE 'SET CON' || 'STRAINTS ALL DEF' || 'ERRED'; END $$;"
    "CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child (id int);"
    "DO $$ BEGIN EXECUTE 'ALTER TABLE child ADD FOREIGN KEY (id) REFERENCES parent DEF' || 'ERRABLE';"
    " END $$;"
)


def test_failure_at_the_end_is_attributed_by_a_replay(
    project: Project,
) -> None:
    """If no deferred constraint was visible, a replay that is rolled back finds the migration."""
    project.write(
        {
            "1_t.sql": HIDDEN,
            "2_bad.sql": f"SELECT later(); {ORPHAN}",
            "3_fine.sql": "CREATE TABLE t (i int);",
        }
    )
    report = project.run()
    assert report.error is not None
    assert "2 bad" == report.error.migration
    assert [[None]] == project.database.run("SELECT to_regclass('parent')")
    assert [] == project.history()


def test_failure_at_the_end_names_all_if_a_replay_could_reach_outside(
    project: Project,
) -> None:
    """If a script may have effects that a rollback cannot undo, there is no replay and all are named."""
    project.write(
        {
            "1_t.sql": HIDDEN,
            "2_bad.sql": f"SELECT later(); {ORPHAN}",
            "3_dblink.sql": "-- dblink is named here, so it might be used",
        }
    )
    report = project.run()
    assert report.error is not None
    assert report.error.migration is None
    assert report.error.file is None
    assert report.error.message.startswith(
        "The transaction of migrations 1 t, 2 bad and 3 dblink failed when its deferred constraints"
        " were checked:"
    )


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (
            "DROP SCHEMA lockgate CASCADE;",
            'relation "lockgate.migration_history" does not exist (42P01)',
        ),
        (
            "DROP TABLE lockgate.migration_lock;",
            'relation "lockgate.migration_lock" does not exist (42P01)',
        ),
        (
            "DO $$ BEGIN ALTER TABLE lockgate.migration_history DROP COLUMN name CASCADE; END $$;",
            'column "name" of relation "migration_history" does not exist (42703)',
        ),
    ],
)
@pytest.mark.parametrize("culprit", [1, 2, 5])
def test_migration_that_drops_our_tables_is_the_one_that_is_blamed(
    project: Project, statement: str, message: str, culprit: int
) -> None:
    """The rows of a transaction are written at its end, but the blame is not on its last migration."""
    files = {f"{n}_m.sql": f"CREATE TABLE m{n} ();" for n in range(1, 6)}
    project.write({**files, f"{culprit}_m.sql": statement})
    error = project.run().error
    assert error is not None
    assert (
        f"Migration {culprit} m failed: {message}. {culprit}_m.sql."
        " It was rolled back; the schema is as it was."
    ) == error.message
    assert error.hint == (
        "Lockgate's own tables are gone or changed. If the file does that, remove it from the file,"
        " and invoke again."
    )
    assert [] == project.history()


def test_migration_of_many_messages_that_drops_our_tables_is_blamed(project: Project) -> None:
    """The blame is right if the rows of one message are written in the next one."""
    files = {f"{n:03}_m.sql": f"CREATE TABLE m{n} ();" for n in range(1, 251)}
    project.write({**files, "120_m.sql": "DROP SCHEMA lockgate CASCADE;"})
    error = project.run().error
    assert error is not None
    assert error.message.startswith("Migration 120 m failed: relation")


def test_all_are_blamed_for_our_tables_where_a_replay_could_reach_outside(project: Project) -> None:
    """If the transaction must not run again, the message names all its migrations."""
    project.write(
        {
            "1_a.sql": "CREATE TABLE a ();",
            "2_b.py": "def up(connection):\n    connection.exec_driver_sql('SELECT 1')\n",
            "3_c.sql": "DROP SCHEMA lockgate CASCADE;",
            "4_d.sql": "CREATE TABLE d ();",
        }
    )
    error = project.run().error
    assert error is not None
    assert error.message.startswith("The transaction of migrations 1 a, 2 b, 3 c and 4 d failed: ")


INSERT = "INSERT INTO t DEFAULT VALUES;"
SAME = "in which {} returns the same value for all"
SHARED = {
    "time": ("CREATE TABLE t (a timestamptz UNIQUE DEFAULT now());", INSERT, SAME.format("now()")),
    "transaction": (
        "CREATE TABLE t (a text UNIQUE DEFAULT pg_current_snapshot());",
        INSERT,
        SAME.format("pg_current_snapshot()"),
    ),
    "writer of a row": (
        "CREATE TABLE t (a int DEFAULT 1);",
        (
            f"{INSERT} DO $$ BEGIN IF (SELECT count(DISTINCT xmin::text) < count(*) FROM t)"
            " THEN RAISE 'the same'; END IF; END $$;"
        ),
        SAME.format("xmin"),
    ),
    "other session": (
        "CREATE EXTENSION dblink; CREATE TABLE t (a int DEFAULT 1);",
        f"{INSERT} SELECT * FROM dblink('{{place}}', 'SELECT 1 FROM t') AS seen (a int);",
        "of which the session of dblink sees nothing before the commit",
    ),
}


@pytest.mark.parametrize("kind", SHARED)
def test_failure_that_the_shared_transaction_may_explain_names_the_remedy(
    project: Project, kind: str
) -> None:
    """The hint says what may be the cause, and names the setting with which the migration passes."""
    make, use, effect = SHARED[kind]
    database = project.database
    place = (
        f"host={database.host} port={database.port} dbname={database.name} user={database.user}"
        f" password={database.password} sslmode=require"
    )
    project.write(
        {"1_t.sql": make, "2_first.sql": INSERT, "3_second.sql": use.replace("{place}", place)}
    )
    report = project.run()
    assert report.error is not None
    assert "3 second" == report.error.migration
    assert report.error.hint is not None
    assert report.error.hint.endswith(
        f"It shared a transaction with 2 migrations before it, {effect}. If that is the cause, it"
        " passes alone: set LOCKGATE_ATOMICITY=migration, which gives each migration its own"
        " transaction."
    )
    assert Status.APPLIED == project.run(LOCKGATE_ATOMICITY="migration").status
