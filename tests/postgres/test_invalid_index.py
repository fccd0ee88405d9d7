"""Invalid indexes after a failed build: the run drops its own; those of others are named and stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.disturbed import act_as_another
from tests.support.waiting import Background, wait_until

from lockgate.postgres.apply.invalid_index import drop_invalid
from lockgate.report.report import Status

if TYPE_CHECKING:
    from tests.support.project import Project

    from lockgate.core.statement_verdict import Index
    from lockgate.postgres.server.connection import Connection

TABLE = (
    "CREATE TABLE t (id int PRIMARY KEY, v int, note text); CREATE TABLE o (id int);"
    "INSERT INTO t SELECT i, i, repeat('x', 10) FROM generate_series(1, 100) AS i;"
)
BUILDS = {
    "nameless": "CREATE INDEX CONCURRENTLY ON t (v);",
    "nameless_unique": "CREATE UNIQUE INDEX CONCURRENTLY ON public.t (v, id);",
    "nameless_expression": "CREATE INDEX CONCURRENTLY ON t USING btree ((v + 1)) WHERE v > 5;",
    "named": "CREATE INDEX CONCURRENTLY t_v ON t (v);",
    "if_not_exists": "CREATE INDEX CONCURRENTLY IF NOT EXISTS t_v ON t (v);",
    "covering": 'CREATE UNIQUE INDEX CONCURRENTLY "T v" ON ONLY t (id) INCLUDE (v);',
}


def list_indexes(project: Project, *, valid: bool) -> list[str]:
    """Return the indexes, including those of TOAST tables but not the primary key."""
    rows = project.database.run(
        "SELECT indexrelid::regclass::text FROM pg_index WHERE indisvalid = :valid"
        " AND NOT indisprimary AND indexrelid >= 16384"
        " AND (NOT :valid OR indrelid = 't'::regclass) ORDER BY 1",
        valid=valid,
    )
    return [row[0] for row in rows]


def write_build(project: Project, build: str) -> None:
    """Apply the table and write a build with a short lock timeout."""
    project.write({"1_t.sql": TABLE})
    project.run()
    project.write({"2_index.sql": f"-- migrate:up transaction:false lock_timeout:300ms\n{build}"})


@pytest.mark.parametrize("build", BUILDS.values(), ids=BUILDS)
def test_build_blocked_by_a_writer_leaves_at_most_one_index(project: Project, build: str) -> None:
    """Retried builds leave at most one invalid index, which is named and dropped by the next run."""
    write_build(project, build)
    writer = project.database.connect()
    writer.run("BEGIN")
    writer.run("UPDATE t SET v = v WHERE id = 1")
    report = project.run(LOCKGATE_LOCK_RETRIES="2")
    assert report.error is not None
    assert "55P03" == report.error.sqlstate
    (left,) = list_indexes(project, valid=False)
    assert any(left.removeprefix("public.") in warning for warning in report.warnings)
    assert any("The next run of the migration drops it" in one for one in report.warnings)
    writer.run("COMMIT")
    again = project.run()
    assert Status.APPLIED == again.status, again.error
    assert () == again.warnings
    assert [] == list_indexes(project, valid=False)
    assert 1 == len(list_indexes(project, valid=True))


@pytest.mark.parametrize("build", BUILDS.values(), ids=BUILDS)
def test_build_whose_writer_goes_away_leaves_nothing(project: Project, build: str) -> None:
    """A failed attempt is cleaned up before the next one, and the successful run has no warning."""
    write_build(project, build)
    writer = project.database.connect()
    writer.run("BEGIN")
    writer.run("UPDATE t SET v = v WHERE id = 1")
    running = Background.start(project.run)
    wait_until(lambda: project.emitted("segment_retried"), "a second try")
    writer.run("COMMIT")
    report = running.result()
    assert Status.APPLIED == report.status, report.error
    assert () == report.warnings
    assert [] == list_indexes(project, valid=False)
    assert 1 == len(list_indexes(project, valid=True))


@pytest.mark.parametrize("build", BUILDS.values(), ids=BUILDS)
def test_build_whose_session_ends_leaves_nothing(project: Project, build: str) -> None:
    """The index of a lost session is found by its oid, dropped, and built again by the same run."""
    project.write({"1_t.sql": TABLE})
    project.run()
    project.write({"2_index.sql": build})
    writer = project.database.connect()
    writer.run("BEGIN")
    writer.run("UPDATE t SET v = v WHERE id = 1")
    running = Background.start(project.run)
    wait_until(lambda: list_indexes(project, valid=False), "a build that waits")
    end_sessions(project)
    wait_until(lambda: project.emitted("connection_restored"), "another session")
    writer.run("COMMIT")
    report = running.result()
    assert Status.APPLIED == report.status, report.error
    assert [] == list_indexes(project, valid=False)
    assert 1 == len(list_indexes(project, valid=True))


def end_sessions(project: Project) -> None:
    """End the run's sessions on the server."""
    project.database.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name LIKE 'lockgate run=%'"
    )


def make_invalid(project: Project, create: str, name: str) -> int:
    """Create an invalid index that Lockgate did not create, and return its oid."""
    project.database.run(create)
    sql = "UPDATE pg_index SET indisvalid = false WHERE indexrelid = :name::regclass RETURNING"
    return int(project.database.run(f"{sql} indexrelid::bigint", name=name)[0][0])


@pytest.mark.parametrize(
    "create", ["CREATE INDEX t_v_idx ON t (v)", "CREATE INDEX t_v_idx ON t (id, v)"]
)
def test_invalid_index_of_another_session_is_named_in_the_report(
    project: Project, create: str
) -> None:
    """The index stays and the warning contains the command to drop it, even if its name matches."""
    project.write({"1_t.sql": TABLE})
    project.run()
    oid = make_invalid(project, create, "t_v_idx")
    project.write({"2_index.sql": BUILDS["nameless"]})
    report = project.run()
    assert Status.APPLIED == report.status, report.error
    (warning,) = report.warnings
    assert warning.startswith(
        "Index public.t_v_idx on t is invalid and was not created by migration 2"
    )
    assert "DROP INDEX CONCURRENTLY public.t_v_idx;" in warning
    assert [["t_v_idx"]] == project.database.run(f"SELECT relname FROM pg_class WHERE oid = {oid}")


OTHERS = {
    "replaced": "DROP INDEX t_v; CREATE INDEX t_v ON t (v)",
    "rebuilt": "REINDEX INDEX t_v",
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_index_that_another_session_has_just_made_valid_is_not_dropped(
    project: Project, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    """If the name refers to a valid index by the time of the drop, that index stays."""
    project.write(
        {
            "1_t.sql": f"{TABLE} INSERT INTO t VALUES (0, 1);",
            "2_unique.sql": "CREATE UNIQUE INDEX CONCURRENTLY t_v ON t (v);",
        }
    )
    made: list[int] = []

    def drop_late(connection: Connection, index: Index) -> None:
        if not made:
            project.database.run("DELETE FROM t WHERE id = 0")
            for sql in other.replace("CREATE INDEX", "CREATE UNIQUE INDEX").split("; "):
                project.database.run(sql)
            made.append(project.database.run("SELECT 't_v'::regclass::oid::bigint")[0][0])
        drop_invalid(connection, index)

    monkeypatch.setattr("lockgate.postgres.apply.lone_statement.drop_invalid", drop_late)
    assert Status.FAILED == project.run().status
    assert ["t_v"] == list_indexes(project, valid=True)
    assert [made] == project.database.run("SELECT 't_v'::regclass::oid::bigint")


def test_index_that_somebody_is_building_is_waited_for_and_not_dropped(project: Project) -> None:
    """The drop waits for the other session's build, finds the index valid, and leaves it."""
    project.write({"1_t.sql": TABLE})
    project.run()
    project.write({"2_index.sql": "CREATE INDEX CONCURRENTLY t_v ON t (v);"})
    writer = project.database.connect()
    writer.run("BEGIN")
    writer.run("UPDATE t SET v = v WHERE id = 1")
    builder = project.database.connect()
    build = Background.start(lambda: builder.run("CREATE INDEX CONCURRENTLY t_v ON t (v)"))
    wait_until(lambda: list_indexes(project, valid=False), "a build that waits")
    running = Background.start(project.run)
    wait_until(
        lambda: project.database.run(
            "SELECT FROM pg_stat_activity WHERE datname = current_database()"
            " AND query LIKE '%pg_stat_progress_create_index%' AND state = 'idle'"
            " AND application_name LIKE 'lockgate%'"
        ),
        "a run that waits",
    )
    oid = project.database.run("SELECT 't_v'::regclass::oid")
    writer.run("COMMIT")
    build.result()
    report = running.result()
    assert report.error is not None
    assert "42P07" == report.error.sqlstate
    assert oid == project.database.run("SELECT 't_v'::regclass::oid")
    assert ["t_v"] == list_indexes(project, valid=True)


REINDEXES = {
    "table": "REINDEX TABLE CONCURRENTLY t;",
    "index": "REINDEX INDEX CONCURRENTLY t_v;",
    "schema": "REINDEX SCHEMA CONCURRENTLY public;",
    "options": "REINDEX (CONCURRENTLY, VERBOSE) TABLE public.t;",
    "database": "REINDEX (CONCURRENTLY) DATABASE {database};",
}


def write_rebuild(project: Project, reindex: str) -> str:
    """Return a REINDEX that names the database, as servers before 16 require."""
    return reindex.format(database=f'"{project.database.name}"')


@pytest.mark.parametrize("is_superuser", [True, False], ids=["superuser", "owner"])
@pytest.mark.parametrize("reindex", REINDEXES.values(), ids=REINDEXES)
def test_interrupted_rebuild_leaves_nothing(
    project: Project, reindex: str, *, is_superuser: bool
) -> None:
    """Leftover index copies are dropped and rebuilt; those that the role may not drop are named."""
    if not is_superuser:
        if "DATABASE" in reindex:
            pytest.skip("only the database's owner may")
        act_as_another(project)
        project.database.run("GRANT ALL ON SCHEMA public TO disturbed_owner")
        project.database.run("ALTER SCHEMA public OWNER TO disturbed_owner")
    project.write(
        {
            "1_t.sql": f"{TABLE} CREATE INDEX t_v ON t (v);",
            "2_reindex.sql": write_rebuild(project, reindex),
        }
    )
    if not is_superuser:
        project.settings["LOCKGATE_DATABASE_URL"] = project.address()
    project.run(target="1")
    blocker = project.database.connect()
    blocker.run("BEGIN ISOLATION LEVEL REPEATABLE READ")
    blocker.run("SELECT 1 FROM o")
    running = Background.start(project.run)
    wait_until(lambda: list_indexes(project, valid=False), "a rebuild that waits")
    left = list_indexes(project, valid=False)
    end_sessions(project)
    wait_until(lambda: project.emitted("connection_restored"), "another session")
    blocker.run("COMMIT")
    report = running.result()
    assert Status.APPLIED == report.status, report.error
    assert any("_ccnew" in name for name in left)
    # Only a superuser may drop indexes in the schema of TOAST tables.
    kept = [] if is_superuser else [name for name in left if "pg_toast" in name]
    assert kept == list_indexes(project, valid=False)
    assert [True] * len(kept) == [
        f"As a superuser: DROP INDEX CONCURRENTLY {name};" in warning
        for name, warning in zip(kept, report.warnings, strict=True)
    ]
    assert (reindex == REINDEXES["index"]) is not any("pg_toast" in name for name in left)


@pytest.mark.parametrize("reindex", REINDEXES.values(), ids=REINDEXES)
def test_failed_rebuild_leaves_nothing(project: Project, reindex: str) -> None:
    """A rebuild that fails on a lock timeout is cleaned up before the run reports the failure."""
    project.write(
        {
            "1_t.sql": f"{TABLE} CREATE INDEX t_v ON t (v);",
            "2_r.sql": "-- migrate:up transaction:false lock_timeout:300ms\n"
            + write_rebuild(project, reindex),
        }
    )
    project.run(target="1")
    blocker = project.database.connect()
    blocker.run("BEGIN ISOLATION LEVEL REPEATABLE READ")
    blocker.run("SELECT 1 FROM o")
    report = project.run(LOCKGATE_LOCK_RETRIES="1")
    assert report.error is not None
    assert "55P03" == report.error.sqlstate
    assert [] == list_indexes(project, valid=False)
    assert () == report.warnings


def test_leftover_of_a_rebuild_that_was_there_before_is_named(project: Project) -> None:
    """An invalid index of an earlier rebuild stays, and the report names it."""
    project.write(
        {
            "1_t.sql": f"{TABLE} CREATE INDEX t_v ON t (v);",
            "2_r.sql": "REINDEX TABLE CONCURRENTLY t;",
        }
    )
    project.run(target="1")
    make_invalid(project, "CREATE INDEX t_v_ccnew ON t (v)", "t_v_ccnew")
    report = project.run()
    assert Status.APPLIED == report.status, report.error
    assert ["t_v_ccnew"] == [
        name for name in list_indexes(project, valid=False) if name == "t_v_ccnew"
    ]
    assert any("Index public.t_v_ccnew on t is invalid" in one for one in report.warnings)
