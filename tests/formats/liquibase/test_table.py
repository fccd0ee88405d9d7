"""Read Liquibase's table as a history: rows, lock, paths and checksums."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.tables import find_table

from lockgate.formats.liquibase import table as liquibase
from lockgate.formats.liquibase.reader import read_folder
from lockgate.formats.tool import ForeignHistory, ForeignRow, ForeignState

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.support.database import Database

    from lockgate.core.catalog import Catalog
    from lockgate.formats.tool import Ask

HEAD = "--liquibase formatted sql\n"


def make_ask(database: Database) -> Ask:
    """Return a function that queries this database."""
    return lambda sql: [tuple(row) for row in database.run(sql)]


def read_rows(database: Database, rows: Iterable[tuple[str, str]] = ()) -> ForeignHistory:
    """Write rows of id and execution type, and read them."""
    database.run(liquibase.TABLE_SQL)
    connection = database.connect()
    for order, (changeset_id, kind) in enumerate(rows, start=1):
        connection.run(
            "INSERT INTO databasechangelog (id, author, filename, dateexecuted, orderexecuted, exectype,"
            " md5sum) VALUES (:id, 'ann', 'db/log.sql', '2024-05-06', :order, :kind, '9:ab')",
            id=changeset_id,
            order=order,
            kind=kind,
        )
    found = find_table(liquibase.SHAPE, make_ask(database))
    assert found is not None
    return liquibase.read_table(make_ask(database), found)


def test_table_is_not_found_where_there_is_none(database: Database) -> None:
    """A database that Liquibase never used has no such table."""
    assert find_table(liquibase.SHAPE, make_ask(database)) is None


def test_rows_become_what_is_applied(database: Database) -> None:
    """Rows are in order of execution and have the catalog's ids."""
    history = read_rows(database, [("2", "EXECUTED"), ("1", "RERAN"), ("x::y", "MARK_RAN")])
    expected = ["db/log.sql::2::ann", "db/log.sql::1::ann", "db/log.sql::x::y::ann"]
    assert expected == [row.version for row in history.rows]
    assert {("9:ab", ForeignState.APPLIED)} == {(row.checksum, row.state) for row in history.rows}
    assert all(row.applied_at is not None and row.applied_at.tzinfo for row in history.rows)
    assert ("public.databasechangelog", None) == (history.table, history.problem)


@pytest.mark.parametrize(
    ("kind", "state"), [("FAILED", ForeignState.FAILED), ("SKIPPED", ForeignState.UNKNOWN)]
)
def test_other_rows_say_what_to_do(database: Database, kind: str, state: ForeignState) -> None:
    """A failed or skipped row blocks adoption and explains how to fix it."""
    (row,) = read_rows(database, [("1", kind)]).rows
    assert state is row.state
    assert row.detail is not None
    assert "adopt again" in row.detail


def test_lock_that_is_held_is_a_problem(database: Database) -> None:
    """A held lock is reported with the command that releases it."""
    read_rows(database)
    database.run(
        "INSERT INTO databasechangeloglock VALUES (1, true, '2024-05-06 07:08:09', 'host')"
    )
    problem = liquibase.read_table(make_ask(database), "public.databasechangelog").problem
    expected = (
        "host has held its lock since 2024-05-06 07:08:09. If no run is left there, run: liquibase"
        " release-locks."
    )
    assert expected == problem


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("db/a.sql", "db/a.sql"),
        ("classpath:db/a.sql", "db/a.sql"),
        ("classpath*:/db/a.sql", "db/a.sql"),
        ("./db\\a.sql", "db/a.sql"),
        ("/db/a.sql", "db/a.sql"),
    ],
)
def test_path_has_one_spelling(path: str, expected: str) -> None:
    """Different spellings of a path become one, as in Liquibase."""
    assert expected == liquibase.normalise_path(path)


# Alignment with a catalog.


def make_catalog(folder: Path, changesets: dict[str, str]) -> Catalog:
    """Return the catalog of files with one changeset each."""
    for name, changeset in changesets.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{HEAD}--changeset {changeset}")
    return read_folder(folder, {})


def align(catalog: Catalog, recorded: list[str]) -> list[str]:
    """Return the ids of the rows after alignment."""
    history = ForeignHistory("t", tuple(map(ForeignRow, recorded)))
    return [row.version for row in liquibase.align(history, catalog).rows]


@pytest.mark.parametrize(
    ("recorded", "expected"),
    [
        (["db/a.sql::1::x", "db/sub/b.sql::1::x"], ["a.sql::1::x", "sub/b.sql::1::x"]),
        (["a.sql::1::x", "sub/b.sql::1::x"], ["a.sql::1::x", "sub/b.sql::1::x"]),
        (["db/a.sql::1::x", "else/c.sql::1::x"], ["a.sql::1::x", "else/c.sql::1::x"]),
        (["db/a.sql::2::x"], ["db/a.sql::2::x"]),
        (["b.sql::1::x"], ["sub/b.sql::1::x"]),
    ],
)
def test_path_from_another_starting_point_is_the_same_path(
    tmp_path: Path, recorded: list[str], expected: list[str]
) -> None:
    """Recorded paths match the catalog's if they differ only by a leading folder."""
    catalog = make_catalog(tmp_path, {"a.sql": "x:1\nSELECT 1;", "sub/b.sql": "x:1\nSELECT 1;"})
    assert expected == align(catalog, recorded)


# As stored in the tables of Liquibase 4.4.0 (8:) and 4.28.0 (9:).
TABLE_CHANGESET = """ann:1
-- a comment in front
CREATE TABLE a (id int, -- trailing
  s text DEFAULT 'x;y');
/* block */
INSERT INTO a VALUES (1, '-- no comment');
--rollback DROP TABLE a;
"""
FUNCTION_CHANGESET = """ann:fn splitStatements:false
CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$
BEGIN
  -- keep me
  RETURN 1; /* and me */
END $$;
--rollback DROP FUNCTION f();
"""
SUMS = [
    (
        TABLE_CHANGESET,
        "8:1057dafec623c1bc40ca677f837e47c5",
        "9:71c1667a4f50531de85a66a9d9dbf706",
    ),
    (
        FUNCTION_CHANGESET,
        "8:1871276c71791fbe3853b25e8e12d95f",
        "9:c40d9d68f0bdaa7d0c87cb09e27327e4",
    ),
]


@pytest.mark.parametrize(("changeset", "older", "newer"), SUMS)
def test_both_sums_are_those_of_liquibase(
    tmp_path: Path, changeset: str, older: str, newer: str
) -> None:
    """A file matches the older and the newer kind of checksum."""
    (migration,) = make_catalog(tmp_path, {"a.sql": changeset}).migrations
    others = ("8:" + "0" * 32, "9:" + "0" * 32)
    assert newer == liquibase.file_checksum(tmp_path, migration)
    assert [True, True, False, False] == [
        liquibase.matches_checksum(tmp_path, migration, one) for one in (older, newer, *others)
    ]


@pytest.mark.parametrize(
    ("valid", "is_accepted"), [("any", True), ("1:any", True), ("9:AB", True), ("9:cd", False)]
)
def test_sum_that_the_changeset_accepts_is_accepted(
    tmp_path: Path, valid: str, *, is_accepted: bool
) -> None:
    """A validCheckSum line accepts a recorded checksum and leaves the file's own unchanged."""
    plain = make_catalog(tmp_path, {"a.sql": "a:1\nSELECT 1;\n"}).migrations[0]
    text = f"a:1\n--validCheckSum: {valid}\nSELECT 1;\n"
    (migration,) = make_catalog(tmp_path, {"a.sql": text}).migrations
    assert is_accepted is liquibase.matches_checksum(tmp_path, migration, "9:ab")
    assert liquibase.file_checksum(tmp_path, plain) == liquibase.file_checksum(tmp_path, migration)


def test_sum_with_parameters_is_that_of_the_filled_in_text(tmp_path: Path) -> None:
    """The checksum covers filled-in parameters; if other text was replaced too, there is none."""
    for name, text in (("a", "SELECT '${x}';"), ("b", "SELECT $$ /* */ ${x} $$;")):
        (tmp_path / f"{name}.sql").write_text(f"{HEAD}--changeset a:1\n{text}\n")
    (tmp_path / "c.sql").write_text(f"{HEAD}--changeset a:1\nSELECT '1';\n")
    catalog = read_folder(tmp_path, {"X": "1"})
    filled, unknown, plain = (
        liquibase.file_checksum(tmp_path, migration) for migration in catalog.migrations
    )
    assert (plain, None) == (filled, unknown)
    assert liquibase.matches_checksum(tmp_path, catalog.migrations[1], "9:ab")
