"""Read sqlx's table as a history with checksums."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tests.support.folders import write_folder
from tests.support.tables import find_table, make_ask

from lockgate.core.request import Action
from lockgate.formats.sqlx import table as sqlx
from lockgate.formats.sqlx.reader import read_folder
from lockgate.formats.tool import ForeignHistory, ForeignRow, ForeignState

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.database import Database
    from tests.support.project import Project

TABLE = "public._sqlx_migrations"
CREATE = """
CREATE TABLE _sqlx_migrations (
    version bigint PRIMARY KEY,
    description text NOT NULL,
    installed_on timestamptz NOT NULL DEFAULT '2024-01-02 03:04:05+00',
    success boolean NOT NULL,
    checksum bytea NOT NULL,
    execution_time bigint NOT NULL
);
"""
FAILED = (
    "sqlx recorded that version 2 was begun but not completed. Complete or remove its changes by hand,"
    " delete its row from _sqlx_migrations, and adopt again."
)


def insert(version: int, success: str, checksum: str) -> str:
    """Return the statement that inserts a row as sqlx does."""
    return (
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)"
        f" VALUES ({version}, 'a b', {success}, '\\x{checksum}', 1);"
    )


def test_rows_have_checksum_and_state(database: Database) -> None:
    """A row without success is a failure and explains how to fix it."""
    database.run(CREATE + insert(1, "true", "0aff") + insert(2, "false", "00"))
    ask = make_ask(database)
    assert TABLE == find_table(sqlx.SHAPE, ask)
    at = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
    rows = (
        ForeignRow("1", "a b", at, "0aff"),
        ForeignRow("2", "a b", at, "00", ForeignState.FAILED, FAILED),
    )
    assert ForeignHistory(TABLE, rows) == sqlx.read_table(ask, TABLE)


def test_checksum_is_that_of_the_files_bytes(tmp_path: Path) -> None:
    """The checksum covers a byte order mark and line ends."""
    content = "\ufeffSELECT 1;\r\n".encode()
    folder = write_folder(tmp_path / "m", {"1_a.up.sql": content, "1_a.down.sql": "x"})
    migration = read_folder(folder, {}).migrations[0]
    assert hashlib.sha384(content).hexdigest() == sqlx.file_checksum(folder, migration)


def test_adoption_notices_a_file_that_was_edited(project: Project) -> None:
    """The error names only the file that differs from its recorded checksum."""
    project.settings["LOCKGATE_FORMAT"] = "sqlx"
    project.write({"0001_a.sql": "SELECT 1;", "0002_b.sql": "SELECT 2;"})
    right, wrong = hashlib.sha384(b"SELECT 1;").hexdigest(), hashlib.sha384(b"x").hexdigest()
    project.database.run(CREATE + insert(1, "true", right) + insert(2, "true", wrong))
    report = project.do(Action.ADOPT, source="sqlx", reason="we move")
    assert report.error is not None
    assert (True, False) == ("0002" in report.error.message, "0001" in report.error.message)
