"""The run loop, without a server: reactions to lost connections, failed steps and the deadline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.support.engine import FakeRun
from tests.support.fake_server import LOST, fail_with, make_holder

from lockgate.core.failure import OutOfTime
from lockgate.core.request import Action
from lockgate.core.state_after import StateAfter
from lockgate.errors import DatabaseBusy, DatabaseUnreachable, LockLost
from lockgate.report.report import Status

if TYPE_CHECKING:
    from pathlib import Path

ONE = {"1_a.sql": "-- migrate:up\nCREATE TABLE a (id int);\n-- migrate:down\nDROP TABLE a;\n"}
TWO = ONE | {"2_b.sql": "-- migrate:up\nCREATE TABLE b (id int);\n-- migrate:down\nDROP TABLE b;\n"}
# Each migration has its own transaction.
ALONE: dict[str, Any] = {"LOCKGATE_ATOMICITY": "migration"}


@pytest.fixture
def fake(tmp_path: Path) -> FakeRun:
    """Give runs of two migrations on a server in memory."""
    return FakeRun(tmp_path, TWO)


def applied(fake: FakeRun) -> list[str]:
    """Return the ids in the history."""
    return list(fake.server.rows)


def test_run_takes_the_lock_applies_and_releases(fake: FakeRun) -> None:
    """A run takes the lock, applies the migrations and releases the lock."""
    assert Status.APPLIED is fake.run().status
    story = ["probe", "install", "take_lock", "read_history", "apply", "finish", "close"]
    assert story == fake.server.calls
    assert ("1", "2") == tuple(applied(fake))
    assert not fake.server.is_held


@pytest.mark.parametrize("call", ["probe", "install", "take_lock"])
def test_connection_that_breaks_before_the_lock_starts_again(fake: FakeRun, call: str) -> None:
    """A connection lost before the lock restarts the run with another look."""
    fake.server.before[call] = [LOST]
    assert Status.APPLIED is fake.run().status
    assert 2 == fake.server.calls.count("probe")
    assert 1 == len(fake.emitted("connection_lost"))


def test_connection_that_breaks_again_and_again_is_given_up(fake: FakeRun) -> None:
    """A run gives up after three reconnections."""
    fake.server.before["probe"] = [LOST] * 4
    report = fake.run()
    assert report.error is not None
    assert ("database-unreachable", StateAfter.UNCHANGED) == (
        report.error.code,
        report.error.state_after,
    )
    assert 4 == fake.server.calls.count("probe")
    assert 4 == len(fake.emitted("connection_lost"))


@pytest.mark.parametrize("when", ["before", "after"])
def test_connection_broken_under_the_lock_is_replaced(fake: FakeRun, when: str) -> None:
    """After a connection lost under the lock, the history shows what must not be repeated."""
    getattr(fake.server, when)["apply"] = [LOST]
    report = fake.run()
    assert Status.APPLIED is report.status
    assert ["1", "2"] == [entry.version for entry in report.applied]
    assert 1 == fake.server.calls.count("recover")
    assert 1 == len(fake.emitted("connection_restored"))
    assert {"before": 2, "after": 1}[when] == fake.server.calls.count("apply")


def test_lock_that_another_run_took_meanwhile_is_lost(fake: FakeRun) -> None:
    """If another run took the lock meanwhile, the state is unknown."""
    fake.server.before |= {"apply": [LOST], "recover": [LockLost("Another run has the lock.")]}
    report = fake.run()
    assert report.error is not None
    assert ("lock-lost", StateAfter.UNKNOWN) == (report.error.code, report.error.state_after)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_end_whose_answer_is_lost_was_recorded(fake: FakeRun, count: int) -> None:
    """If the answer to recording the end is lost, the run checks it and does not repeat its work."""
    fake.server.before["finish"] = [LOST] * (count - 1)
    fake.server.after["finish"] = [LOST]
    assert Status.APPLIED is fake.run().status
    assert (count, 1) == (fake.server.calls.count("finish"), fake.server.calls.count("apply"))


def test_end_that_cannot_be_recorded_leaves_the_lock(fake: FakeRun) -> None:
    """An end that cannot be recorded leaves the lock, and the state is unknown."""
    fake.server.before["finish"] = [LOST] * 3
    report = fake.run()
    assert report.error is not None
    assert ("database-unreachable", StateAfter.UNKNOWN) == (
        report.error.code,
        report.error.state_after,
    )
    assert [{"reason": "the connection broke again and again"}] == fake.emitted("lock_left_behind")


def test_connection_broken_while_retaking_the_lock_leaves_it(fake: FakeRun) -> None:
    """A connection lost while recovering the lock at the end is not retried."""
    fake.server.before |= {"finish": [LOST], "recover": [LOST]}
    assert Status.FAILED is fake.run().status
    assert 1 == fake.server.calls.count("recover")


@pytest.mark.parametrize(
    ("lost", "reason"),
    [
        ({"finish": [LOST] * 3}, "the connection broke again and again"),
        ({"finish": [LOST], "recover": [LOST]}, "the server closed the connection"),
        ({"finish": [DatabaseBusy("The session still runs.")]}, "The session still runs"),
    ],
)
def test_end_that_cannot_be_recorded_is_explained(
    fake: FakeRun, lost: dict[str, list[Any]], reason: str
) -> None:
    """The warning and the error of an unrecorded end give the reason as a sentence of its own."""
    fake.server.before |= lost
    report = fake.run()
    assert report.error is not None
    (warning,) = report.warnings
    assert warning == (
        f"The end of the run was not recorded and the lock not freed: {reason}. The next run takes"
        " the lock as soon as this session is gone."
    )
    assert report.error.message.startswith(
        f"The end of the run could not be recorded: {reason}. If the server crashed, it may have lost"
        " what the run had committed. "
    )


@pytest.mark.parametrize("sqlstate", ["55P03", "40P01"])
def test_blocked_segment_is_retried(fake: FakeRun, sqlstate: str) -> None:
    """A step that meets a lock conflict is retried."""
    fake.server.before["apply"] = [fail_with(sqlstate), fail_with(sqlstate)]
    assert Status.APPLIED is fake.run().status
    assert [1, 2] == [event["attempt"] for event in fake.emitted("segment_retried")]


def test_step_is_tried_as_often_as_the_settings_say(fake: FakeRun) -> None:
    """A step fails after as many retries as the settings allow."""
    fake.server.before["apply"] = [fail_with("55P03")] * 3
    report = fake.run(LOCKGATE_LOCK_RETRIES="2")
    assert report.error is not None
    assert ("migration-failed", "55P03") == (report.error.code, report.error.sqlstate)
    assert 3 == fake.server.calls.count("apply")


def test_segment_that_is_too_large_is_split(fake: FakeRun) -> None:
    """A segment too large for the server is split, and both migrations are applied."""
    fake.server.before["apply"] = [fail_with("53200")]
    assert Status.APPLIED is fake.run().status
    assert [{"sqlstate": "53200", "migrations": 2}] == fake.emitted("segment_split")
    assert 3 == fake.server.calls.count("apply")


def test_failed_step_ends_the_run_with_its_state(fake: FakeRun) -> None:
    """A failed step's report has its SQLSTATE, migration and state, and the end is recorded."""
    fake.server.before["apply"] = [fail_with("42601")]
    report = fake.run()
    assert report.error is not None
    assert ("42601", "1 a", StateAfter.ROLLED_BACK) == (
        report.error.sqlstate,
        report.error.migration,
        report.error.state_after,
    )
    assert ["failed"] == [outcome["status"] for outcome in fake.server.outcomes]


def test_failure_after_a_commit_reports_why_nothing_was_undone(fake: FakeRun) -> None:
    """If the undo cannot be proved, the first migration stays and the message gives the reason."""
    fake.server.before["apply"] = [None, fail_with("42601", "2 b")]
    report = fake.run(**ALONE)
    assert report.error is not None
    assert ("2 b", StateAfter.KEPT) == (report.error.migration, report.error.state_after)
    assert "What this run had applied was not undone: " in report.error.message
    assert 1 == len(fake.emitted("undo_failed"))
    assert ["1"] == applied(fake)


def test_deadline_stops_before_the_next_segment(fake: FakeRun) -> None:
    """When time is over, the run stops before the next segment and keeps what it applied."""
    fake.interrupt_after("migration_applied", "SIGTERM")
    report = fake.run(**ALONE)
    assert Status.INCOMPLETE is report.status
    assert ["1"] == applied(fake)
    assert ["incomplete"] == [outcome["status"] for outcome in fake.server.outcomes]


def test_cancelled_statement_is_where_the_run_stopped(fake: FakeRun) -> None:
    """When time is over, a cancelled statement is reported as the place where the run stopped."""
    fake.interrupt_after("segment_started", "SIGTERM")
    fake.server.before["apply"] = [fail_with("57014")]
    report = fake.run()
    assert report.error is not None
    assert "It was in migration 1 a, which was cancelled." in report.error.message


def test_migration_that_runs_out_of_time_by_itself_stops_the_run(fake: FakeRun) -> None:
    """A migration that runs out of time between its statements stops the run."""
    fake.server.before["apply"] = [OutOfTime()]
    assert Status.INCOMPLETE is fake.run().status
    assert ["incomplete"] == [outcome["status"] for outcome in fake.server.outcomes]


def test_dead_holder_is_replaced_with_nothing_to_do(fake: FakeRun) -> None:
    """With nothing to do, the run takes over and releases a dead run's lock."""
    fake.run()
    fake.server.holder = make_holder(is_alive=False)
    assert Status.UP_TO_DATE is fake.run().status
    assert not fake.server.is_held
    assert "other" == fake.emitted("lock_taken")[-1]["former_run"]


def test_living_holder_is_not_waited_for_with_nothing_to_do(fake: FakeRun) -> None:
    """With nothing to do, a living holder is not waited for."""
    fake.run()
    fake.server.holder, fake.server.calls = make_holder(), []
    assert Status.UP_TO_DATE is fake.run().status
    assert 1 == fake.server.calls.count("take_lock")


def test_living_holder_is_waited_for_and_named(fake: FakeRun) -> None:
    """A run that cannot get the lock in time reports its holder."""
    fake.server.installed, fake.server.holder = True, make_holder()
    report = fake.run(LOCKGATE_LOCK_WAIT="0")
    assert report.lock is not None
    assert report.lock.holder is not None
    assert (Status.BUSY, "other") == (report.status, report.lock.holder.run_id)
    assert "apply" not in fake.server.calls


def test_down_undoes_the_last(fake: FakeRun) -> None:
    """Down undoes the last migration."""
    fake.run()
    report = fake.run(Action.DOWN, steps=1, reason="r", requested_by="me")
    assert (Status.ROLLED_BACK, ["2"]) == (report.status, [e.version for e in report.reverted])
    assert ["1"] == applied(fake)


@pytest.mark.parametrize("action", [Action.UNLOCK, Action.HISTORY])
def test_command_without_files_does_not_read_them(tmp_path: Path, action: Action) -> None:
    """Commands that need no files work with a broken folder."""
    fake = FakeRun(tmp_path, {"nonsense.sql": ""})
    fake.server.installed, fake.server.holder = True, make_holder()
    assert fake.run(action, reason="r", requested_by="me").is_success


def test_server_that_cannot_be_reached_is_an_error_of_the_report(fake: FakeRun) -> None:
    """An unreachable server is an error in the report, not an exception."""
    fake.server.before["probe"] = [DatabaseUnreachable("No server.")]
    report = fake.run()
    assert report.error is not None
    assert "database-unreachable" == report.error.code
