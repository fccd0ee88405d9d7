"""Read SQL that projects run through Knex: names, scripts, order, and what Lockgate refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.foreign_folder import ForeignFolder

from lockgate.report.report import Status

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.project import Project

SQL = "SELECT 1;\n"
STUB = '//  a comment\nmodule.exports = require("knex-migrate-sql-file")();\n'


@pytest.fixture
def folder(tmp_path: Path) -> ForeignFolder:
    """Give an empty Knex folder."""
    return ForeignFolder(tmp_path / "migrations", "knex")


# Names.


@pytest.mark.parametrize("separator", [".", "_", "-"])
def test_pair_of_files_is_one_migration(folder: ForeignFolder, separator: str) -> None:
    """The common part of the two file names is the version."""
    files = {f"001_a{separator}up.sql": SQL, f"001_a{separator}down.sql": "DROP TABLE t;\n"}
    migration = folder.read_one(files)
    assert (migration.migration_id, migration.up.text) == ("001_a", SQL)
    assert migration.down is not None
    assert migration.down.text == "DROP TABLE t;\n"


def test_single_file_is_all_up(folder: ForeignFolder) -> None:
    """A single file has no down script; without its counterpart, an _up suffix is part of the name."""
    files = {"001_a.sql": SQL, "002_scale_up.sql": SQL, "003_b.up.sql": SQL}
    assert folder.ids(files) == ["001_a", "002_scale_up", "003_b"]
    assert [m.down for m in folder.read({}).migrations] == [None, None, None]


def test_names_are_sorted_as_file_names(folder: ForeignFolder) -> None:
    """Names are sorted character by character including the suffix, so 10 runs before 9."""
    names = ["a.sql", "a-b.sql", "a_b.sql", "B.sql", "10_a.sql", "9_a.sql"]
    expected = ["10_a", "9_a", "B", "a-b", "a", "a_b"]
    assert folder.ids(dict.fromkeys(names, SQL)) == expected


@pytest.mark.parametrize("name", ["1_a.down.sql", "1_a_down.sql", "1_a-down.sql"])
def test_down_file_alone_is_refused(folder: ForeignFolder, name: str) -> None:
    """A down script without an up script is refused."""
    expected = f"{name} has a down script but no up script."
    assert folder.refuse({name: SQL, "2_b.sql": SQL}) == expected


def test_second_file_of_a_migration_is_refused(folder: ForeignFolder) -> None:
    """Two up files for one migration are refused as ambiguous."""
    expected = "1_a.up.sql is a second file for the migration 1_a.sql."
    assert folder.refuse({"1_a.sql": SQL, "1_a.up.sql": SQL}) == expected


@pytest.mark.parametrize("name", ["001.do.a.sql", "001.undo.a.sql", "1.do.sql"])
def test_postgrator_is_refused(folder: ForeignFolder, name: str) -> None:
    """A Postgrator folder is refused, because its undo files would be run as migrations."""
    expected = f"{name} has the name of a Postgrator migration, which Lockgate does not read."
    assert folder.refuse({name: SQL}) == expected


# Scripts beside the SQL.


@pytest.mark.parametrize(
    "stub",
    [
        STUB,
        "'use strict';\nmodule.exports = require('knex-sql-file-migration')()\n",
        STUB + "/* exports.up = 1 */\nmodule.exports.config = { transaction: true };\n",
    ],
)
def test_script_that_only_runs_its_files_is_accepted(folder: ForeignFolder, stub: str) -> None:
    """A script that only loads its SQL files is accepted, and the SQL is the migration."""
    files = {"1_a.js": stub, "1_a.up.sql": SQL, "1_a.down.sql": SQL}
    migration = folder.read_one(files)
    assert (migration.migration_id, migration.up.options.transaction) == ("1_a", None)


def test_script_may_turn_the_transaction_off(folder: ForeignFolder) -> None:
    """A script can turn the transaction off, as in Knex."""
    stub = STUB + "module.exports.config = { transaction: false };\n"
    migration = folder.read_one({"1_a.js": stub, "1_a.up.sql": SQL, "1_a.down.sql": SQL})
    assert migration.down is not None
    assert migration.up.options.transaction is False
    assert migration.down.options.transaction is False


@pytest.mark.parametrize("name", ["1_a.js", "1_a.ts", "2_b.js"])
def test_script_that_does_more_cannot_be_run(folder: ForeignFolder, name: str) -> None:
    """A program is refused only when it is to run."""
    files = {name: STUB + "module.exports.up = () => {};\n", "1_a.up.sql": SQL, "3_c.sql": SQL}
    expected = f"{name}:1: the script is JavaScript or TypeScript, and Lockgate only runs SQL."
    assert folder.obstruct(files) == expected
    assert {name[:3], "1_a", "3_c"} == set(folder.ids({}))


def test_declarations_are_passed_over(folder: ForeignFolder) -> None:
    """TypeScript declaration files are ignored."""
    assert folder.ids({"1_a.d.ts": "", "1_a.sql": SQL}) == ["1_a"]


def test_script_without_its_file_is_refused(folder: ForeignFolder) -> None:
    """A script whose SQL file is missing is refused."""
    expected = "1_a.js runs 1_a.up.sql, which is missing."
    assert folder.refuse({"1_a.js": STUB, "2_b.sql": SQL}) == expected


def test_file_without_script_is_refused_where_others_have_one(folder: ForeignFolder) -> None:
    """An SQL file without a script is refused if other files have one, since Knex ignores it."""
    files = {"1_a.js": STUB, "1_a.up.sql": SQL, "2_b.up.sql": SQL}
    expected = "2_b.up.sql has no 2_b.js beside it, as other files have, so Knex does not run it."
    assert folder.refuse(files) == expected


# Texts.


def test_comment_that_speaks_of_down_is_no_marker(folder: ForeignFolder) -> None:
    """A comment that mentions down does not start a down script."""
    text = "-- down with old names\nSELECT 1;\n"
    assert folder.read_one({"1_a.sql": text}).up.text == text


def test_question_marks_are_sent_as_knex_sends_them(folder: ForeignFolder) -> None:
    r"""A ? in a string becomes $1, as in knex.raw, and \? becomes a question mark."""
    text = "-- why?\nSELECT 'who?', a \\? 'k', '\\?' FROM t;\n"
    migration = folder.read_one({"1_a.sql": text})
    assert migration.up.text == text
    assert migration.up.sql == "-- why$1\nSELECT 'who$2', a ? 'k', '?' FROM t;\n"


def test_question_mark_that_knex_cannot_send_cannot_be_run(folder: ForeignFolder) -> None:
    """A question mark that knex.raw treats as a parameter is refused, since it has no value."""
    expected = "1_a.sql:3: the script has a question mark that knex.raw reads as a parameter."
    text = "-- why?\nSELECT\n  a ?| array['k'] FROM t;\n"
    assert folder.obstruct({"1_a.sql": text}) == expected


def test_own_tables_are_made_where_a_script_names_one(folder: ForeignFolder) -> None:
    """A script that edits Knex's history or lock finds the table."""
    catalog = folder.read({"1_a.sql": "UPDATE knex_migrations SET batch = 1;\n"})
    assert catalog.stub is not None
    assert catalog.stub.table == "knex_migrations"
    catalog = folder.read({"1_a.sql": "UPDATE knex_migrations_lock SET is_locked = 0;\n"})
    assert catalog.stub is not None
    assert catalog.stub.table == "knex_migrations_lock"


def test_script_that_edits_the_history_of_knex_runs(project: Project) -> None:
    """Knex's tables exist and are empty before the first migration runs."""
    project.settings["LOCKGATE_FORMAT"] = "knex"
    project.write(
        {
            "1_a.sql": "CREATE TABLE seen AS SELECT count(*) FROM knex_migrations_lock;\n",
            "2_b.sql": "UPDATE knex_migrations SET name = 'x' WHERE name LIKE 'y';\n",
        }
    )
    assert project.run().status is Status.APPLIED
    assert project.database.run("SELECT * FROM seen") == [[0]]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"1_a.js": STUB, "1_a.up.sql": SQL}, "1_a.js runs SQL files through Knex"),
        ({"1_a.ts": "export async function up(knex: Knex) {}"}, "1_a.ts is a Knex migration"),
        ({"1_a.up.sql": SQL, "1_a.down.sql": SQL}, None),
    ],
)
def test_folder_is_recognised(
    folder: ForeignFolder, files: dict[str, str], expected: str | None
) -> None:
    """A folder is recognised by its scripts, not by SQL files alone."""
    assert folder.recognise(files) == expected
