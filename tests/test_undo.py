"""Down, redo and the two automatic undos, on a real server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.support.waiting import Background, is_asleep, wait_until

from lockgate.core.deadline import Deadline
from lockgate.core.request import Action, Repair
from lockgate.report.report import Report, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.project import Project

ACCOUNT = "-- migrate:up\nCREATE TABLE account (id int);\n-- migrate:down\nDROP TABLE account;\n"
EMAIL = (
    "-- migrate:up\nALTER TABLE account ADD email text;\n"
    "-- migrate:down\nALTER TABLE account DROP COLUMN email;\n"
)
INDEX = (
    "-- migrate:up\nCREATE INDEX CONCURRENTLY account_id ON account (id);\n"
    "-- migrate:down\nDROP INDEX CONCURRENTLY account_id;\n"
)
PYTHON = """def up(connection):
    connection.exec_driver_sql("CREATE TABLE made (id int)")

def down(connection):
    connection.exec_driver_sql("DROP TABLE made")
"""
BAD = "SELECT nonsense;"
FILES = {"1_account.sql": ACCOUNT, "2_email.sql": EMAIL, "3_index.sql": INDEX, "4_made.py": PYTHON}


@pytest.fixture
def deployed(project: Project) -> Project:
    """Give a database with all of `FILES` applied."""
    project.write(FILES)
    assert Status.APPLIED == project.run().status
    return project


def down(project: Project, **given: Any) -> Report:
    """Undo as an operator does."""
    return project.do(Action.DOWN, reason="test", requested_by="test", **given)


def names(report: Report) -> list[str]:
    """Return the undone migrations of a report."""
    return [entry.version or entry.name for entry in report.reverted]


def error_of(report: Report) -> tuple[str, str]:
    """Return an error's code and message."""
    assert report.error is not None
    return report.error.code, report.error.message


def test_down_by_steps_undoes_the_last_applied(deployed: Project) -> None:
    """Steps count from the latest, and undone migrations are pending again."""
    report = down(deployed, steps=2)
    assert (Status.ROLLED_BACK, ["4", "3"]) == (report.status, names(report))
    assert ("4", "2") == (report.from_version, report.to_version)
    assert [("1", "applied"), ("2", "applied")] == deployed.history()
    assert ["applied", "rolled_back"] == deployed.runs()
    assert deployed.lock_owner() is None
    assert [] == deployed.database.run(
        "SELECT FROM pg_class WHERE relname IN ('made', 'account_id')"
    )


def test_down_to_a_target_keeps_it(deployed: Project) -> None:
    """Down to a target undoes everything above it and keeps the target."""
    assert ["4", "3", "2"] == names(down(deployed, target="1"))
    assert [("1", "applied")] == deployed.history()


def test_down_to_nothing_and_up_again_is_the_same_schema(deployed: Project) -> None:
    """Undoing everything and applying it again gives the same schema."""
    before = deployed.database.dump(without=("lockgate",))
    assert ["4", "3", "2", "1"] == names(down(deployed, target="0"))
    assert [] == deployed.history()
    assert Status.APPLIED == deployed.run().status
    assert before == deployed.database.dump(without=("lockgate",))


def test_down_with_nothing_to_undo_takes_no_lock(deployed: Project) -> None:
    """A down to the latest version does nothing and takes no lock."""
    assert Status.UP_TO_DATE == down(deployed, target="4").status
    assert ["applied"] == deployed.runs()


def test_plan_of_a_down_shows_it_and_changes_nothing(deployed: Project) -> None:
    """The plan of a down shows the migrations and their transactions, and changes nothing."""
    report = deployed.do(Action.PLAN, is_down=True, steps=3)
    assert (Status.PLANNED, ["4", "3", "2"]) == (
        report.status,
        [entry.version for entry in report.pending],
    )
    assert ["shared", "statements", "shared"] == [segment.mode for segment in report.segments]
    assert 4 == len(deployed.history())


def test_unknown_target_of_a_down_is_refused(deployed: Project) -> None:
    """An unknown target is refused: a typo must not undo everything."""
    code, message = error_of(down(deployed, target="9"))
    assert "request-invalid" == code
    assert message.startswith("The target 9 is not a version in ")
    assert message.endswith(" or in the history. Nothing was changed.")


def test_missing_down_script_stops_everything(deployed: Project) -> None:
    """If a migration has no down script, nothing is undone, and each such migration is named."""
    deployed.write({"5_a.sql": "SELECT 1;", "6_b.sql": "SELECT 2;"})
    deployed.run()
    report = down(deployed, target="4")
    assert Status.REFUSED == report.status
    assert (
        "undo-refused",
        (
            "Cannot undo 6 b (it has no down script); 5 a (it has no down script)."
            " No migration was undone."
        ),
    ) == error_of(report)
    assert 6 == len(deployed.history())


def test_missing_down_script_is_added_by_the_command_in_the_hint(deployed: Project) -> None:
    """The hint has a command that stores a missing down script, after which down succeeds."""
    deployed.write({"5_a.sql": "SELECT 1;"})
    deployed.run()
    refused = down(deployed, target="4")
    assert refused.error is not None
    assert 'lockgate repair --accept 5 --reason "…" --apply' in (refused.error.hint or "")
    deployed.write({"5_a.sql": "-- migrate:up\nSELECT 1;\n-- migrate:down\nSELECT 1;"})
    deployed.do(Action.REPAIR, repair=Repair.ACCEPT, version="5")
    assert ["5"] == names(down(deployed, target="4"))


def test_down_undoes_in_reverse_of_application(project: Project) -> None:
    """Down undoes in reverse order of application, even if a lower version was applied later."""
    project.write({"1_account.sql": ACCOUNT, "3_email.sql": EMAIL})
    project.run()
    project.write({"2_index.sql": INDEX.replace("(id)", "(email)")})
    project.run(LOCKGATE_OUT_OF_ORDER="apply")
    assert ["2", "3"] == names(down(project, steps=2))


def test_stored_script_is_what_counts(deployed: Project) -> None:
    """Down runs the stored script, even if the file is deleted or edited."""
    deployed.remove("2_email.sql")
    deployed.remove("3_index.sql")
    deployed.write({"4_made.py": PYTHON.replace("DROP TABLE made", "SELECT nonsense")})
    assert ["4", "3", "2"] == names(down(deployed, target="1"))


def test_options_of_a_stored_script_are_kept(project: Project) -> None:
    """The options of a down script are stored with it."""
    script = "-- migrate:up\nSELECT 1;\n-- migrate:down transaction:false lock_timeout:1234ms\n"
    project.write({"1_x.sql": script + "SELECT set_config('lockgate.x', 'y', false); VACUUM;"})
    project.write({"2_y.sql": "SELECT 1;\n"})
    project.run()
    project.remove("1_x.sql")
    project.write({"1_x.sql": "SELECT 1;"})
    stored = project.database.run(
        "SELECT down_options FROM lockgate.migration_history WHERE version = '1'"
    )
    assert [[{"transaction": False, "lock_timeout_ms": 1234}]] == stored


def test_variables_of_a_stored_script_are_filled_in_again(project: Project) -> None:
    """Variables are not stored; the run that undoes fills in its own values."""
    text = "-- migrate:down\n-- migrate:env on\nCREATE TABLE ${TABLE} (id int);\n"
    project.write({"1_x.sql": "-- migrate:up\nSELECT 1;\n" + text, "2_y.sql": "SELECT 1;"})
    project.run(TABLE="first")
    project.remove("1_x.sql")
    project.write({"1_x.sql": "SELECT 1;"})
    stored = project.database.run("SELECT down_script FROM lockgate.migration_history LIMIT 1")
    assert "first" not in stored[0][0]
    report = down(project, target="0", TABLE="second")
    assert "undo-refused" == error_of(report)[0]
    project.remove("2_y.sql")
    project.database.run("DELETE FROM lockgate.migration_history WHERE version = '2'")
    assert ["1"] == names(down(project, target="0", TABLE="second"))
    assert [[1]] == project.database.run("SELECT 1 FROM pg_class WHERE relname = 'second'")


def test_failing_down_leaves_everything(deployed: Project) -> None:
    """A failing down script rolls back everything undone with it."""
    deployed.write(
        {
            "5_x.sql": "-- migrate:up\nSELECT 1;\n-- migrate:down\nSELECT nonsense;\n",
            "6_y.sql": "-- migrate:up\nSELECT 1;\n-- migrate:down\nSELECT 1;\n",
        }
    )
    deployed.run()
    report = down(deployed, target="4")
    assert Status.FAILED == report.status
    assert (
        "migration-failed",
        (
            'Statement 1 of migration 5 x failed: column "nonsense" does not exist (42703).'
            " 5_x.sql:4:8. It was rolled back; the schema is as it was."
        ),
    ) == error_of(report)
    assert 6 == len(deployed.history())


def test_half_undone_migration_is_undone_whole_by_the_next_up(project: Project) -> None:
    """An up first finishes an interrupted down, and then applies the migration again."""
    project.write(
        {
            "1_account.sql": ACCOUNT,
            "2_two.sql": "-- migrate:up\nCREATE INDEX account_a ON account (id);"
            " CREATE INDEX account_b ON account (id);\n-- migrate:down transaction:false\n"
            "DROP INDEX CONCURRENTLY account_a;\nSELECT pg_sleep(60);\n"
            "DROP INDEX CONCURRENTLY account_b;\n",
        }
    )
    project.run()
    before = project.database.dump(without=("lockgate",))
    deadline = Deadline(None, 0)

    def stop() -> None:
        wait_until(lambda: is_asleep(project.database), "the sleep between two statements")
        deadline.interrupt("the test")

    stopping = Background.start(stop)
    report = down(project, steps=1, deadline=deadline)
    stopping.result()
    assert Status.INCOMPLETE == report.status, report.error
    assert [("1", "applied"), ("2", "reverting")] == project.history()
    # The next run completes the statement that was interrupted.
    project.database.run(
        "UPDATE lockgate.migration_history SET down_script ="
        " replace(down_script, 'pg_sleep(60)', 'pg_sleep(00)') WHERE version = '2'"
    )
    again = project.run()
    assert Status.APPLIED == again.status, again.error
    assert before == project.database.dump(without=("lockgate",))
    assert [("1", "applied"), ("2", "applied")] == project.history()


def test_repeatables_run_again_after_a_down(project: Project) -> None:
    """Repeatables dropped by a down script with CASCADE run again in the next up."""
    project.write(
        {
            "1_account.sql": ACCOUNT.replace("TABLE account;", "TABLE account CASCADE;"),
            "R__ids.sql": "CREATE OR REPLACE VIEW ids AS SELECT id FROM account;",
        }
    )
    project.run()
    before = project.database.dump(without=("lockgate",))
    down(project, steps=1)
    assert [("R__ids", "stale")] == project.history()
    assert Status.APPLIED == project.run().status
    assert before == project.database.dump(without=("lockgate",))


# A failed run undoes itself.


def test_failed_run_is_undone_to_where_it_began(deployed: Project) -> None:
    """A failed run undoes what it committed, by the down scripts."""
    before = deployed.database.dump(without=("lockgate",))
    deployed.write(
        {
            "5_other.sql": ACCOUNT.replace("account", "other"),
            "6_phone.sql": EMAIL.replace("email", "phone"),
            "7_index.sql": INDEX.replace(" CONCURRENTLY", "").replace(
                "account_id", "account_phone"
            ),
            "8_bad.sql": BAD,
        }
    )
    report = deployed.run()
    assert (Status.FAILED, ["7", "6", "5"]) == (report.status, names(report))
    assert ("4", "4") == (report.from_version, report.to_version)
    assert (
        'Statement 1 of migration 8 bad failed: column "nonsense" does not exist (42703).'
        " 8_bad.sql:1:8. It was rolled back, and so was what this run had applied before it: 7, 6, 5."
    ) == error_of(report)[1]
    assert [] == list(report.applied)
    assert ["5", "6", "7", "8"] == [entry.version for entry in report.pending]
    assert before == deployed.database.dump(without=("lockgate",))
    assert 4 == len(deployed.history())


def test_failed_run_without_down_scripts_keeps_what_it_did(deployed: Project) -> None:
    """If a migration has no down script, a failed run keeps everything and reports why."""
    deployed.write({"5_x.sql": "CREATE TABLE x ();", "6_y.sql": EMAIL.replace("email", "y")})
    deployed.write({"7_bad.sql": BAD})
    report = deployed.run()
    assert [] == names(report)
    assert error_of(report)[1].endswith(
        " What this run had applied was not undone: Cannot undo 5 x (it has no down"
        " script). The failed migration was rolled back. Applied before it by this run, and still"
        " there: 5, 6."
    )
    assert 6 == len(deployed.history())


def test_rollback_off_keeps_what_was_committed(deployed: Project) -> None:
    """With rollback off, a failed run keeps what it committed."""
    deployed.write({"5_y.sql": EMAIL.replace("email", "y"), "6_bad.sql": BAD})
    report = deployed.run(LOCKGATE_ROLLBACK="off")
    assert ["5"] == [entry.version for entry in report.applied]
    assert [] == names(report)


def test_failed_run_restores_the_former_text_of_repeatables(deployed: Project) -> None:
    """An automatic undo runs the previous text of a changed repeatable."""
    deployed.write({"R__a.sql": "CREATE OR REPLACE VIEW a AS SELECT 1 AS x;"})
    deployed.run()
    before = deployed.database.dump(without=("lockgate",))
    deployed.write({"R__a.sql": "CREATE OR REPLACE VIEW a AS SELECT 2 AS x;", "R__b.sql": BAD})
    report = deployed.run()
    assert Status.FAILED == report.status
    assert before == deployed.database.dump(without=("lockgate",))
    assert ([], ["a"]) == (list(report.applied), [entry.name for entry in report.reverted])
    assert report.error is not None
    assert "rolled_back" == report.error.state_after
    deployed.remove("R__b.sql")
    assert Status.APPLIED == deployed.run().status
    assert [[2]] == deployed.database.run("SELECT x FROM a")


def test_failed_run_whose_undo_fails_reports_both_failures(deployed: Project) -> None:
    """If the undo fails too, the message has the first failure, followed by the undo's."""
    deployed.write(
        {
            "5_x.sql": "-- migrate:up\nSELECT 1;\n-- migrate:down\nSELECT worse;\n",
            "6_bad.sql": BAD,
        }
    )
    report = deployed.run()
    _, message = error_of(report)
    assert message.startswith("Statement 1 of migration 6 bad failed")
    assert "Applied before it by this run, and still there: 5." in message
    assert (
        'What this run had applied was not undone: Statement 1 of migration 5 x failed: column "'
        in (message)
    )
    assert report.error is not None
    assert "6_bad.sql" == report.error.file


# Rows are not lost by accident.

LOSSES: list[tuple[str, str, str]] = [
    ("table", "DROP TABLE account;", "public.account, about 3 rows"),
    ("column", "ALTER TABLE account DROP COLUMN email;", "public.account.email, about 3 rows"),
    ("rows", "DELETE FROM account WHERE id = 1;", "public.account (deleted), at least 1 row"),
    ("truncate", "TRUNCATE account;", "public.account, about 3 rows"),
    (
        "truncate and fill",
        "TRUNCATE account; INSERT INTO account (id) VALUES (9);",
        "public.account, about 3 rows",
    ),
    (
        "delete, truncate and fill",
        "DELETE FROM account; TRUNCATE account; INSERT INTO account (id) VALUES (9);",
        "public.account, about 3 rows",
    ),
    ("block", "DO $$ BEGIN EXECUTE 'DROP TABLE account'; END $$;", "public.account, about 3 rows"),
    ("schema", "DROP SCHEMA other CASCADE;", "other.thing, at least 1 row"),
    ("unlogged", "DROP TABLE draft;", "public.draft, at least 1 row"),
    ("partition", "DROP TABLE part;", "public.part_1, at least 1 row"),
    ("type", "DROP TYPE mood CASCADE;", "public.account.mood, about 3 rows"),
    (
        "own transaction",
        "BEGIN; DROP TABLE account; COMMIT;",
        "public.account, about 3 rows",
    ),
]


@pytest.fixture
def full(project: Project) -> Project:
    """Give tables with rows."""
    project.database.run(
        "CREATE TYPE mood AS ENUM ('good'); CREATE TABLE account (id int, email text, mood mood);"
        " INSERT INTO account VALUES (1, 'a', 'good'), (2, 'b', 'good'), (3, 'c', 'good');"
        " CREATE SCHEMA other; CREATE TABLE other.thing AS SELECT 1 AS x;"
        " CREATE UNLOGGED TABLE draft AS SELECT 1 AS x;"
        " CREATE TABLE part (x int) PARTITION BY LIST (x);"
        " CREATE TABLE part_1 PARTITION OF part DEFAULT; INSERT INTO part VALUES (1); ANALYZE"
    )
    return project


@pytest.mark.parametrize(
    ("script", "lost"), [case[1:] for case in LOSSES], ids=[c[0] for c in LOSSES]
)
def test_down_that_would_lose_rows_is_refused(full: Project, script: str, lost: str) -> None:
    """A down script that would lose rows is refused and rolled back, whatever statement removes them."""
    full.write({"1_x.sql": f"-- migrate:up\nSELECT 1;\n-- migrate:down\n{script}\n"})
    full.run()
    before = full.database.dump(without=("lockgate",))
    report = down(full, steps=1)
    assert Status.REFUSED == report.status
    assert (
        "data-loss-refused",
        f"The down script would lose rows: {lost}. It was rolled back; the schema is as it was.",
    ) == error_of(report)
    assert before == full.database.dump(without=("lockgate",))
    assert [("1", "applied")] == full.history()
    assert Status.ROLLED_BACK == down(full, steps=1, allow_data_loss=True).status


@pytest.mark.parametrize(
    "script",
    [
        "DROP TABLE account; DROP TABLE other.thing;",
        "ALTER TABLE account DROP COLUMN email;",
        "DROP SCHEMA other CASCADE; TRUNCATE account;",
        "BEGIN; DROP TABLE account; COMMIT;",
        "ALTER TABLE account RENAME TO a; ALTER TABLE a ALTER COLUMN id TYPE bigint;",
        "UPDATE account SET id = 2;",
        "TRUNCATE account; INSERT INTO account (id) VALUES (9);",
    ],
)
def test_down_that_loses_nothing_is_let_through(full: Project, script: str) -> None:
    """A down script that drops an empty table or a column without values is run."""
    full.database.run("UPDATE account SET email = NULL")
    if "email" not in script:
        full.database.run("DELETE FROM account; DELETE FROM other.thing")
    full.write({"1_x.sql": f"-- migrate:up\nSELECT 1;\n-- migrate:down\n{script}\n"})
    full.run()
    report = down(full, steps=1)
    assert Status.ROLLED_BACK == report.status, report.error


REWRITES = {
    "another type": "ALTER TABLE account ALTER email TYPE int USING NULL;",
    "the same type": "ALTER TABLE account ALTER email TYPE text USING NULL;",
    "shorter": "ALTER TABLE account ALTER email TYPE varchar(1) USING left(email, 1);",
    "of a partition": "ALTER TABLE parted ALTER v TYPE text USING '';",
}


@pytest.mark.parametrize("script", REWRITES.values(), ids=REWRITES.keys())
def test_down_that_rewrites_values_is_refused(full: Project, script: str) -> None:
    """A down script that rewrites a column with values is refused."""
    full.database.run(
        "CREATE TABLE parted (k int, v text) PARTITION BY LIST (k);"
        " CREATE TABLE parted_1 PARTITION OF parted DEFAULT; INSERT INTO parted VALUES (1, 'v')"
    )
    full.write({"1_x.sql": f"-- migrate:up\nSELECT 1;\n-- migrate:down\n{script}\n"})
    full.run()
    before = full.database.run("SELECT string_agg(email, '' ORDER BY id) FROM account")
    code, message = error_of(down(full, steps=1))
    assert "data-loss-refused" == code
    assert " (rewritten), " in message
    assert before == full.database.run("SELECT string_agg(email, '' ORDER BY id) FROM account")
    full.database.run("UPDATE account SET email = NULL; DELETE FROM parted")
    assert Status.ROLLED_BACK == down(full, steps=1).status


UNWATCHED = {
    "block": ("1_x.sql", "DO $$ BEGIN COMMIT; DELETE FROM account; END $$;", "DO"),
    "procedure": ("1_x.sql", "CALL drain();", "CALL"),
    "database": ("1_x.sql", "DROP DATABASE nowhere;", "DROP DATABASE"),
    "Python": ("1_x.py", "", "a Python function outside a transaction"),
}


@pytest.mark.parametrize(("name", "script", "what"), UNWATCHED.values(), ids=UNWATCHED.keys())
def test_down_that_commits_before_the_check_is_refused(
    full: Project, name: str, script: str, what: str
) -> None:
    """A down script that commits before lost rows can be found is refused."""
    full.database.run(
        "CREATE PROCEDURE drain() LANGUAGE plpgsql AS $$ BEGIN COMMIT; DELETE FROM account; END $$"
    )
    text = f"-- migrate:up\nSELECT 1;\n-- migrate:down transaction:false\n{script}\n"
    if name.endswith(".py"):
        text = (
            "transaction = False\ndef up(connection):\n    connection.exec_driver_sql('SELECT 1')\n"
            "def down(connection):\n    connection.exec_driver_sql('DELETE FROM account')\n"
        )
    full.write({name: text})
    assert Status.APPLIED == full.run().status
    code, message = error_of(down(full, steps=1))
    assert "data-loss-refused" == code
    assert what in message
    assert [[3]] == full.database.run("SELECT count(*)::int FROM account")
    assert [("1", "applied")] == full.history()


def test_composite_of_nulls_is_a_value(full: Project) -> None:
    """A composite value with a NULL counts as a value, although `IS NOT NULL` is false for it."""
    full.database.run(
        "CREATE TYPE pair AS (a int, b int); CREATE TABLE pairs (p pair);"
        " INSERT INTO pairs VALUES (ROW(1, NULL))"
    )
    text = "-- migrate:up\nSELECT 1;\n-- migrate:down\nALTER TABLE pairs DROP p;\n"
    full.write({"1_x.sql": text})
    full.run()
    assert "public.pairs.p, " in error_of(down(full, steps=1))[1]


def test_rows_beside_the_history_are_watched_too(full: Project) -> None:
    """With Lockgate's tables in `public`, the other tables there are still checked."""
    full.settings["LOCKGATE_SCHEMA"] = "public"
    full.write({"1_x.sql": "-- migrate:up\nSELECT 1;\n-- migrate:down\nDROP TABLE account;\n"})
    full.run()
    assert "public.account, about 3 rows" in error_of(down(full, steps=1))[1]
    assert [[3]] == full.database.run("SELECT count(*) FROM account")


@pytest.mark.parametrize(
    "place", ["the database", "the script", "the script and back", "a function"]
)
def test_down_is_refused_where_changed_rows_are_not_counted(full: Project, place: str) -> None:
    """Where `track_counts` is turned off, a down is refused, because deleted rows are not counted."""
    script = "DELETE FROM account;"
    if place == "the database":
        full.database.run(f"ALTER DATABASE {full.database.name} SET track_counts = off")
    elif place == "a function":
        full.database.run(
            "CREATE FUNCTION purge() RETURNS void LANGUAGE sql SET track_counts = off"
            " AS 'DELETE FROM account'"
        )
        script = "SELECT purge();"
    else:
        script = f"SET LOCAL track_counts = off; {script}"
    if place == "the script and back":
        script += " SET LOCAL track_counts = on;"
    full.write({"1_x.sql": f"-- migrate:up\nSELECT 1;\n-- migrate:down\n{script}\n"})
    full.run()
    code, message = error_of(down(full, steps=1))
    assert "data-loss-refused" == code
    assert "track_counts is off" in message
    assert [[3]] == full.database.run("SELECT count(*) FROM account")
    assert Status.ROLLED_BACK == down(full, steps=1, allow_data_loss=True).status


@pytest.mark.parametrize("of", ["place", "place[]", "home"])
def test_down_that_drops_an_attribute_of_a_type_in_use_is_refused(full: Project, of: str) -> None:
    """Dropping an attribute of a type that columns use is refused."""
    full.database.run(
        "CREATE TYPE place AS (town text, street text); CREATE DOMAIN home AS place;"
        f" CREATE TABLE shop (at {of})"
    )
    down_sql = "ALTER TYPE place DROP ATTRIBUTE street CASCADE;"
    full.write({"1_x.sql": f"-- migrate:up\nSELECT 1;\n-- migrate:down\n{down_sql}\n"})
    full.run()
    code, message = error_of(down(full, steps=1))
    assert "data-loss-refused" == code
    assert "attribute public.place.street, whose values cannot be counted" in message
    assert Status.ROLLED_BACK == down(full, steps=1, allow_data_loss=True).status


def test_down_that_drops_an_attribute_of_a_type_that_nothing_uses_runs(full: Project) -> None:
    """Dropping an attribute of a type that no column uses is allowed."""
    up = "CREATE TYPE place AS (town text); ALTER TYPE place ADD ATTRIBUTE street text;"
    up += " CREATE FUNCTION f(place) RETURNS int LANGUAGE sql AS 'SELECT 1';"
    down_sql = "ALTER TYPE place DROP ATTRIBUTE street CASCADE;"
    full.write({"1_x.sql": f"-- migrate:up\n{up}\n-- migrate:down\n{down_sql}\n"})
    full.run()
    assert Status.ROLLED_BACK == down(full, steps=1).status


def test_down_that_touches_a_foreign_table_is_refused(full: Project) -> None:
    """A down script that drops a foreign table is refused, because its rows cannot be counted."""
    full.database.run(
        "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w;"
        " CREATE FOREIGN TABLE far (id int) SERVER s"
    )
    text = "-- migrate:up\nSELECT 1;\n-- migrate:down\nDROP FOREIGN TABLE far;\n"
    full.write({"1_x.sql": text})
    full.run()
    message = error_of(down(full, steps=1))[1]
    assert "foreign table public.far, whose rows cannot be counted" in message


def test_down_that_deletes_large_objects_is_refused(full: Project) -> None:
    """A down script that deletes large objects is refused."""
    full.database.run("SELECT lo_from_bytea(4711, 'x')")
    text = "-- migrate:up\nSELECT 1;\n-- migrate:down\nSELECT lo_unlink(4711);\n"
    full.write({"1_x.sql": text})
    full.run()
    assert "pg_catalog.pg_largeobject (deleted)" in error_of(down(full, steps=1))[1]


def test_trigger_that_waits_for_the_commit_is_watched_too(full: Project) -> None:
    """Rows deleted by a deferred trigger are found as well."""
    full.database.run(
        "CREATE TABLE small (id int); CREATE FUNCTION t() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN DELETE FROM public.account; RETURN NULL; END';"
        " CREATE CONSTRAINT TRIGGER late AFTER INSERT ON small DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION t()"
    )
    text = "-- migrate:up\nSELECT 1;\n-- migrate:down\nINSERT INTO small VALUES (1);\n"
    full.write({"1_x.sql": text})
    full.run()
    assert "public.account (deleted), at least 3 rows" in error_of(down(full, steps=1))[1].replace(
        "about", "at least"
    )


def test_down_names_what_it_drops_and_its_migration_did_not_create(full: Project) -> None:
    """A down warns of dropped objects that its migration did not create."""
    full.database.run(
        "CREATE VIEW ids AS SELECT id FROM account; CREATE POLICY mine ON account USING (true);"
        " CREATE FUNCTION t() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        " CREATE TRIGGER late AFTER INSERT ON account FOR EACH ROW EXECUTE FUNCTION t();"
        " ALTER TABLE account ADD CONSTRAINT positive CHECK (id > 0)"
    )
    full.write(
        {
            "1_x.sql": "-- migrate:up\nCREATE VIEW own AS SELECT 1 AS x;\n-- migrate:down\n"
            "DROP VIEW own; DROP VIEW ids; DROP POLICY mine ON account;"
            " DROP TRIGGER late ON account; DROP FUNCTION t;"
            " ALTER TABLE account DROP CONSTRAINT positive;\n"
        }
    )
    full.run()
    report = down(full, steps=1)
    assert Status.ROLLED_BACK == report.status
    assert (
        (
            "The down script dropped objects that its migration may not have created: view public.ids,"
            " function public.t(), trigger late on public.account, policy mine on public.account,"
            " constraint positive on public.account. The next up may not create them again."
        ),
    ) == report.warnings


def test_down_of_what_its_migration_created_warns_of_nothing(full: Project) -> None:
    """A down that drops only what its migration created causes no warning."""
    text = (
        "-- migrate:up\nCREATE TABLE t (id int PRIMARY KEY); CREATE VIEW v AS SELECT 1 AS x;\n"
        "-- migrate:down\nDROP TABLE t; DROP VIEW v;\n"
    )
    full.write({"1_x.sql": text})
    full.run()
    assert () == down(full, steps=1).warnings


def test_durations_of_a_down_are_each_migrations_own(project: Project) -> None:
    """Each undone migration has its own duration, not a sum."""
    pause = "-- migrate:up\nSELECT 1;\n-- migrate:down\nSELECT pg_sleep(0.3);\n"
    project.write({f"{number}_x.sql": pause for number in (1, 2, 3)})
    project.run()
    report = down(project, target="0")
    durations = [entry.duration_ms or 0 for entry in report.reverted]
    assert 3 == len(durations)
    assert all(300 <= one < 590 for one in durations), durations


def test_down_in_python_is_watched_too(full: Project) -> None:
    """A down function in Python is checked as well."""
    text = "def up(c):\n    pass\n\ndef down(c):\n    c.exec_driver_sql('DROP TABLE account')\n"
    full.write({"1_x.py": text, "2_y.py": text + "\ntransaction = False\n"})
    full.run()
    code, message = error_of(down(full, steps=1))
    assert "data-loss-refused" == code
    assert "holds a Python function outside a transaction, which commits by itself" in message
    full.database.run("DELETE FROM lockgate.migration_history WHERE version = '2'")
    full.remove("2_y.py")
    assert "public.account, about 3 rows" in error_of(down(full, steps=1))[1]


def test_rows_hidden_by_a_policy_count(full: Project) -> None:
    """Rows hidden from the role by a policy still count."""
    full.database.run(
        "ALTER TABLE account ENABLE ROW LEVEL SECURITY; ALTER TABLE account FORCE ROW LEVEL SECURITY"
    )
    name = f"owner_{full.database.name}"
    full.database.run(
        f"CREATE ROLE {name} LOGIN PASSWORD 'x'; GRANT ALL ON DATABASE \"{full.database.name}\""
        f" TO {name}; GRANT ALL ON SCHEMA public TO {name}; ALTER TABLE account OWNER TO {name}"
    )
    try:
        full.settings["LOCKGATE_DATABASE_URL"] = (
            f"postgresql://{name}:x@{full.database.host}:{full.database.port}/{full.database.name}"
        )
        full.write({"1_x.sql": "-- migrate:up\nSELECT 1;\n-- migrate:down\nDROP TABLE account;\n"})
        full.run()
        assert "data-loss-refused" == error_of(down(full, steps=1))[0]
    finally:
        full.database.run(f"DROP OWNED BY {name} CASCADE; DROP ROLE {name}")


# A newer deploy is undone.


NEWER = {
    "3_made.sql": ACCOUNT.replace("account", "made"),
    "4_phone.sql": EMAIL.replace("email", "phone"),
}


@pytest.fixture
def released(project: Project) -> Project:
    """Give a database with two releases, the second with the files of `NEWER`."""
    project.settings["LOCKGATE_ROLLBACK"] = "deploy"
    project.write({name: FILES[name] for name in ("1_account.sql", "2_email.sql")})
    assert Status.APPLIED == project.run().status
    project.write(NEWER)
    assert Status.APPLIED == project.run().status
    return project


def older(project: Project) -> None:
    """Remove the files of the second release."""
    for name in NEWER:
        project.remove(name)


def test_older_package_brings_the_database_back(released: Project) -> None:
    """With `deploy`, an older package undoes the newer release."""
    older(released)
    report = released.run()
    assert (Status.ROLLED_BACK, ["4", "3"]) == (report.status, names(report)), report.warnings
    assert ("4", "2") == (report.from_version, report.to_version)
    assert [("1", "applied"), ("2", "applied")] == released.history()
    assert Status.UP_TO_DATE == released.run().status


def test_older_package_tolerates_a_newer_database_by_default(released: Project) -> None:
    """By default, an older package reports what is ahead and undoes nothing."""
    older(released)
    report = released.run(LOCKGATE_ROLLBACK="run")
    assert (Status.UP_TO_DATE, ["3", "4"]) == (
        report.status,
        [entry.version for entry in report.ahead],
    )
    assert 4 == len(released.history())


def fill(project: Project) -> None:
    """Insert a row into a table that a down script drops."""
    project.database.run("INSERT INTO made VALUES (1)")


def lose_down(project: Project) -> None:
    """Delete a stored down script."""
    project.database.run(
        "UPDATE lockgate.migration_history SET down_script = NULL WHERE version = '3'"
    )


def break_down(project: Project) -> None:
    """Make a stored down script fail."""
    project.database.run(
        "UPDATE lockgate.migration_history SET down_script = 'SELECT nonsense' WHERE version = '4'"
    )


@pytest.mark.parametrize(
    ("hinder", "reason"),
    [
        (fill, "public.made"),
        (lose_down, "Cannot undo 3 made (it has no down script)."),
        (break_down, 'Statement 1 of migration 4 phone failed: column "nonsense" does not exist'),
    ],
)
def test_what_cannot_be_brought_back_is_tolerated(
    released: Project, hinder: Callable[[Project], None], reason: str
) -> None:
    """If the newer release cannot be undone, the run succeeds with a warning and changes nothing."""
    hinder(released)
    older(released)
    before = released.database.dump(without=("lockgate",))
    report = released.run()
    assert Status.UP_TO_DATE == report.status
    assert report.error is None
    (warning,) = report.warnings
    expected = "The database is ahead of this package, and the newer migrations were not undone: "
    assert warning.startswith(expected)
    assert reason in warning
    assert before == released.database.dump(without=("lockgate",))
    assert 4 == len(released.history())
    assert released.lock_owner() is None


@pytest.mark.parametrize(
    ("level", "status", "warning"),
    [
        ("run", Status.UP_TO_DATE, "differs from what was applied; the database is ahead of"),
        ("deploy", Status.ROLLED_BACK, "was edited after it was applied. 1_account.sql: "),
    ],
)
def test_older_package_meets_a_text_that_was_accepted(
    released: Project, level: str, status: Status, warning: str
) -> None:
    """A newer text that an operator accepted does not fail the run of an older package."""
    released.write({"1_account.sql": ACCOUNT.replace("id int", "id integer")})
    assert Status.REFUSED == released.run().status
    released.do(Action.REPAIR, repair=Repair.ACCEPT, version="1")
    older(released)
    released.write({"1_account.sql": ACCOUNT})
    report = released.run(LOCKGATE_ROLLBACK=level)
    assert (status, None) == (report.status, report.error)
    assert report.warnings[0].startswith(f"Migration 1 account {warning}")
    assert released.lock_owner() is None


HALF_UNDONE = INDEX + "VACUUM nothing;\n"


@pytest.fixture
def half_undone(deployed: Project) -> Project:
    """Give a migration whose down script failed at its second statement."""
    deployed.write({"3_index.sql": HALF_UNDONE})
    deployed.do(Action.REPAIR, repair=Repair.ACCEPT, version="3")
    report = down(deployed, steps=2)
    assert report.error is not None
    assert (Status.FAILED, "42P01", "2") == (
        report.status,
        report.error.sqlstate,
        report.to_version,
    )
    assert report.error.hint is not None
    assert (
        'lockgate repair --accept 3 --reason "…" --apply; then repeat the command.'
        in report.error.hint
    )
    assert ("3", "reverting") in deployed.history()
    return deployed


def test_failed_down_script_is_corrected_in_its_file(half_undone: Project) -> None:
    """The rest of a failed down script can be corrected in the file, accepted and continued."""
    half_undone.write({"3_index.sql": HALF_UNDONE.replace("VACUUM nothing", "VACUUM account")})
    accepted = half_undone.do(Action.REPAIR, repair=Repair.ACCEPT, version="3")
    assert ("2", "2") == (accepted.from_version, accepted.to_version)
    assert ["3"] == names(down(half_undone, steps=1))


def planned(report: Report) -> list[tuple[str | None, str | None]]:
    """Return version and reason of each step that is pending."""
    return [(entry.version, entry.reason) for entry in report.pending]


@pytest.mark.parametrize("action", [Action.PLAN, Action.VALIDATE, Action.STATUS])
def test_interrupted_undo_is_planned_as_the_next_up_completes_it(
    half_undone: Project, action: Action
) -> None:
    """An interrupted undo is pending, and after it the migration that the next up applies again."""
    half_undone.write({"3_index.sql": HALF_UNDONE.replace("VACUUM nothing", "VACUUM account")})
    half_undone.do(Action.REPAIR, repair=Repair.ACCEPT, version="3")
    report = half_undone.run(action)
    assert (Status.PLANNED, None) == (report.status, report.error)
    assert [("3", "reverted"), ("3", "pending"), ("4", "pending")] == planned(report)
    assert [("3",), ("3",)] == [one.migrations for one in report.segments[:2]]
    assert report.next_action is not None
    assert report.next_action.startswith("Run up to do what is listed.")
    done = half_undone.run()
    assert (Status.APPLIED, None) == (done.status, done.error)
    assert ["3"] == [one.version for one in done.reverted]
    assert ["3", "4"] == [one.version for one in done.applied]
    assert () == half_undone.run(action).pending


def test_interrupted_undo_that_cannot_be_completed_is_refused_by_plan(half_undone: Project) -> None:
    """What the next up refuses about an interrupted undo, plan refuses and status reports."""
    text = HALF_UNDONE.replace("DROP INDEX", "DROP INDEX CONCURRENTLY nothing; DROP INDEX")
    half_undone.write({"3_index.sql": text})
    half_undone.do(Action.REPAIR, repair=Repair.ACCEPT, version="3")
    message = "Cannot undo 3 index (its down script was edited in the part that is done already)."
    assert ("undo-refused", f"{message} Nothing was changed.") == error_of(
        half_undone.run(Action.PLAN)
    )
    assert ("undo-refused", f"{message} No migration was run.") == error_of(half_undone.run())
    status = half_undone.run(Action.STATUS)
    assert (Status.PLANNED, None) == (status.status, status.error)
    assert f"An up would be refused: {message}" in status.warnings
    assert half_undone.run().next_action == status.next_action


def test_down_script_edited_in_its_executed_part_is_refused(half_undone: Project) -> None:
    """A down script whose applied part was edited is refused."""
    text = HALF_UNDONE.replace("DROP INDEX", "DROP INDEX CONCURRENTLY nothing; DROP INDEX")
    half_undone.write({"3_index.sql": text.replace("VACUUM nothing", "VACUUM account")})
    half_undone.do(Action.REPAIR, repair=Repair.ACCEPT, version="3")
    code, message = error_of(down(half_undone, steps=1))
    assert "undo-refused" == code
    assert "its down script was edited in the part that is done already" in message


# An automatic undo needs a proof.

SEEN = (
    "What this run had applied was not undone: It cannot be proved that an automatic undo is safe: "
)


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (
            {"5_i.sql": INDEX.replace("_id ", "_x ").replace("_id;", "_x;")},
            "migration 5 i is undone outside a transaction.",
        ),
        ({"5_p.py": PYTHON.replace("made", "later")}, "migration 5 p is undone by Python."),
        (
            {"5_no.sql": "-- migrate:up\nSELECT 1;\n-- migrate:down\nSELECT 1;\n"},
            "migration 5 no has a down script that does nothing.",
        ),
    ],
    ids=["outside a transaction", "python", "no-op"],
)
def test_failed_run_keeps_what_cannot_be_undone_in_one_transaction(
    deployed: Project, files: dict[str, str], reason: str
) -> None:
    """If one script rules out the undo, the failed run keeps everything and reports why."""
    deployed.write({**files, "6_y.sql": EMAIL.replace("email", "y"), "7_bad.sql": BAD})
    report = deployed.run()
    assert (Status.FAILED, []) == (report.status, names(report))
    assert f"{SEEN}{reason}" in error_of(report)[1]
    assert 6 == len(deployed.history())


def test_failed_run_keeps_a_table_that_it_did_not_create(project: Project) -> None:
    """A table that existed before `IF NOT EXISTS` is not dropped by an undo."""
    project.database.run("CREATE TABLE audit_log AS SELECT generate_series(1, 1000) AS id")
    project.write(
        {
            "1_audit.sql": "-- migrate:up\nCREATE TABLE IF NOT EXISTS audit_log (id int);\n"
            "-- migrate:down\nDROP TABLE IF EXISTS audit_log;\n",
            "2_bad.sql": BAD,
        }
    )
    report = project.run()
    assert (Status.FAILED, []) == (report.status, names(report))
    assert "public.audit_log" in error_of(report)[1]
    assert [[1000]] == project.database.run("SELECT count(*) FROM audit_log")
    assert [("1", "applied")] == project.history()


EMPTY_DOWNS = {
    "nothing": "",
    "a comment": "-- nothing yet\n/* really */\n",
    "a lone semicolon": ";\n",
    "a transaction around nothing": "BEGIN;\n-- XXX Add DDLs here.\nCOMMIT;\n",
}


@pytest.mark.parametrize("text", EMPTY_DOWNS.values(), ids=EMPTY_DOWNS.keys())
def test_empty_down_script_cannot_undo(project: Project, text: str) -> None:
    """A down script without a statement cannot undo a migration."""
    project.write({"1_a.sql": ACCOUNT, "2_b.sql": "CREATE TABLE b ();"})
    project.run()
    project.database.run(
        "UPDATE lockgate.migration_history SET down_script = :text WHERE version = '2'", text=text
    )
    report = down(project, steps=1)
    assert "undo-refused" == error_of(report)[0]
    assert 2 == len(project.history())


@pytest.mark.parametrize("body", ["pass", "...", '"""Later."""', "return"])
def test_empty_down_function_cannot_undo(project: Project, body: str) -> None:
    """A down function without statements cannot undo a migration."""
    project.write(
        {
            "1_made.py": PYTHON.split("def down", maxsplit=1)[0]
            + f"def down(connection):\n    {body}\n"
        }
    )
    project.run()
    assert "undo-refused" == error_of(down(project, steps=1))[0]
    assert 1 == len(project.history())


def test_failed_run_with_an_empty_down_script_keeps_everything(project: Project) -> None:
    """After a failure, a migration with an empty down script stays applied."""
    project.database.run("CREATE TABLE there ()")
    project.write(
        {
            "1_a.sql": "-- migrate:up\nCREATE TABLE a (id int);\n-- migrate:down\n-- later\n",
            "2_bad.sql": BAD,
        }
    )
    report = project.run()
    assert [] == names(report)
    assert "1 a (it has no down script" in error_of(report)[1].replace(
        "its down script is empty", "it has no down script"
    )
    assert [("1", "applied")] == project.history()


def test_deliberate_no_op_is_accepted_by_down(project: Project) -> None:
    """A down script `SELECT 1;` states that there is nothing to undo, and is accepted."""
    project.write({"1_a.sql": "-- migrate:up\nSELECT 1;\n-- migrate:down\nSELECT 1;\n"})
    project.run()
    assert ["1"] == names(down(project, steps=1))
