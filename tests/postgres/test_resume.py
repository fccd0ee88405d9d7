"""Statements outside a transaction whose result was not recorded, and how the next run treats them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pg8000.native
import pytest
from tests.support.waiting import Background, wait_until

from lockgate.core.deadline import Deadline
from lockgate.core.request import Action
from lockgate.report.report import Status

if TYPE_CHECKING:
    from tests.support.project import Project

TABLE = (
    "CREATE TABLE t (id int, v int); INSERT INTO t SELECT i, i FROM generate_series(1, 100) AS i;"
)
INDEX = "CREATE INDEX CONCURRENTLY IF NOT EXISTS t_v ON t (v);"
DETACHED = "'oid', 'p1'::regclass::oid::int, 'table', 'p'::regclass::oid::int"
PARTS = (
    "CREATE TABLE p (id int) PARTITION BY RANGE (id);"
    " CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (1) TO (9);"
)


def prepare(
    project: Project,
    statement: str,
    *,
    kind: str = "sql",
    before: str = TABLE,
    facts: str | None = None,
) -> None:
    """Apply the tables and leave the next migration begun but not recorded, as a killed run does.

    ``facts`` holds SQL expressions by name: the facts the run recorded before the statement.
    """
    project.write({"1_t.sql": before})
    project.run()
    project.write({f"2_next.{kind}": statement})
    project.database.run(
        "INSERT INTO lockgate.migration_history (migration_id, version, name, kind, up_checksum,"
        " language, state, statements_done, statements_total, attempting, applied_at, duration_ms,"
        " run_id, token, database_user, package_version)"
        " SELECT '2', '2', 'next', kind, 'sha256:0', language, 'partial', 0, 1, 1, now(), 0,"
        " 'killed0000000000', token, database_user, package_version"
        " FROM lockgate.migration_history WHERE migration_id = '1'"
    )
    if facts is not None:
        project.database.run(
            "UPDATE lockgate.migration_history"
            f" SET attempt_facts = jsonb_build_object({facts}) WHERE migration_id = '2'"
        )


def is_valid(project: Project, index: str = "t_v") -> list[list[bool]]:
    """Return whether the index is valid, or no row if it does not exist."""
    return project.database.run(
        "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)", name=index
    )


def test_index_that_was_built_is_not_built_again(project: Project) -> None:
    """A valid index with the right name is taken to be the result of the statement, and recorded."""
    prepare(project, "CREATE INDEX CONCURRENTLY t_v ON t (v);")
    project.database.run("CREATE INDEX t_v ON t (v)")
    before = project.database.run("SELECT 't_v'::regclass::oid")
    assert Status.APPLIED == project.run().status
    assert before == project.database.run("SELECT 't_v'::regclass::oid")


def test_index_that_was_not_built_is_built(project: Project) -> None:
    """A statement that never reached the server is run now."""
    prepare(project, INDEX)
    assert Status.APPLIED == project.run().status
    assert [[True]] == is_valid(project)


MAKE_INVALID = (
    "CREATE INDEX t_v ON t (v);"
    " UPDATE pg_index SET indisvalid = false WHERE indexrelid = 't_v'::regclass"
)


def test_own_invalid_index_is_dropped_and_rebuilt(project: Project) -> None:
    """The statement's own invalid index is dropped first, since IF NOT EXISTS would skip it."""
    prepare(project, INDEX)
    project.database.run(MAKE_INVALID)
    assert Status.APPLIED == project.run().status
    assert [[True]] == is_valid(project)


@pytest.mark.parametrize("statement", [INDEX, INDEX.replace("IF NOT EXISTS ", "")])
def test_invalid_index_of_another_session_is_named_and_kept(
    project: Project, statement: str
) -> None:
    """An invalid index from before the statement is neither dropped nor counted as built."""
    project.write({"1_t.sql": TABLE})
    project.run()
    project.database.run(MAKE_INVALID)
    project.write({"2_next.sql": statement})
    oid = project.database.run("SELECT 't_v'::regclass::oid")
    report = project.run()
    assert report.error is not None
    assert "index public.t_v exists already and is invalid" in report.error.message
    assert "DROP INDEX CONCURRENTLY public.t_v;" in str(report.next_action)
    assert oid == project.database.run("SELECT 't_v'::regclass::oid")
    assert [[False]] == is_valid(project)


def test_failed_build_leaves_no_invalid_index(project: Project) -> None:
    """After a concurrent build fails on the data, its index is dropped immediately."""
    project.write(
        {
            "1_t.sql": "CREATE TABLE t (v int); INSERT INTO t VALUES (1), (1);",
            "2_unique.sql": "CREATE UNIQUE INDEX CONCURRENTLY t_v ON t (v);",
        }
    )
    report = project.run()
    assert report.error is not None
    assert "23505" == report.error.sqlstate
    assert [] == is_valid(project)
    project.database.run("DELETE FROM t")
    assert Status.APPLIED == project.run().status


def test_build_of_another_session_is_waited_for(project: Project) -> None:
    """While another session builds the index, it is neither built a second time nor dropped."""
    prepare(project, INDEX)
    blocker = project.database.connect()
    blocker.run("BEGIN ISOLATION LEVEL REPEATABLE READ")
    blocker.run("SELECT 1 FROM t LIMIT 1")
    builder = project.database.connect()
    build = Background.start(lambda: builder.run("CREATE INDEX CONCURRENTLY t_v ON t (v)"))
    wait_until(
        lambda: project.database.run(
            "SELECT FROM pg_stat_progress_create_index WHERE datname = current_database()"
            " AND phase = 'waiting for old snapshots'"
        ),
        "a build that waits for an old snapshot",
    )
    running = Background.start(project.run)
    wait_until(
        lambda: project.database.run(
            "SELECT FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name LIKE 'lockgate run=%'"
            " AND query LIKE '%pg_stat_progress_create_index%'"
        ),
        "a run that asks for the index",
    )
    oid = project.database.run("SELECT 't_v'::regclass::oid")
    blocker.run("COMMIT")
    build.result()
    assert Status.APPLIED == running.result().status
    assert oid == project.database.run("SELECT 't_v'::regclass::oid")
    assert [[True]] == is_valid(project)


def test_dropped_index_is_not_dropped_again(project: Project) -> None:
    """If the index with the recorded oid is gone, the drop counts as done."""
    prepare(project, "DROP INDEX CONCURRENTLY t_v;", facts="'oid', 1")
    assert Status.APPLIED == project.run().status


def test_index_of_which_nothing_was_recorded_is_not_called_dropped(project: Project) -> None:
    """Without a recorded oid, a missing index does not prove that it was dropped."""
    prepare(project, "DROP INDEX CONCURRENTLY t_v;")
    report = project.run()
    assert report.error is not None
    assert "outcome-unknown" == report.error.code


def test_index_that_still_exists_is_dropped(project: Project) -> None:
    """An index that still exists is dropped."""
    prepare(project, "DROP INDEX CONCURRENTLY t_v;")
    project.database.run("CREATE INDEX t_v ON t (v)")
    assert Status.APPLIED == project.run().status
    assert [] == is_valid(project)


def test_leftovers_of_a_broken_reindex_are_dropped(project: Project) -> None:
    """The leftovers of an interrupted REINDEX CONCURRENTLY are dropped; those of another table stay."""
    prepare(
        project,
        "REINDEX INDEX CONCURRENTLY t_v;",
        before=f"{TABLE} CREATE INDEX t_v ON t (v); CREATE TABLE other (v int);",
    )
    project.database.run(
        "CREATE INDEX t_v_ccnew ON t (v); CREATE INDEX o_ccnew ON other (v);"
        " UPDATE pg_index SET indisvalid = false"
        " WHERE indexrelid IN ('t_v_ccnew'::regclass, 'o_ccnew'::regclass)"
    )
    assert Status.APPLIED == project.run().status
    assert [] == is_valid(project, "t_v_ccnew")
    assert [[False]] == is_valid(project, "o_ccnew")


def test_detached_partition_is_not_detached_again(project: Project) -> None:
    """A partition that exists without its parent counts as detached."""
    detach = "ALTER TABLE p DETACH PARTITION p1 CONCURRENTLY;"
    prepare(project, detach, before=PARTS, facts=DETACHED)
    project.database.run("ALTER TABLE p DETACH PARTITION p1")
    assert Status.APPLIED == project.run().status


@pytest.mark.parametrize(
    ("facts", "after"),
    [
        (DETACHED, "DROP TABLE p1"),
        (None, "ALTER TABLE p DETACH PARTITION p1"),
        (None, "DROP TABLE p1"),
        ("'oid', NULL, 'table', NULL", "ALTER TABLE p RENAME TO q"),
    ],
    ids=["dropped", "not recorded", "not recorded, dropped", "recorded as unknown"],
)
def test_dropped_partition_does_not_count_as_detached(
    project: Project, facts: str | None, after: str
) -> None:
    """Only the recorded partition, still existing without its parent, counts as detached."""
    detach = "ALTER TABLE p DETACH PARTITION p1 CONCURRENTLY;"
    prepare(project, detach, before=PARTS, facts=facts)
    project.database.run(after)
    report = project.run()
    assert report.error is not None
    assert "outcome-unknown" == report.error.code


def test_attached_partition_is_detached(project: Project) -> None:
    """A partition that is still attached is detached now."""
    prepare(project, "ALTER TABLE p DETACH PARTITION p1 CONCURRENTLY;", before=PARTS)
    assert Status.APPLIED == project.run().status
    assert [] == project.database.run("SELECT FROM pg_inherits WHERE inhrelid = 'p1'::regclass")


def test_half_detached_partition_is_finalized(project: Project) -> None:
    """A detach that was interrupted in its second phase is finalized."""
    prepare(project, "ALTER TABLE p DETACH PARTITION p1 CONCURRENTLY;", before=PARTS)
    holder = project.database.connect()
    holder.run("BEGIN")
    holder.run("SELECT * FROM p")
    other = project.database.connect()
    pid = other.run("SELECT pg_backend_pid()")[0][0]
    broken = Background.start(lambda: _detach(other))
    wait_until(
        lambda: project.database.run("SELECT FROM pg_inherits WHERE inhdetachpending"),
        "a detaching in its second half",
    )
    project.database.run("SELECT pg_cancel_backend(:pid)", pid=pid)
    broken.result()
    holder.run("COMMIT")
    assert Status.APPLIED == project.run().status
    assert [] == project.database.run("SELECT FROM pg_inherits WHERE inhrelid = 'p1'::regclass")


def _detach(connection: Any) -> None:
    with pytest.raises(pg8000.native.DatabaseError, match="57014"):
        connection.run("ALTER TABLE p DETACH PARTITION p1 CONCURRENTLY")


def test_vacuum_is_simply_repeated(project: Project) -> None:
    """A statement that is safe to repeat is repeated."""
    prepare(project, "VACUUM t;")
    assert Status.APPLIED == project.run().status


DO = "DO $$ BEGIN INSERT INTO t VALUES (-1); COMMIT; END $$;"


def test_free_form_statement_without_a_query_is_refused(project: Project) -> None:
    """Without a verify query the outcome is unknown: the run is refused and changes nothing."""
    prepare(project, DO)
    report = project.run()
    assert Status.REFUSED == report.status
    assert report.error is not None
    assert "outcome-unknown" == report.error.code
    assert "Statement 1 was begun by run" in report.error.message
    assert [[0]] == project.database.run("SELECT count(*) FROM t WHERE id = -1")
    assert project.lock_owner() is None


def test_unknown_outcome_refuses_the_run_before_its_first_migration(project: Project) -> None:
    """An unknown outcome refuses the whole run, including the migrations before it."""
    prepare(project, DO)
    project.database.run(
        "UPDATE lockgate.migration_history SET migration_id = 'R__late', version = NULL,"
        " name = 'late', kind = 'repeatable' WHERE migration_id = '2'"
    )
    project.remove("2_next.sql")
    project.write({"2_two.sql": "CREATE TABLE two ();", "R__late.sql": DO})
    reports = [project.run(action) for action in (Action.PLAN, Action.VALIDATE, Action.UP)]
    assert [(Status.REFUSED, "outcome-unknown")] * 3 == [
        (report.status, report.error and report.error.code) for report in reports
    ]
    assert [("1", "applied"), ("R__late", "partial")] == project.history()


def test_what_another_run_has_begun_is_not_called_unknown(project: Project) -> None:
    """While the other run holds the lock, its statement counts as pending, not as interrupted."""
    prepare(project, DO)
    project.database.run(
        "UPDATE lockgate.migration_lock SET owner = 'other', caller = 'test', taken_at = now(),"
        " expires_at = now() + interval '1 hour'"
    )
    assert Status.PLANNED == project.run(Action.PLAN).status


def test_block_that_cannot_get_its_lock_names_the_holder(project: Project) -> None:
    """A block that may have committed is not retried, and the failure names the lock timeout."""
    script = (
        "-- migrate:up transaction:false lock_timeout:300ms\n"
        "DO $$ BEGIN INSERT INTO t VALUES (-1); COMMIT; LOCK TABLE held; END $$;"
    )
    project.write({"1_t.sql": f"{TABLE} CREATE TABLE held ();", "2_do.sql": script})
    project.run(target="1")
    blocker = project.database.connect()
    blocker.run("BEGIN; LOCK TABLE held")
    report = project.run()
    assert report.error is not None
    assert ("migration-failed", "55P03") == (report.error.code, report.error.sqlstate)
    assert "What it committed itself stays" in report.error.message
    assert [] == project.emitted("segment_retried")
    assert [[1]] == project.database.run("SELECT count(*) FROM t WHERE id = -1")


@pytest.mark.parametrize("is_done", [True, False])
def test_query_of_the_author_decides_whether_a_statement_is_done(
    project: Project, *, is_done: bool
) -> None:
    """The migrate:verify query decides: true means done, false means run it."""
    verify = "-- migrate:verify SELECT EXISTS (SELECT FROM t\n-- migrate:verify   WHERE id = -1)\n"
    prepare(project, verify + DO)
    if is_done:
        project.database.run("INSERT INTO t VALUES (-1)")
    assert Status.APPLIED == project.run().status
    assert [[1]] == project.database.run("SELECT count(*) FROM t WHERE id = -1")


def test_python_migration_without_verify_is_refused(project: Project) -> None:
    """A Python migration outside a transaction is not repeated without ``verify``."""
    prepare(project, "transaction = False\n\n\ndef up(connection):\n    pass\n", kind="py")
    report = project.run()
    assert report.error is not None
    assert "outcome-unknown" == report.error.code
    assert report.next_action is not None
    assert "define verify(connection)" in report.next_action


@pytest.mark.parametrize("is_done", ["True", "False"])
def test_verify_decides_whether_a_python_migration_is_done(project: Project, is_done: str) -> None:
    """``verify(connection)`` decides in the same way as migrate:verify."""
    script = (
        "transaction = False\n\n\ndef up(connection):\n"
        "    connection.exec_driver_sql('CREATE TABLE made ()')\n\n\n"
        f"def verify(connection):\n    return {is_done}\n"
    )
    prepare(project, script, kind="py")
    assert Status.APPLIED == project.run().status
    made = project.database.run("SELECT to_regclass('made') IS NULL")
    assert [[is_done == "True"]] == made


def test_edited_part_that_was_done_is_refused(project: Project) -> None:
    """Statements from the failed one on may be edited; those already applied may not."""
    script = "-- migrate:up transaction:false\nINSERT INTO t VALUES ({});\nSELECT 1/{};\n"
    project.write({"1_t.sql": TABLE, "2_steps.sql": script.format(-1, 0)})
    project.run()
    project.write({"2_steps.sql": script.format(-2, 1)})
    assert Status.REFUSED == project.run().status
    project.write({"2_steps.sql": script.format(-1, 1)})
    assert Status.APPLIED == project.run().status
    assert [[1]] == project.database.run("SELECT count(*) FROM t WHERE id < 0")


def test_long_build_reports_its_progress(project: Project) -> None:
    """A long index build is reported while it runs."""
    project.write({"1_t.sql": TABLE, "2_index.sql": INDEX})
    blocker = project.database.connect()
    project.run(target="1")
    blocker.run("BEGIN ISOLATION LEVEL REPEATABLE READ")
    blocker.run("SELECT 1 FROM t LIMIT 1")

    def leave() -> None:
        wait_until(lambda: project.emitted("index_progress"), "a word about the build")
        blocker.run("COMMIT")

    leaving = Background.start(leave)
    # Progress is checked after half of the lock_timeout.
    report = project.run(LOCKGATE_LOCK_TIMEOUT="400ms")
    leaving.result()
    assert Status.APPLIED == report.status


def test_cancelled_block_is_not_run_again(project: Project) -> None:
    """A cancelled DO block that commits may be half done, so it is not repeated."""
    script = (
        "-- migrate:up transaction:false\nDO $$ BEGIN INSERT INTO t VALUES (-1); COMMIT;"
        " PERFORM pg_sleep(30); END $$;"
    )
    project.write({"1_t.sql": TABLE, "2_do.sql": script})
    project.run(target="1")
    deadline = Deadline(None, 1_000)
    running = Background.start(lambda: project.run(deadline=deadline))
    done = "SELECT FROM t WHERE id = -1"
    wait_until(lambda: project.database.run(done), "the first half")
    deadline.interrupt("the test")
    assert Status.INCOMPLETE == running.result().status
    again = project.run()
    assert again.error is not None
    assert "outcome-unknown" == again.error.code
    assert [[1]] == project.database.run("SELECT count(*) FROM t WHERE id = -1")


def test_failed_python_migration_is_not_run_again(project: Project) -> None:
    """Outside a transaction every statement persists, so only ``verify`` can tell what was done."""
    script = (
        "transaction = False\n\n\ndef up(connection):\n"
        "    connection.exec_driver_sql('INSERT INTO t VALUES (-1)')\n    raise ValueError\n"
    )
    project.write({"1_t.sql": TABLE, "2_half.py": script})
    assert Status.FAILED == project.run().status
    again = project.run()
    assert again.error is not None
    assert "outcome-unknown" == again.error.code
    assert [[1]] == project.database.run("SELECT count(*) FROM t WHERE id = -1")


def test_drop_on_resume_means_the_index_that_was_meant(project: Project) -> None:
    """An index with the same name in a later schema of the search_path is not dropped instead."""
    before = (
        "CREATE SCHEMA a; CREATE SCHEMA b; CREATE TABLE a.t (v int); CREATE TABLE b.t (v int);"
        " CREATE INDEX ix ON a.t (v); CREATE INDEX ix ON b.t (v);"
    )
    script = "SET search_path = a, b;\nDROP INDEX CONCURRENTLY ix;"
    prepare(project, script, before=before)
    project.database.run(
        "UPDATE lockgate.migration_history SET attempting = 2, statements_done = 1,"
        " statements_total = 2, attempted_oid = 'a.ix'::regclass::oid::bigint"
        " WHERE migration_id = '2'; DROP INDEX a.ix"
    )
    assert Status.APPLIED == project.run().status
    assert [[True]] == is_valid(project, "b.ix")


def test_index_of_the_same_name_on_another_table_is_not_evidence(project: Project) -> None:
    """A valid index with that name on another table does not prove that the build is done."""
    prepare(project, INDEX.replace("IF NOT EXISTS ", ""), before=f"{TABLE} CREATE TABLE o (v int);")
    project.database.run("CREATE INDEX t_v ON o (v)")
    report = project.run()
    assert report.error is not None
    assert "42P07" == report.error.sqlstate


def test_index_that_existed_before_is_not_evidence(project: Project) -> None:
    """An index that existed before the statement does not prove that the build is done."""
    prepare(project, INDEX.replace("IF NOT EXISTS ", ""))
    project.database.run(
        "CREATE INDEX t_v ON t (v); UPDATE lockgate.migration_history"
        " SET attempted_oid = 't_v'::regclass::oid::bigint WHERE migration_id = '2'"
    )
    report = project.run()
    assert report.error is not None
    assert "42P07" == report.error.sqlstate


def test_query_of_the_author_is_not_asked_before_the_first_try(project: Project) -> None:
    """The query may refer to objects that the statement has yet to create."""
    verify = "-- migrate:verify SELECT count(*) = 1 FROM made\n"
    project.write(
        {
            "1_t.sql": TABLE,
            "2_do.sql": f"-- migrate:up transaction:false\n{verify}"
            "DO $$ BEGIN CREATE TABLE made AS SELECT 1; COMMIT; END $$;",
        }
    )
    assert Status.APPLIED == project.run().status


def test_query_of_the_author_cannot_write(project: Project) -> None:
    """A verify query that writes fails the run and changes nothing."""
    prepare(project, f"-- migrate:verify DELETE FROM t RETURNING true\n{DO}")
    report = project.run()
    assert report.error is not None
    assert "its migrate:verify query failed" in report.error.message
    assert [[100]] == project.database.run("SELECT count(*) FROM t")


def test_interrupted_removal_of_an_index_is_incomplete(project: Project) -> None:
    """The deadline also ends the drop of an invalid index that waits for a lock."""
    prepare(project, INDEX)
    project.database.run(
        "CREATE INDEX t_v ON t (v);"
        " UPDATE pg_index SET indisvalid = false WHERE indexrelid = 't_v'::regclass"
    )
    blocker = project.database.connect()
    blocker.run("BEGIN")
    blocker.run("LOCK TABLE t IN ACCESS SHARE MODE")
    deadline = Deadline(None, 1_000)
    running = Background.start(lambda: project.run(deadline=deadline))
    wait_until(
        lambda: project.database.run(
            "SELECT FROM pg_stat_activity WHERE datname = current_database()"
            " AND query LIKE 'DROP INDEX CONCURRENTLY%' AND wait_event_type = 'Lock'"
        ),
        "a DROP INDEX that waits",
    )
    deadline.interrupt("the test")
    assert Status.INCOMPLETE == running.result().status
    assert project.lock_owner() is None
    blocker.run("COMMIT")
    assert Status.APPLIED == project.run().status
    assert [[True]] == is_valid(project)
