"""Read dbmate folders: names, order, markers, and what Lockgate refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.folders import list_versions, read_refused, write_folder

from lockgate.core.catalog import Order, TableStub
from lockgate.core.request import Action
from lockgate.formats.dbmate.reader import read_folder, recognise
from lockgate.formats.native import reader as lockgate

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.project import Project

FILE = "-- migrate:up\nSELECT 1;\n-- migrate:down\nSELECT 2;\n"


def test_folder_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    """Versions are sorted as text, as in dbmate, so 10 runs before 9."""
    folder = write_folder(tmp_path / "m", {"9_a.sql": FILE, "10_b.sql": FILE})
    catalog = read_folder(folder, {})
    assert ([("10", "b"), ("9", "a")], Order.LIST) == (list_versions(catalog), catalog.order)


def test_folder_of_timestamps_keeps_their_numbers(tmp_path: Path) -> None:
    """If text and numeric order agree, versions are ordered by number."""
    folder = write_folder(tmp_path / "m", {"20240101_a.sql": FILE, "20240102.sql": FILE})
    catalog = read_folder(folder, {})
    expected = [("20240101", "a"), ("20240102", "")]
    assert (expected, Order.NUMBERS) == (list_versions(catalog), catalog.order)


def test_files_that_dbmate_passes_over_are_passed_over(tmp_path: Path) -> None:
    """Files without a leading number or with another suffix, and subfolders, are ignored."""
    files = {"1_a.sql": FILE, "seed.sql": "x", "2_b.SQL": "x", "sub/3_c.sql": "x", "notes.py": "x"}
    catalog = read_folder(write_folder(tmp_path / "m", files), {})
    assert [("1", "a")] == list_versions(catalog)


def test_file_has_the_checksums_that_the_native_format_gives(tmp_path: Path) -> None:
    """The native format reads a dbmate file with the same checksums, so switching causes no drift."""
    text = f"\ufeff-- about\r\n{FILE}".replace("up\n", "up transaction:false\n")
    folder = write_folder(tmp_path / "m", {"1_a.sql": text})
    assert lockgate.read_folder(folder, {}).migrations == read_folder(folder, {}).migrations


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("", None),
        ("transaction:false", False),
        ("transaction:true", None),
        ("nonsense transaction:false:x", None),
        ("transaction:true transaction:false", False),
    ],
)
def test_option_is_read_as_dbmate_reads_it(
    *, tmp_path: Path, option: str, expected: bool | None
) -> None:
    """Only transaction:false has an effect, the last setting wins, and unknown words are ignored."""
    text = f"-- migrate:up {option}\nSELECT 1;\n-- migrate:down\nSELECT 2;\n"
    catalog = read_folder(write_folder(tmp_path / "m", {"1_a.sql": text}), {})
    assert expected is catalog.migrations[0].up.options.transaction


def test_marker_that_is_indented_or_longer_is_a_comment(tmp_path: Path) -> None:
    """A marker counts only at the start of a line and as a whole word."""
    text = "-- migrate:up\nSELECT 1;\n  -- migrate:down\n-- migrate:downward\nSELECT 2;\n"
    migration = read_folder(write_folder(tmp_path / "m", {"1_a.sql": text}), {}).migrations[0]
    assert (text.removeprefix("-- migrate:up"), None) == (migration.up.text, migration.down)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "SELECT 1;\n",
            (
                "1_a.sql has no -- migrate:up above its scripts."
                " Put -- migrate:up, at the start of a line, above the up script."
            ),
        ),
        (
            "-- migrate:down\n-- migrate:up\n",
            (
                "1_a.sql has no -- migrate:up above its scripts."
                " Put -- migrate:up, at the start of a line, above the up script."
            ),
        ),
        (
            "SELECT 1;\n-- migrate:up\n",
            (
                "1_a.sql:1 has SQL above -- migrate:up."
                " Move it below the marker. Only comments may be above it."
            ),
        ),
        (
            FILE + FILE,
            (
                "1_a.sql:5 has a second -- migrate:up; Lockgate runs one section of each per file."
                " Split the file into several migrations."
            ),
        ),
        (
            "-- migrate:up\n-- migrate:up\n",
            (
                "1_a.sql:2 has a second -- migrate:up; Lockgate runs one section of each per file."
                " Split the file into several migrations."
            ),
        ),
    ],
)
def test_file_that_cannot_be_run_as_dbmate_runs_it_is_refused(
    tmp_path: Path, text: str, expected: str
) -> None:
    """The error names the file, the line if there is one, and the fix."""
    folder = write_folder(tmp_path / "m", {"1_a.sql": text})
    assert expected == read_refused(read_folder, folder)


def test_two_files_of_one_version_are_refused(tmp_path: Path) -> None:
    """Two files with the same version are refused, and the error names both."""
    folder = write_folder(tmp_path / "m", {"01_a.sql": FILE, "1_b.sql": FILE})
    expected = "Two files have version 1: 01_a.sql and 1_b.sql. Give one of them another version."
    assert expected == read_refused(read_folder, folder)


def test_folder_without_a_migration_is_refused(tmp_path: Path) -> None:
    """A folder without migrations is refused, since it points to a packaging mistake."""
    folder = write_folder(tmp_path / "m", {"seed.sql": "x"})
    assert "contains no migrations." in read_refused(read_folder, folder)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"1_a.sql": FILE, "seed.sql": "x"}, "every file has -- migrate:up"),
        ({"1_a.sql": FILE, "2_b.sql": "SELECT 1;"}, None),
        ({"1_a.sql": FILE, "R__b.sql": "SELECT 1;"}, None),
        ({"1_a.sql": FILE.replace("up\n", "up lock_timeout:5s\n", 1)}, None),
        ({"seed.sql": "SELECT 1;"}, None),
    ],
)
def test_recognise_answers_for_markers_and_nothing_native(
    tmp_path: Path, files: dict[str, str], expected: str | None
) -> None:
    """A folder with any feature of the native format is not recognised as dbmate's."""
    assert expected == recognise(write_folder(tmp_path / "m", files))


def test_migration_that_touches_dbmates_table_finds_it(project: Project) -> None:
    """A migration that touches dbmate's table finds it empty, as dbmate would create it."""
    project.settings["LOCKGATE_FORMAT"] = "dbmate"
    project.write(
        {"1_a.sql": "-- migrate:up\nDELETE FROM Schema_Migrations WHERE version = '0';\n"}
    )
    stub = read_folder(project.folder, {}).stub
    report = project.run(Action.UP)
    rows = project.database.run("SELECT version FROM schema_migrations")
    assert isinstance(stub, TableStub)
    assert (1, []) == (len(report.applied), rows)
