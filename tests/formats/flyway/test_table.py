"""Read Flyway's table as a history, and compute its checksums."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.tables import find_table

from lockgate.core.request import Action
from lockgate.formats.flyway import table as flyway
from lockgate.formats.flyway.reader import read_folder
from lockgate.formats.tool import ForeignState

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.database import Database
    from tests.support.project import Project

    from lockgate.formats.tool import Ask, ForeignHistory

Row = tuple[str | None, str, str, int | None, bool]


def make_ask(database: Database) -> Ask:
    """Return a function that queries this database."""
    return lambda sql: [tuple(row) for row in database.run(sql)]


def read_rows(
    database: Database, *rows: Row, table: str = "flyway_schema_history"
) -> ForeignHistory:
    """Write rows of version, description, type, checksum and success as Flyway does, and read them."""
    database.run(
        flyway.TABLE_SQL.format(table=table, constraint=f"{table}_pk", index=f"{table}_s_idx")
    )
    connection = database.connect()
    for rank, (version, description, kind, checksum, success) in enumerate(rows, start=1):
        connection.run(
            f"INSERT INTO {table} VALUES (:rank, :version, :description, :kind, :script, :checksum,"
            " 'me', '2024-05-06 07:08:09', 12, :success)",
            rank=rank,
            version=version,
            description=description,
            kind=kind,
            script=f"{description}.sql",
            checksum=checksum,
            success=success,
        )
    found = find_table(flyway.SHAPE, make_ask(database))
    assert found is not None
    return flyway.read_table(make_ask(database), found)


def test_table_is_not_found_where_there_is_none(database: Database) -> None:
    """A database that Flyway never used has no Flyway table."""
    assert find_table(flyway.SHAPE, make_ask(database)) is None


def test_table_is_found_under_the_name_that_the_settings_gave_it(database: Database) -> None:
    """The table is found by its columns, unless two tables have them."""
    database.run("CREATE SCHEMA a")
    database.run(flyway.TABLE_SQL.format(table="a.older", constraint="o_pk", index="o_idx"))
    assert find_table(flyway.SHAPE, make_ask(database)) == "a.older"
    database.run(flyway.TABLE_SQL.format(table='"My log"', constraint="l_pk", index="l_idx"))
    assert find_table(flyway.SHAPE, make_ask(database)) is None


def test_rows_become_what_is_applied(database: Database) -> None:
    """Rows get the catalog's ids and aware times; rows about schemas are left out."""
    history = read_rows(
        database,
        (None, "<< Flyway Schema Creation >>", "SCHEMA", None, True),
        ("1.0", "create", "SQL", 675033696, True),
        ("1.2.3", "fill", "SQL", -1, True),
        (None, "my view", "SQL", 7, True),
    )
    expected = [
        ("1", "create", "675033696", ForeignState.APPLIED),
        ("1.2.3", "fill", "-1", ForeignState.APPLIED),
        ("R__my view", "my view", "7", ForeignState.APPLIED),
    ]
    assert expected == [(r.version, r.name, r.checksum, r.state) for r in history.rows]
    assert all(row.applied_at is not None and row.applied_at.tzinfo for row in history.rows)
    assert (history.table, history.baseline, history.problem) == (
        "public.flyway_schema_history",
        None,
        None,
    )


@pytest.mark.parametrize("kind", ["BASELINE", "SQL_BASELINE"])
def test_baseline_counts_for_all_up_to_its_version(database: Database, kind: str) -> None:
    """Both a declared baseline and a baseline migration set the baseline version."""
    history = read_rows(database, ("3.0", "base", kind, None, True), ("4", "x", "SQL", 1, True))
    assert ("3", ["4"]) == (history.baseline, [row.version for row in history.rows])


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (
            [
                ("1", "a", "SQL", 1, True),
                ("2", "b", "SQL", 2, True),
                ("2", "b", "UNDO_SQL", 3, True),
            ],
            [("1", "1")],
        ),
        (
            [
                ("1", "a", "SQL", 1, True),
                ("1", "a", "UNDO_SQL", 3, True),
                ("1", "a", "SQL", 4, True),
            ],
            [("1", "4")],
        ),
        ([("1", "a", "SQL", 1, True), ("1", "a", "DELETE", 1, True)], []),
        ([(None, "v", "SQL", 1, True), (None, "v", "SQL", 2, True)], [("R__v", "2")]),
        ([(None, "v", "SQL", 1, True), (None, "v", "DELETE", 1, True)], []),
    ],
)
def test_later_row_replaces_an_earlier_one(
    database: Database, rows: list[Row], expected: list[tuple[str, str]]
) -> None:
    """Undone and deleted migrations are not applied, and the last run of a repeatable counts."""
    history = read_rows(database, *rows)
    assert expected == [(row.version, row.checksum) for row in history.rows]


def test_failed_row_says_what_to_do(database: Database) -> None:
    """A failed row blocks adoption and explains how to fix it."""
    history = read_rows(database, ("1", "V1__a", "SQL", 1, False))
    (row,) = history.rows
    expected = (
        "Flyway recorded that V1__a.sql failed. Complete or remove its changes by hand, delete the row"
        " with flyway repair, and adopt again."
    )
    assert (ForeignState.FAILED, expected) == (row.state, row.detail)


# The values were computed with java.util.zip.CRC32 over the lines of a BufferedReader.
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0),
        ("SELECT 1;\n", 78787420),
        ("\ufeffSELECT 1;\n", 78787420),
        ("SELECT 1;\r\nSELECT 'ü€𝄞';\r\n", -1873320077),
        ("SELECT 1;\rSELECT 2;", -1665099012),
        ("a\u2028b\u0085c\n\n\nd", -839213878),
    ],
)
def test_checksum_is_that_of_the_lines(text: str, expected: int) -> None:
    """Line ends and a byte order mark are ignored, and only Java's line ends split lines."""
    assert expected == flyway.crc32(text)


def test_repeatable_is_summed_up_with_its_values(tmp_path: Path) -> None:
    """A versioned file has one valid checksum; a repeatable also matches its filled-in text."""
    text = "SELECT '${x}';\n"
    for name in ("V1__a.sql", "R__a.sql"):
        (tmp_path / name).write_text(text)
    catalog = read_folder(tmp_path, {"FLYWAY_PLACEHOLDERS_X": "1"})
    raw, filled = str(flyway.crc32(text)), str(flyway.crc32("SELECT '1';\n"))
    found = [
        [flyway.matches_checksum(tmp_path, m, checksum) for checksum in (raw, filled, "0")]
        for m in catalog.migrations
    ]
    assert [[True, False, False], [True, True, False]] == found


# Adoption.


@pytest.fixture
def flyway_project(project: Project) -> Project:
    """Give a project in Flyway's layout with a Java migration."""
    project.settings["LOCKGATE_FORMAT"] = "flyway"
    project.write(
        {
            "V1.0__a.sql": "CREATE TABLE a (id int);\n",
            "V2__Fill.java": "class V2__Fill {}\n",
            "V3__c.sql": "CREATE TABLE c (id int);\n",
            "R__v_w.sql": "CREATE OR REPLACE VIEW v AS SELECT 1 AS x;\n",
        }
    )
    return project


def sum_of(project: Project, name: str) -> int:
    """Return the checksum of a file."""
    return flyway.crc32((project.folder / name).read_text())


def test_history_is_taken_over_and_finished(flyway_project: Project, database: Database) -> None:
    """Java migrations count as applied with (2) or without (2.5) a file; a deleted view does not."""
    database.run("CREATE TABLE a (id int)")
    database.run("CREATE VIEW v AS SELECT 1 AS x")
    read_rows(
        database,
        ("1.0", "a", "SQL", sum_of(flyway_project, "V1.0__a.sql"), True),
        ("2", "Fill", "JDBC", None, True),
        ("2.5", "Elsewhere", "SPRING_JDBC", None, True),
        (None, "v w", "SQL", sum_of(flyway_project, "R__v_w.sql"), True),
        (None, "was deleted", "SQL", 7, True),
    )
    adopted = flyway_project.do(Action.ADOPT, source="flyway", reason="we move")
    finished = flyway_project.run(Action.UP)
    assert ("applied", ["3"]) == (adopted.status, [one.version for one in finished.applied])
    assert [("1", "applied"), ("2", "applied"), ("3", "applied"), ("R__v w", "applied")] == (
        flyway_project.history()
    )


@pytest.mark.parametrize(
    ("baseline", "expected"), [("2.9", ["1", "2"]), ("2.0", ["1", "2"]), ("0", [])]
)
def test_baseline_need_not_be_a_version_of_the_files(
    flyway_project: Project, database: Database, baseline: str, expected: list[str]
) -> None:
    """All files up to the baseline count as applied, even if no file has that version."""
    history = read_rows(database, (baseline, "base", "BASELINE", None, True))
    found = flyway.align(history, read_folder(flyway_project.folder, {})).baseline
    assert (expected[-1] if expected else None) == found


def test_edited_file_is_not_taken_over(flyway_project: Project, database: Database) -> None:
    """A file that was edited after Flyway applied it blocks adoption."""
    read_rows(database, ("1", "a", "SQL", 12345, True))
    report = flyway_project.do(Action.ADOPT, source="flyway", reason="we move")
    assert report.error is not None
    assert "Files were edited after flyway applied them" in report.error.message
