"""Read node-pg-migrate's SQL migrations: names, scripts, order, and what Lockgate refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.foreign_folder import ForeignFolder

if TYPE_CHECKING:
    from pathlib import Path

SQL = "SELECT 1;\n"
BOTH = "-- Up Migration\nCREATE TABLE t ();\n\n-- Down Migration\nDROP TABLE t;\n"


@pytest.fixture
def folder(tmp_path: Path) -> ForeignFolder:
    """Give an empty node-pg-migrate folder."""
    return ForeignFolder(tmp_path / "migrations", "node-pg-migrate")


# Scripts.


def test_comments_open_the_two_scripts(folder: ForeignFolder) -> None:
    """Each script starts with its comment, at that line of the file."""
    migration = folder.read_one({"1700000000000_create-t.sql": BOTH})
    assert migration.migration_id == "1700000000000_create-t"
    assert (migration.up.text, migration.up.first_line) == (
        "-- Up Migration\nCREATE TABLE t ();\n",
        1,
    )
    assert migration.down is not None
    # node-pg-migrate includes the empty line above the comment.
    assert (migration.down.text, migration.down.first_line) == (
        "\n-- Down Migration\nDROP TABLE t;\n",
        3,
    )


@pytest.mark.parametrize(
    "marker", ["--UP MIGRATION", "  ---- up\tmigration of t", "--\n-- Up Migration"]
)
def test_comment_is_found_however_it_is_written(folder: ForeignFolder, marker: str) -> None:
    """Case, dashes, spaces and trailing words in the comment do not matter."""
    migration = folder.read_one({"1_a.sql": f"DELETE FROM t;\n{marker}\nSELECT 1;\n"})
    assert migration.up.text == f"{marker}\nSELECT 1;\n"
    assert migration.up.first_line == 2


def test_down_script_may_stand_first(folder: ForeignFolder) -> None:
    """The down script may come first."""
    text = "-- Down Migration\nDROP TABLE t;\n-- Up Migration\nCREATE TABLE t ();\n"
    migration = folder.read_one({"1_a.sql": text})
    assert migration.up.text == "-- Up Migration\nCREATE TABLE t ();\n"
    assert migration.up.first_line == 3
    assert migration.down is not None
    assert migration.down.text == "-- Down Migration\nDROP TABLE t;\n"


def test_file_without_comments_is_all_up(folder: ForeignFolder) -> None:
    """A file without comments has no down script."""
    migration = folder.read_one({"1_a.sql": SQL})
    assert (migration.up.text, migration.down) == (SQL, None)


def test_down_comment_alone_cannot_be_run(folder: ForeignFolder) -> None:
    """A down comment without an up comment is refused, since both scripts would run as one."""
    expected = (
        "1_a.sql:2: the script opens a down script but no up script; node-pg-migrate would run"
        " both as one."
    )
    text = "CREATE TABLE t ();\n-- Down Migration\nDROP TABLE t;\n"
    assert folder.obstruct({"1_a.sql": text}) == expected


def test_pair_of_files_is_one_migration(folder: ForeignFolder) -> None:
    """Each file is a whole script, and the common part of the names is the version."""
    files = {"001_init.up.sql": BOTH, "001_init.down.sql": "DROP TABLE t;\n"}
    migration = folder.read_one(files)
    assert (migration.migration_id, migration.up.text) == ("001_init", BOTH)
    assert migration.down is not None
    assert migration.down.text == "DROP TABLE t;\n"


def test_empty_down_file_is_none(folder: ForeignFolder) -> None:
    """An empty down file does not count as a down script."""
    assert folder.read_one({"1_a.up.sql": SQL, "1_a.down.sql": ""}).down is None


def test_down_file_alone_is_refused(folder: ForeignFolder) -> None:
    """A down file without an up file is refused."""
    expected = "1_a.down.sql has a down script but no up script."
    assert folder.refuse({"1_a.down.sql": SQL}) == expected


def test_file_and_pair_of_one_name_are_refused(folder: ForeignFolder) -> None:
    """A single file and a pair with the same name are refused."""
    expected = "1_a.up.sql is a second file for the migration 1_a.sql."
    assert folder.refuse({"1_a.sql": SQL, "1_a.up.sql": SQL}) == expected


# Order.


def test_migrations_run_in_the_order_of_their_numbers(folder: ForeignFolder) -> None:
    """Seventeen digits are a date; with equal numbers, names are compared without punctuation."""
    names = ["20240102030405678_b", "10_a", "9_z", "1704164645677_c", "9_a_10", "9_a_9", "009_aa"]
    expected = [
        "9_a_9",
        "9_a_10",
        "009_aa",
        "9_z",
        "10_a",
        "1704164645677_c",
        "20240102030405678_b",
    ]
    assert folder.ids({f"{name}.sql": SQL for name in names}) == expected


def test_suffix_counts_in_the_order(folder: ForeignFolder) -> None:
    """The suffix counts: a_b.sql comes before a.sql, as b comes before s."""
    assert folder.ids({"1_a.sql": SQL, "1_a_b.sql": SQL}) == ["1_a_b", "1_a"]


def test_name_without_number_is_refused(folder: ForeignFolder) -> None:
    """A name without a number is refused."""
    expected = "init.sql does not begin with a number, by which node-pg-migrate sorts migrations."
    assert folder.refuse({"init.sql": SQL}) == expected


def test_seventeen_digits_that_are_no_date_are_refused(folder: ForeignFolder) -> None:
    """Seventeen digits that are not a date are refused, because they cannot be sorted."""
    message = folder.refuse({"20241399999999999_a.sql": SQL})
    assert message.startswith("20241399999999999_a.sql begins with 17 digits")


def test_names_that_the_tool_takes_for_equal_are_refused(folder: ForeignFolder) -> None:
    """Names that sort as equal are refused, because the file system would decide the order."""
    expected = (
        "1_a_b.sql cannot be sorted: to node-pg-migrate its name is equal to that of 1_a-b.sql."
    )
    assert folder.refuse({"1_a-b.sql": SQL, "1_a_b.sql": SQL}) == expected


# Other files.


@pytest.mark.parametrize("suffix", ["js", "ts", "mjs", "cjs"])
def test_program_cannot_be_run(folder: ForeignFolder, suffix: str) -> None:
    """A program is refused only when it is to run."""
    expected = (
        f"2_b.{suffix}:1: the script is JavaScript or TypeScript, and Lockgate only runs SQL."
    )
    assert folder.obstruct({"1_a.sql": SQL, f"2_b.{suffix}": "", "3_c.sql": SQL}) == expected
    assert folder.ids({}) == ["1_a", "2_b", "3_c"]


def test_program_and_file_of_one_name_are_refused(folder: ForeignFolder) -> None:
    """A program and an SQL file with the same name are refused."""
    expected = "1_a.js is a second file for the migration 1_a.sql."
    assert folder.refuse({"1_a.sql": SQL, "1_a.js": ""}) == expected


def test_other_files_and_folders_are_passed_over(folder: ForeignFolder) -> None:
    """Hidden files, folders, and files with other suffixes are ignored."""
    files = {".1_b.sql": SQL, "old/2_c.sql": SQL, "README.md": "", "1_a.sql": SQL, "1_a.d.ts": ""}
    assert folder.ids(files) == ["1_a"]


def test_own_table_is_made_where_a_script_names_it(folder: ForeignFolder) -> None:
    """A script that edits node-pg-migrate's history finds the table."""
    catalog = folder.read({"1_a.sql": "DELETE FROM pgmigrations;\n"})
    assert catalog.stub is not None
    assert catalog.stub.table == "pgmigrations"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"1_a.sql": BOTH}, '1_a.sql has the comment "Up Migration" or "Down Migration"'),
        ({"1_a.sql": SQL}, None),
        ({"a.sql": BOTH}, None),
        (
            {"1_a.js": "exports.up = (pgm) => { pgm.sql('x'); };"},
            "1_a.js is a node-pg-migrate migration",
        ),
        ({"1_a.js": "exports.up = (knex) => {};"}, None),
    ],
)
def test_folder_is_recognised(
    folder: ForeignFolder, files: dict[str, str], expected: str | None
) -> None:
    """The folder is recognised by its comments or by the pgm parameter of its scripts."""
    assert folder.recognise(files) == expected
