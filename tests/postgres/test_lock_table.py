"""The migration lock under everything that can happen to its holder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.support.waiting import Background, Gate, hang_up

from lockgate.core.request import Action
from lockgate.report.report import Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.project import Project

TABLE = "CREATE TABLE account (id int PRIMARY KEY);"
HOLD = """
UPDATE lockgate.migration_lock
SET owner = 'someoneelse00000', caller = 'test', token = token + 1,
    backend_pid = :pid, backend_start = (SELECT backend_start FROM pg_stat_activity WHERE pid = :pid),
    taken_at = clock_timestamp(), expires_at = clock_timestamp() + :lease * interval '1 second'
"""


@pytest.fixture
def started(project: Project) -> Project:
    """Return a project with one applied migration and one pending."""
    project.write({"1_account.sql": TABLE})
    project.run()
    project.write({"2_email.sql": "ALTER TABLE account ADD email text;"})
    return project


def hold_lock(project: Project, *, lease_seconds: float) -> Any:
    """Hold the lock from a live session and return that session."""
    holder = project.database.connect()
    pid = holder.run("SELECT pg_backend_pid()")[0][0]
    holder.run("SET application_name = 'lockgate run=someoneelse00000 token=2 at=2'")
    holder.run(HOLD, pid=pid, lease=lease_seconds)
    return holder


def test_living_holder_is_waited_for_and_named(started: Project) -> None:
    """A live holder within its lease is never replaced."""
    hold_lock(started, lease_seconds=600)
    report = started.run(LOCKGATE_LOCK_WAIT="300ms")
    assert Status.BUSY == report.status
    assert report.error is not None
    assert "Run someoneelse00000 (test) took it at" in report.error.message
    assert [("1", "applied")] == started.history()


def test_dead_holder_is_replaced_at_once(started: Project) -> None:
    """A holder whose backend has ended is replaced without waiting for its lease."""
    hang_up(started.database, hold_lock(started, lease_seconds=600))
    assert Status.APPLIED == started.run(LOCKGATE_LOCK_WAIT="0").status
    assert "someoneelse00000" == started.emitted("lock_taken")[-1]["former_run"]


def test_reused_pid_does_not_keep_a_dead_lock(started: Project) -> None:
    """A session that reuses the dead holder's process id is not mistaken for it."""
    hold_lock(started, lease_seconds=600)
    started.database.run(
        "UPDATE lockgate.migration_lock SET backend_start = backend_start - interval '1 hour'"
    )
    assert Status.APPLIED == started.run(LOCKGATE_LOCK_WAIT="0").status


def test_lock_of_a_run_that_died_with_its_work_done_is_freed(started: Project) -> None:
    """A run with nothing to apply releases the lock of a run that was killed before it could."""
    started.run()
    holder = hold_lock(started, lease_seconds=600)
    assert Status.UP_TO_DATE == started.run().status
    assert "someoneelse00000" == started.lock_owner(), "a living holder is left alone"
    hang_up(started.database, holder)
    report = started.run()
    assert Status.UP_TO_DATE == report.status
    assert started.lock_owner() is None


def test_lock_of_a_down_that_died_with_its_work_done_is_freed(started: Project) -> None:
    """A down run with nothing to undo releases the lock of a dead run, too."""
    hang_up(started.database, hold_lock(started, lease_seconds=600))
    report = started.do(Action.DOWN, target="1", reason="test", requested_by="test")
    assert Status.UP_TO_DATE == report.status
    assert started.lock_owner() is None
    assert [("1", "applied")] == started.history()


def test_lock_that_came_with_a_backup_is_taken_at_once(started: Project) -> None:
    """The lock in a restored backup names a session of another server and is taken immediately."""
    started.database.run(
        "UPDATE lockgate.migration_lock SET owner = 'elsewhere', caller = 'test', token = 41,"
        " backend_pid = 2147483647, backend_start = now() - interval '1 day',"
        " taken_at = now() - interval '1 day', expires_at = now() + interval '1 hour'"
    )
    report = started.run(LOCKGATE_LOCK_WAIT="0")
    assert Status.APPLIED == report.status
    assert report.lock is not None
    assert 42 == report.lock.token


def test_expired_living_holder_is_terminated_first(started: Project) -> None:
    """A holder whose lease has expired is terminated on the server before the next run begins."""
    holder = hold_lock(started, lease_seconds=-1)
    pid = holder.run("SELECT pg_backend_pid()")[0][0]
    assert Status.APPLIED == started.run(LOCKGATE_LOCK_WAIT="0").status
    assert [] == started.database.run("SELECT FROM pg_stat_activity WHERE pid = :pid", pid=pid)


def test_token_only_grows(started: Project) -> None:
    """Every acquisition raises the token, and a release does not lower it."""
    started.run()
    started.write({"3_more.sql": "SELECT 1;"})
    started.run()
    assert [[3, None]] == started.database.run("SELECT token, owner FROM lockgate.migration_lock")


def test_run_that_lost_its_lock_cannot_commit(started: Project) -> None:
    """A run whose lock was taken over rolls back, even if it never noticed."""
    started.write(
        {
            "2_email.sql": (
                "-- migrate:up\nALTER TABLE account ADD email text;\n"
                # What another run does when it takes the lock, done here inside the migration.
                "UPDATE lockgate.migration_lock SET token = token + 1, owner = 'thief';"
            )
        }
    )
    report = started.run()
    assert Status.BUSY == report.status
    assert report.error is not None
    assert "lock-lost" == report.error.code
    assert [("1", "applied")] == started.history()


def test_abandoned_run_is_marked(started: Project) -> None:
    """A dead run is recorded as abandoned when its lock is taken over."""
    holder = hold_lock(started, lease_seconds=600)
    started.database.run(
        "INSERT INTO lockgate.migration_run (run_id, action, caller, caller_reference, token,"
        " started_at, status, package_version)"
        " VALUES ('someoneelse00000', 'up', 'test', '{}', 2, now(), 'running', '0')"
    )
    hang_up(started.database, holder)
    started.run()
    assert ["applied", "abandoned", "applied"] == started.runs()


def test_role_that_sees_no_backend_start_relies_on_the_lease(started: Project) -> None:
    """A role that cannot see the holder's session waits until the lease has expired."""
    started.database.run(
        "DROP ROLE IF EXISTS lesser_lock; CREATE ROLE lesser_lock LOGIN PASSWORD 'x';"
        f' GRANT CREATE ON DATABASE "{started.database.name}" TO lesser_lock;'
        " GRANT USAGE, CREATE ON SCHEMA public TO lesser_lock;"
        " GRANT USAGE ON SCHEMA lockgate TO lesser_lock;"
        " GRANT ALL ON ALL TABLES IN SCHEMA lockgate TO lesser_lock"
    )
    try:
        holder = hold_lock(started, lease_seconds=600)
        started.write({"2_email.sql": "SELECT 1;"})
        started.settings |= {
            "LOCKGATE_DATABASE_URL": (
                f"postgresql://lesser_lock:x@{started.database.host}:{started.database.port}"
                f"/{started.database.name}"
            ),
            "LOCKGATE_LOCK_WAIT": "0",
        }
        assert Status.BUSY == started.run().status
        holder.run("UPDATE lockgate.migration_lock SET expires_at = now() - interval '1 second'")
        refused = started.run()
        assert refused.error is not None
        assert "still runs and this role may not end it." in refused.error.message
        assert "someoneelse00000" == started.lock_owner(), "the next run must meet it too"
        holder.run(HOLD, pid=holder.run("SELECT pg_backend_pid()")[0][0], lease=600)
        hang_up(started.database, holder)
        assert Status.APPLIED == started.run().status
    finally:
        started.database.run("DROP OWNED BY lesser_lock; DROP ROLE lesser_lock")


@pytest.fixture
def owned(started: Project) -> Iterator[Project]:
    """Return a project whose login role uses SET ROLE, as with alternating users."""
    name = started.database.name
    login, owner = f"login_{name}", f"owner_{name}"
    started.database.run(
        f"CREATE ROLE {owner}; CREATE ROLE {login} LOGIN PASSWORD 'x' NOINHERIT;"
        f' GRANT {owner} TO {login}; GRANT CREATE ON DATABASE "{name}" TO {owner};'
        f" GRANT USAGE, CREATE ON SCHEMA public TO {owner};"
        f" ALTER TABLE account OWNER TO {owner}; ALTER SCHEMA lockgate OWNER TO {owner};"
        f" ALTER TABLE lockgate.migration_history OWNER TO {owner};"
        f" ALTER TABLE lockgate.migration_run OWNER TO {owner};"
        f" ALTER TABLE lockgate.migration_lock OWNER TO {owner}"
    )
    started.settings |= {
        "LOCKGATE_DATABASE_URL": (
            f"postgresql://{login}:x@{started.database.host}:{started.database.port}/{name}"
        ),
        "LOCKGATE_SET_ROLE": owner,
    }
    yield started
    started.database.run(
        f"DROP OWNED BY {owner}, {login} CASCADE; DROP ROLE {login}; DROP ROLE {owner}"
    )


def test_living_holder_that_acts_as_another_role_keeps_its_lock(owned: Project) -> None:
    """A live holder that uses SET ROLE keeps its lock, whether the other run uses SET ROLE or not."""
    gate = Gate(owned.database)
    owned.write({"2_email.sql": Gate.SQL})
    holder = Background.start(owned.run)
    gate.wait()
    as_superuser = owned.database.environment["LOCKGATE_DATABASE_URL"]
    assert Status.BUSY == owned.run(LOCKGATE_LOCK_WAIT="0").status
    assert (
        Status.BUSY
        == owned.run(
            LOCKGATE_LOCK_WAIT="0", LOCKGATE_SET_ROLE="", LOCKGATE_DATABASE_URL=as_superuser
        ).status
    )
    gate.open()
    assert Status.APPLIED == holder.result().status


def test_expired_holder_that_acts_as_another_role_is_ended(owned: Project) -> None:
    """A role may terminate its own expired session, whichever role that session has set."""
    gate = Gate(owned.database)
    owned.write({"2_email.sql": Gate.SQL})
    holder = Background.start(owned.run)
    gate.wait()
    owned.database.run("UPDATE lockgate.migration_lock SET expires_at = now()")
    owned.write({"2_email.sql": "SELECT 1;"})
    report = owned.run(LOCKGATE_LOCK_WAIT="0")
    assert Status.APPLIED == report.status, report.error
    assert Status.BUSY == holder.result().status


def test_two_takers_of_one_expired_holder_make_one_owner(started: Project) -> None:
    """When several runs take over at the same time, one succeeds and the work is done once."""
    started.write({"2_email.sql": "INSERT INTO account VALUES (1);"})
    hang_up(started.database, hold_lock(started, lease_seconds=600))
    reports = started.run_at_once(4)
    assert [Status.APPLIED] + [Status.UP_TO_DATE] * 3 == sorted(r.status for r in reports)
    assert [[1]] == started.database.run("SELECT count(*) FROM account")


@pytest.mark.parametrize(
    "values",
    ["owner = 'x'", "owner = 'x', taken_at = 'infinity', expires_at = 'infinity', caller = 'test'"],
)
def test_lock_row_that_was_written_by_hand_is_taken_over(started: Project, values: str) -> None:
    """A lock row without times, or with infinite ones, counts as expired."""
    started.database.run(f"UPDATE lockgate.migration_lock SET {values}")
    assert Status.PLANNED == started.run(Action.STATUS).status
    assert Status.APPLIED == started.run(LOCKGATE_LOCK_WAIT="0").status
