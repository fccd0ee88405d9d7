"""Sqitch's registry as a history."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tests.support.tables import make_ask

from lockgate.formats.sqitch import read_folder
from lockgate.histories import sqitch
from lockgate.histories.foreign import ForeignHistory, ForeignRow

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.database import Database

SETUP = """
CREATE SCHEMA registry;
CREATE TABLE registry.changes (
    change_id text PRIMARY KEY,
    script_hash text,
    change text NOT NULL,
    project text NOT NULL,
    committed_at timestamptz NOT NULL,
    planned_at timestamptz NOT NULL
);
INSERT INTO registry.changes
VALUES ('f0', 'abc', 'users', 'flipr', '2024-01-02 00:00:01Z', '2024-01-01 00:00:00Z'),
       ('a1', 'a1', 'lists', 'other', '2024-01-02 00:00:00Z', '2024-01-01 00:00:00Z')
"""
PLAN = "%project=p\n\na 2026-01-01T12:00:00Z P <p@example.com>\n"


def test_changes_of_all_projects_are_read_in_the_order_of_deployment(database: Database) -> None:
    """The registry's schema may have any name; a hash that is the id is none."""
    database.run(SETUP)
    ask = make_ask(database, setup="SET TIME ZONE 'UTC'")
    table = sqitch.find_table(ask)
    assert table is not None
    first = datetime(2024, 1, 2, tzinfo=UTC)
    rows = (
        ForeignRow("a1", "lists", first, group="other"),
        ForeignRow("f0", "users", first.replace(second=1), "abc", group="flipr"),
    )
    assert ForeignHistory("registry.changes", rows) == sqitch.read_table(ask, table)


def test_checksum_is_that_of_the_deploy_script(tmp_path: Path) -> None:
    """It is the SHA-1 of its bytes, as they are."""
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy/a.sql").write_bytes(b"abc")
    (tmp_path / "sqitch.plan").write_text(PLAN)
    (migration,) = read_folder(tmp_path, {}).migrations
    expected = "a9993e364706816aba3e25717850c26c9cd0d89d"
    assert expected == sqitch.file_checksum(tmp_path, migration)


def test_database_without_a_registry_has_none(database: Database) -> None:
    """A table of that name with other columns is somebody else's."""
    database.run("CREATE TABLE changes (change_id text)")
    assert sqitch.find_table(make_ask(database)) is None
