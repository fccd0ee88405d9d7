"""The contract of the fake and the real server, as far as the engine relies on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.support.deciding import CATALOG, FILES, POLICY
from tests.support.engine import make_engine, open_database
from tests.support.fake_server import FakeServer

from lockgate.core.amendment import make_repair
from lockgate.core.lease import Terms
from lockgate.core.plan import make_plan
from lockgate.core.request import Action, Caller, Repair, Request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.project import Project

    from lockgate.core.outcome import FinishedMigration
    from lockgate.engine.dependencies import Database, HeldLock

OUTCOME: dict[str, str | None] = {
    "status": "applied",
    "from_version": None,
    "to_version": "2",
    "report": None,
    "catalog_digest": None,
}


@pytest.fixture(params=["fake", "real"])
def server(request: pytest.FixtureRequest) -> Iterator[Database]:
    """Give a database with Lockgate's tables and no migration applied."""
    database: Database = FakeServer()
    if request.param == "real":
        project: Project = request.getfixturevalue("project")
        database = open_database(make_engine(project.read_settings()))
    database.install(database.probe())
    yield database
    database.close()


def terms(run_id: str = "feedfeedfeedfeed") -> Terms:
    """Return the terms of a lock request."""
    return Terms(run_id, Request(Action.UP, Caller("test")), 60_000, "0")


def take(server: Database) -> HeldLock:
    """Take the free lock."""
    lock = server.take_lock(terms())
    assert lock is not None
    return lock


def apply_all(server: Database, lock: HeldLock) -> list[FinishedMigration]:
    """Apply both files."""
    done: list[FinishedMigration] = []
    for segment in make_plan(CATALOG, server.read_history(), POLICY).segments:
        lock.apply(segment, done.append)
    return done


def test_first_look_reports_the_contents(server: Database) -> None:
    """The first look reports that the tables exist and that the lock is free."""
    probe = server.probe()
    assert (True, False) == (probe.has_history, probe.is_held)


def test_lock_is_held_by_one(server: Database) -> None:
    """One run holds the lock, and the next one gets a higher token."""
    lock = take(server)
    holder = server.read_holder()
    assert holder is not None
    assert terms().run_id == holder.run_id
    assert server.probe().is_held
    lock.finish(OUTCOME)
    assert server.read_holder() is None
    again = take(server)
    assert again.taken.token > lock.taken.token
    again.finish(OUTCOME)


def test_segment_is_in_the_history_once_it_is_applied(server: Database) -> None:
    """An applied segment is announced in order, and its rows have the run's id and token."""
    lock = take(server)
    assert ["1", "2"] == [done.migration_id for done in apply_all(server, lock)]
    rows = server.read_history().rows
    assert [("1", terms().run_id), ("2", terms().run_id)] == [
        (row.migration_id, row.run_id) for row in rows
    ]
    assert {lock.taken.token} == {row.token for row in rows}
    lock.finish(OUTCOME)


def test_scripts_are_kept_for_an_undo(server: Database) -> None:
    """The scripts of the requested migrations are stored for an undo."""
    lock = take(server)
    apply_all(server, lock)
    scripts = server.records.read_scripts(["2"])
    assert ["2"] == list(scripts)
    assert "DROP TABLE b;" in (scripts["2"].down or "")
    assert len(FILES) == len(server.read_history().rows)
    lock.finish(OUTCOME)


def test_forgotten_row_is_gone(server: Database) -> None:
    """An amendment that forgets a row deletes it at once."""
    lock = take(server)
    apply_all(server, lock)
    lock.amend(make_repair(CATALOG, server.read_history(), Repair.FORGET, "2"))
    assert ["1"] == [row.migration_id for row in server.read_history().rows]
    lock.finish(OUTCOME)


def test_run_whose_end_is_recorded_does_not_take_the_lock_up(server: Database) -> None:
    """A run recovers its lock until its end is recorded."""
    lock = take(server)
    assert lock.recover()
    lock.finish(OUTCOME)
    assert not lock.recover()


def test_lock_is_broken_on_purpose(server: Database) -> None:
    """Breaking the lock returns the holder; after that, there is nothing to break."""
    take(server)
    broken: Any = server.force_unlock(terms("beefbeefbeefbeef"))
    assert broken is not None
    assert terms().run_id == broken[0].run_id
    assert server.read_holder() is None
    assert server.force_unlock(terms("beefbeefbeefbeef")) is None
