"""Breaking the lock on purpose."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.waiting import Background, Gate

from lockgate.core.request import Action, Caller, Request
from lockgate.postgres.tables import lock
from lockgate.postgres.tables.lock_table import force_unlock
from lockgate.report.report import Report, Status

if TYPE_CHECKING:
    import pytest
    from tests.support.project import Project

    from lockgate.core.lease import Holder, Terms
    from lockgate.postgres.server.connection import Connection
    from lockgate.postgres.tables.table_names import Tables


def unlock(project: Project) -> Report:
    """Break the lock as an operator does."""
    request = Request(Action.UNLOCK, Caller("test"), reason="hung since 3 a.m.", requested_by="ada")
    return project.runner().run(request)


def test_unlock_fences_and_ends_the_holder_and_is_recorded(project: Project) -> None:
    """The holder cannot commit, its session is ended, and the history records who broke it and why."""
    gate = Gate(project.database)
    project.write({"1_t.sql": "CREATE TABLE t ();", "2_slow.sql": Gate.SQL})
    holder = Background.start(lambda: project.run(LOCKGATE_ATOMICITY="migration"))
    gate.wait()
    report = unlock(project)
    held = holder.result()
    assert Status.APPLIED == report.status
    assert report.lock is not None
    assert report.lock.holder is not None
    assert held.run_id == report.lock.holder.run_id
    assert ("busy", "lock-lost") == (held.status, held.error and held.error.code)
    assert [("1", "applied")] == project.history()
    assert project.lock_owner() is None
    rows = project.database.run(
        "SELECT action, status, requested_by, reason FROM lockgate.migration_run ORDER BY token"
    )
    assert [
        ["up", "busy", None, None],
        ["unlock", "applied", "ada", "hung since 3 a.m."],
    ] == rows


def test_unlock_names_the_holder_that_it_broke(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If another run takes the lock before it is broken, that run is ended and named."""
    project.write({"1_t.sql": "CREATE TABLE t ();"})
    project.run()
    hold = (
        "UPDATE lockgate.migration_lock SET owner = '{}', caller = 'test', token = token + 1,"
        " backend_pid = 2147483647, backend_start = now(), taken_at = now(), expires_at = now()"
    )
    project.database.run(hold.format("the first"))

    def break_late(connection: Connection, tables: Tables, terms: Terms, holder: Holder) -> bool:
        monkeypatch.setattr(lock, "force_unlock", force_unlock)
        project.database.run(hold.format("the second"))
        return force_unlock(connection, tables, terms, holder)

    monkeypatch.setattr(lock, "force_unlock", break_late)
    report = unlock(project)
    assert Status.APPLIED == report.status
    assert report.lock is not None
    assert report.lock.holder is not None
    assert "the second" == report.lock.holder.run_id
    assert [[4, None]] == project.database.run("SELECT token, owner FROM lockgate.migration_lock")


def test_unlock_of_a_free_lock_changes_nothing(project: Project) -> None:
    """If the lock is free, nothing is recorded and no token is issued."""
    project.write({"1_t.sql": "CREATE TABLE t ();"})
    project.run()
    assert Status.UP_TO_DATE == unlock(project).status
    assert ["applied"] == project.runs()


def test_unlock_before_the_first_run_changes_nothing(project: Project) -> None:
    """Without Lockgate's tables there is no lock, and no tables are created."""
    assert Status.UP_TO_DATE == unlock(project).status
    assert [[None]] == project.database.run("SELECT to_regnamespace('lockgate')")
