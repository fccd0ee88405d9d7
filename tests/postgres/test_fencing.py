"""Two runs competing for one lock, paused at the points where one overtakes the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.support.disturbed import through
from tests.support.engine import act_before_finish
from tests.support.proxy import Link, Moment, Proxy
from tests.support.waiting import Background, Gate, hang_up, is_asleep, wait_until

from lockgate.core.deadline import Deadline
from lockgate.postgres.server import connector, own_session
from lockgate.postgres.tables import lock
from lockgate.postgres.tables.lock_table import take_over_lock
from lockgate.report.report import Status

if TYPE_CHECKING:
    from tests.support.project import Project

    from lockgate.core.lease import Holder, Terms
    from lockgate.core.outcome import TakenLock
    from lockgate.postgres.server.connection import Connection
    from lockgate.postgres.tables.table_names import Tables
    from lockgate.report.report import Report

TABLE = "CREATE TABLE account (id int);"
STEAL = "UPDATE lockgate.migration_lock SET token = token + 1, owner = 'thief'"
BEGUN = (
    "SELECT state, statements_done, attempting FROM lockgate.migration_history"
    " WHERE migration_id = '2'"
)


@pytest.fixture
def started(project: Project) -> Project:
    """Return a project with one applied migration."""
    project.write({"1_account.sql": TABLE})
    project.run()
    return project


def abandon_lock(project: Project, *, lease: str) -> Any:
    """Hold the lock from a session that does no work, and return that session."""
    session = project.database.connect()
    session.run(
        "UPDATE lockgate.migration_lock SET owner = 'someoneelse00000', caller = 'test',"
        " token = token + 1, backend_pid = pg_backend_pid(), backend_start = (SELECT backend_start"
        " FROM pg_stat_activity WHERE pid = pg_backend_pid()), taken_at = now(),"
        f" expires_at = now() + interval '{lease}'"
    )
    return session


@pytest.mark.parametrize("was_alive", [False, True])
def test_taker_with_an_outdated_row_does_not_get_the_lock(
    started: Project, monkeypatch: pytest.MonkeyPatch, *, was_alive: bool
) -> None:
    """If two runs find the same dead holder, the second cannot take the lock from the first."""
    session = abandon_lock(started, lease="0" if was_alive else "1 hour")
    if not was_alive:
        hang_up(started.database, session)
    gate = Gate(started.database)
    started.write({"2_slow.sql": "SELECT 2;"})
    quicker: list[Background] = []

    def take_late(
        connection: Connection, tables: Tables, terms: Terms, holder: Holder
    ) -> TakenLock | None:
        monkeypatch.setattr(lock, "take_over_lock", take_over_lock)
        # Only the faster run stops at the gate.
        started.write({"2_slow.sql": Gate.SQL})
        quicker.append(Background.start(started.run))
        gate.wait()
        return take_over_lock(connection, tables, terms, holder)

    monkeypatch.setattr(lock, "take_over_lock", take_late)
    late = started.run(LOCKGATE_LOCK_WAIT="0")
    gate.open()
    assert Status.APPLIED == quicker[0].result().status
    assert (Status.BUSY, "lock-busy") == (late.status, late.error and late.error.code)


def test_run_fenced_while_it_builds_an_index_records_nothing(started: Project) -> None:
    """A run that loses the lock during a concurrent build cannot record the result."""
    started.write({"2_index.sql": "CREATE INDEX CONCURRENTLY account_id ON account (id);"})
    blocker = started.database.connect()
    blocker.run("BEGIN ISOLATION LEVEL REPEATABLE READ")
    blocker.run("SELECT FROM account")
    running = Background.start(started.run)
    wait_until(
        lambda: started.database.run(
            "SELECT FROM pg_stat_progress_create_index WHERE datname = current_database()"
            " AND phase = 'waiting for old snapshots'"
        ),
        "a build that waits for an old snapshot",
    )
    assert [["partial", 0, 1]] == started.database.run(BEGUN)
    started.database.run(STEAL)
    blocker.run("COMMIT")
    report = running.result()
    assert (Status.BUSY, "lock-lost") == (report.status, report.error and report.error.code)
    assert [["partial", 0, 1]] == started.database.run(BEGUN)


@pytest.mark.parametrize(
    "script",
    [
        f"-- migrate:up transaction:false\n{STEAL};\nSELECT 2;\n",
        f"BEGIN;\nINSERT INTO account VALUES (1);\n{STEAL};\nCOMMIT;\n",
    ],
    ids=["wrapped", "own"],
)
def test_run_fenced_within_a_unit_rolls_it_back(started: Project, script: str) -> None:
    """A lost lock rolls back the whole unit, whether Lockgate or the script opened the transaction."""
    started.write({"2_unit.sql": script})
    report = started.run()
    assert (Status.BUSY, "lock-lost") == (report.status, report.error and report.error.code)
    assert [] == started.database.run(BEGUN)
    assert [[0]] == started.database.run("SELECT count(*) FROM account")


def test_statement_outside_a_transaction_is_announced_before_it_runs(started: Project) -> None:
    """An attempt is recorded before the statement, so a later run does not repeat it on a guess."""
    script = "-- migrate:up transaction:false\nDO $$ BEGIN COMMIT; PERFORM pg_sleep(600); END $$;"
    started.write({"2_do.sql": script})
    running = Background.start(started.run)
    wait_until(lambda: is_asleep(started.database), "a statement that sleeps")
    assert [["partial", 0, 1]] == started.database.run(BEGUN)
    started.database.run(
        "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event = 'PgSleep'"
    )
    report = running.result()
    assert report.error is not None
    assert "outcome-unknown" == report.error.code
    assert [["partial", 0, 1]] == started.database.run(BEGUN)
    again = started.run()
    assert again.error is not None
    assert "outcome-unknown" == again.error.code


def test_session_on_a_silent_network_is_ended_by_its_own_run(
    started: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run retakes the lock over a new connection and ends the session it lost."""
    started.write({"2_email.sql": "ALTER TABLE account ADD email text;"})
    server = started.database.server
    monkeypatch.setattr(connector, "ANSWER_SECONDS", 1.0)
    lost: list[Link] = []

    def fall_silent_at_the_end(link: Link) -> None:
        if not lost and started.history() == [("1", "applied"), ("2", "applied")]:
            link.freeze(keeps_server=True)
            lost.append(link)

    with Proxy(server.host, server.port, gate=fall_silent_at_the_end) as proxy:
        started.settings |= through(started, proxy)
        report = started.run()
        assert Status.APPLIED == report.status, report.error
        assert started.emitted("connection_lost")
        assert [] == started.database.run(
            "SELECT FROM pg_stat_activity WHERE pid = :pid", pid=lost[0].pid
        )
    assert ["applied", "applied"] == started.runs()
    assert started.lock_owner() is None
    # One token for the first run, one for this run and one for the new connection.
    assert [[3]] == started.database.run("SELECT token FROM lockgate.migration_lock")


@pytest.mark.parametrize("has_time", [True, False])
def test_lock_taken_on_a_silent_network_blocks_no_run(
    started: Project, monkeypatch: pytest.MonkeyPatch, *, has_time: bool
) -> None:
    """A run whose lock confirmation was lost ends the session that holds the lock."""
    started.write({"2_email.sql": "ALTER TABLE account ADD email text;"})
    server = started.database.server
    monkeypatch.setattr(connector, "ANSWER_SECONDS", 1.0)
    deadline = Deadline(lambda: 600_000, 1_000)

    def fall_silent(link: Link) -> None:
        assert started.lock_owner() is not None
        link.freeze(keeps_server=True)
        if not has_time:
            deadline.remaining = lambda: 100

    # The second message takes the lock; the first one is the initial look.
    with Proxy(server.host, server.port, at=2, moment=Moment.AFTER, fault=fall_silent) as proxy:
        direct = dict(started.settings)
        started.settings |= through(started, proxy)
        report = started.run(deadline=deadline)
        assert proxy.has_struck
        if has_time:
            assert Status.APPLIED == report.status, report.error
        else:
            assert "database-unreachable" == (report.error and report.error.code)
            started.settings = direct
            assert Status.APPLIED == started.run(LOCKGATE_LOCK_WAIT="0s").status
    assert [("1", "applied"), ("2", "applied")] == started.history()
    assert started.lock_owner() is None


def test_work_done_by_another_run_meanwhile_is_not_pending(started: Project) -> None:
    """Migrations that another run applied during a disconnect are not reported as pending."""
    started.write({"2_email.sql": "ALTER TABLE account ADD email text;"})
    server, direct = started.database.server, dict(started.settings)
    others: list[Report] = []

    def let_another_run_do_it(link: Link) -> None:
        started.settings = direct
        others.append(started.run())
        link.reset()

    with Proxy(
        server.host, server.port, at=2, moment=Moment.BEFORE, fault=let_another_run_do_it
    ) as proxy:
        started.settings = direct | through(started, proxy)
        report = started.run()
    assert [Status.APPLIED] == [other.status for other in others]
    assert (Status.UP_TO_DATE, (), ()) == (report.status, report.pending, report.segments)


@pytest.mark.parametrize("at", [22, 23, 24])
def test_newer_versions_are_undone_even_if_the_answer_is_lost(started: Project, at: int) -> None:
    """A rollback is reported even if the connection breaks around its commit."""
    started.write(
        {"2_b.sql": "-- migrate:up\nCREATE TABLE b ();\n-- migrate:down\nDROP TABLE b;\n"}
    )
    started.settings["LOCKGATE_ROLLBACK"] = "deploy"
    started.run()
    started.remove("2_b.sql")
    started.database.run(
        "UPDATE lockgate.migration_history SET up_checksum = 'newer', up_token_checksum = 'newer'"
        " WHERE migration_id = '1'"
    )
    undone: list[bool] = []

    def break_off(link: Link) -> None:
        undone.append([("1", "applied")] == started.history())
        link.reset()

    server = started.database.server
    with Proxy(server.host, server.port, at=at, moment=Moment.AFTER, fault=break_off) as proxy:
        started.settings |= through(started, proxy) | {"LOCKGATE_ROLLBACK": "deploy"}
        report = started.run()
    # Message 23 commits the rollback; the messages of the proof come before it.
    assert [at >= 23] == undone
    assert Status.ROLLED_BACK == report.status, report.error
    assert ["2"] == [entry.version for entry in report.reverted]
    assert started.lock_owner() is None


def test_run_whose_lease_is_over_does_not_come_back(started: Project) -> None:
    """A run whose lease ended does not continue on a new connection, since another may hold the lock."""
    started.write({"2_email.sql": "ALTER TABLE account ADD email text;"})
    server = started.database.server
    lost: list[Link] = []

    def break_off_once_it_is_held(link: Link) -> None:
        if not lost and started.lock_owner() is not None:
            started.database.run("UPDATE lockgate.migration_lock SET expires_at = now()")
            link.reset()
            lost.append(link)

    with Proxy(server.host, server.port, gate=break_off_once_it_is_held) as proxy:
        started.settings |= through(started, proxy)
        report = started.run()
    assert (Status.BUSY, "lock-lost") == (report.status, report.error and report.error.code)
    assert [("1", "applied")] == started.history()


def test_end_is_recorded_though_somebody_locks_the_runs(
    started: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that locks the run table delays the report but does not prevent it."""
    started.write({"2_email.sql": "ALTER TABLE account ADD email text;"})
    other = started.database.connect()
    reports: list[str | None] = []

    def crowd(outcome: dict[str, str | None]) -> None:
        reports.append(outcome["report"])
        other.run("ROLLBACK" if len(reports) > 1 else "BEGIN")
        if len(reports) == 1:
            other.run("LOCK TABLE lockgate.migration_run IN SHARE MODE")

    monkeypatch.setattr(own_session, "OWN_LOCK_TIMEOUT_MS", 100)
    act_before_finish(monkeypatch, crowd)
    assert Status.APPLIED == started.run().status
    assert [True, True] == [report is not None for report in reports]
    assert [] == started.emitted("report_not_stored")
    assert [["applied", True]] == started.database.run(
        "SELECT status, report IS NOT NULL FROM lockgate.migration_run WHERE token = 2"
    )
    assert started.lock_owner() is None
