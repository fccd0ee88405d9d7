"""Read golang-migrate folders: pairs of files, their order, and what Lockgate refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.folders import list_versions, read_refused, write_folder

from lockgate.core.request import Action
from lockgate.formats.golang_migrate.reader import read_folder, recognise

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.project import Project


def test_folder_is_read_in_pairs_and_in_the_order_of_numbers(tmp_path: Path) -> None:
    """Up and down files are paired by the number of their version; titles and zeros may differ."""
    files = {"10_b.up.sql": "b", "000009_a.up.sql": "a", "9_else.down.sql": "undo a"}
    catalog = read_folder(write_folder(tmp_path / "m", files), {})
    first, second = catalog.migrations
    assert [("000009", "a"), ("10", "b")] == list_versions(catalog)
    assert first.down is not None
    expected = ("a", "9_else.down.sql", "undo a", None)
    assert expected == (first.up.text, first.down.path, first.down.text, second.down)


def test_file_of_another_name_is_passed_over(tmp_path: Path) -> None:
    """Files with other names, and subfolders, are ignored."""
    files = {
        "1_a.up.sql": "a",
        "2_b.sql": "",
        "README.md": "",
        "c.up.sql": "",
        "sub/3_c.up.sql": "",
    }
    catalog = read_folder(write_folder(tmp_path / "m", files), {})
    assert [("1", "a")] == list_versions(catalog)


def test_script_reaches_the_server_byte_for_byte(tmp_path: Path) -> None:
    """Markers and variables of other tools have no effect; line ends and comments stay."""
    text = "-- +goose Up\r\nSELECT '${A}';"
    catalog = read_folder(write_folder(tmp_path / "m", {"1_a.up.sql": text}), {"A": "x"})
    assert (text, None) == (catalog.migrations[0].up.sql, catalog.migrations[0].up.substituted)


def test_file_of_several_kinds_runs_statement_by_statement(project: Project) -> None:
    """A file with mixed statements runs them one by one, as with x-multi-statement, and can resume."""
    project.settings["LOCKGATE_FORMAT"] = "golang-migrate"
    text = "CREATE TABLE a (i int);\nCREATE INDEX CONCURRENTLY b ON a (i);\nDROP TABLE nothing;"
    project.write({"1_a.up.sql": text})
    failed = project.run(Action.UP)
    project.write({"1_a.up.sql": text.replace("DROP TABLE", "DROP TABLE IF EXISTS")})
    resumed = project.run(Action.UP)
    indexes = "SELECT count(*) FROM pg_class WHERE relname = 'b'"
    assert ("failed", "applied") == (failed.status, resumed.status)
    assert [[1]] == project.database.run(indexes)


def test_version_with_a_down_file_alone_does_nothing_on_the_way_up(project: Project) -> None:
    """A version with only a down file is recorded going up, and its script runs going down."""
    project.settings["LOCKGATE_FORMAT"] = "golang-migrate"
    project.write({"1_a.up.sql": "CREATE TABLE a ();", "2_b.down.sql": "DROP TABLE a;"})
    project.run(Action.UP)
    down = project.do(Action.DOWN, steps=1, reason="test")
    assert (["2"], [("1", "applied")]) == ([m.version for m in down.reverted], project.history())


def test_two_files_of_one_direction_are_refused(tmp_path: Path) -> None:
    """A copy with another suffix counts as a second file, as in golang-migrate."""
    folder = write_folder(tmp_path / "m", {"1_a.up.sql": "", "01_b.up.sql.orig": ""})
    expected = (
        "Two files have version 1: 01_b.up.sql.orig and 1_a.up.sql."
        " Give one of them another version."
    )
    assert expected == read_refused(read_folder, folder)


def test_folder_without_a_pair_is_refused(tmp_path: Path) -> None:
    """A folder without a pair of files has no migrations."""
    folder = write_folder(tmp_path / "m", {"1_a.sql": ""})
    assert "contains no migrations." in read_refused(read_folder, folder)


def test_script_that_names_the_tools_table_gets_it(tmp_path: Path) -> None:
    """A migration that edits golang-migrate's history finds the table."""
    folder = write_folder(
        tmp_path / "m", {"1_a.up.sql": "UPDATE schema_migrations SET dirty = false"}
    )
    stub = read_folder(folder, {}).stub
    assert stub is not None
    assert "dirty boolean" in stub.sql


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"1_a.up.sql": "", "1_a.down.sql": ""}, "files in pairs, such as 1_a.down.sql"),
        ({"1_a.up.sql": "", "2_b.sql": ""}, None),
        ({"1_a.up.sql": "-- no-transaction\n"}, None),
        ({"1_a.up.sql": "-- Add up migration script here\n"}, None),
        ({}, None),
    ],
)
def test_recognise_answers_for_pairs_that_are_not_sqlxs(
    tmp_path: Path, files: dict[str, str], expected: str | None
) -> None:
    """Pairs identify the folder unless a comment of sqlx, which has the same names, rules it out."""
    assert expected == recognise(write_folder(tmp_path / "m", files))
