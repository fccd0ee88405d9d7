"""Read Diesel projects: one folder per migration, metadata, order, and what Lockgate refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.folders import list_versions, read_refused, write_folder

from lockgate.core.catalog import Order
from lockgate.formats.diesel.reader import read_folder, recognise

if TYPE_CHECKING:
    from pathlib import Path


def test_versions_compare_as_texts_without_their_dashes(tmp_path: Path) -> None:
    """Versions with and without dashes are sorted together."""
    files = {
        "2024-01-02-000000_b/up.sql": "b",
        "20240101000000_a/up.sql": "a",
        "20240101000000_a/down.sql": "undo",
        "00000000000000_diesel_initial_setup/up.sql": "setup",
        "README.md": "",
        ".hidden/x.sql": "",
    }
    catalog = read_folder(write_folder(tmp_path / "m", files), {})
    expected = [
        ("00000000000000", "diesel_initial_setup"),
        ("20240101000000", "a"),
        ("20240102000000", "b"),
    ]
    assert (expected, Order.NUMBERS) == (list_versions(catalog), catalog.order)


def test_versions_that_are_no_numbers_keep_the_order_of_texts(tmp_path: Path) -> None:
    """Versions that are not numbers are sorted as text: 10 before 9, and both before letters."""
    files = {"v2_c/up.sql": "c", "10_b/up.sql": "b", "9_a/up.sql": "a"}
    catalog = read_folder(write_folder(tmp_path / "m", files), {})
    expected = [("10", "b"), ("9", "a"), ("v2", "c")]
    assert (expected, Order.LIST) == (list_versions(catalog), catalog.order)


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ("run_in_transaction = false\n", False),
        ("run_in_transaction = true\n", None),
        ("other = 1\n", False),
    ],
)
def test_metadata_decides_about_the_transaction(
    *, tmp_path: Path, metadata: str, expected: bool | None
) -> None:
    """A metadata file without the key turns the transaction off, as in Diesel."""
    files = {"1_a/up.sql": "a", "1_a/down.sql": "b", "1_a/metadata.toml": metadata}
    migration = read_folder(write_folder(tmp_path / "m", files), {}).migrations[0]
    assert migration.down is not None
    found = [migration.up.options.transaction, migration.down.options.transaction]
    assert [expected, expected] == found


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            {"1_a/down.sql": "x"},
            (
                "1_a is a folder without up.sql, which is a broken migration to Diesel."
                " Add 1_a/up.sql, or move the folder out of the migrations folder; or set"
                " LOCKGATE_MIGRATIONS (or --dir) to the migrations folder itself."
            ),
        ),
        (
            {"1_a/up.sql": ""},
            (
                "1_a/up.sql is empty, which Diesel refuses to run."
                " Write the migration, or remove it."
            ),
        ),
        (
            {"1_a/up.sql": "a", "1_a/metadata.toml": "run_in_transaction = 'no'"},
            (
                "1_a/metadata.toml has a run_in_transaction that is neither true nor false."
                " Write run_in_transaction = false."
            ),
        ),
        (
            {"2024-01-01_a/up.sql": "a", "20240101_b/up.sql": "b"},
            (
                "Two files have version 20240101: 2024-01-01_a/up.sql and 20240101_b/up.sql."
                " Give one of them another version."
            ),
        ),
    ],
)
def test_folder_that_diesel_cannot_run_is_refused(
    tmp_path: Path, files: dict[str, str], expected: str
) -> None:
    """The error names the file and the fix."""
    assert expected == read_refused(read_folder, write_folder(tmp_path / "m", files))


def test_metadata_that_is_no_toml_is_refused(tmp_path: Path) -> None:
    """The error names the file; the TOML library words the cause."""
    files = {"1_a/up.sql": "a", "1_a/metadata.toml": "x"}
    found = read_refused(read_folder, write_folder(tmp_path / "m", files))
    assert ("1_a/metadata.toml is not TOML: ", " Correct the file.") == (
        found[:31],
        found[-len(" Correct the file.") :],
    )


def test_script_that_names_diesels_table_gets_it(tmp_path: Path) -> None:
    """A migration that edits Diesel's history finds the table."""
    text = "DELETE FROM __diesel_schema_migrations"
    stub = read_folder(write_folder(tmp_path / "m", {"1_a/up.sql": text}), {}).stub
    assert stub is not None
    assert "__diesel_schema_migrations" == stub.table


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"1_a/up.sql": ""}, "every folder has an up.sql, such as 1_a/up.sql"),
        ({"1_a/up.sql": "", "2_b/migration.sql": ""}, None),
        ({"1_a.sql": ""}, None),
    ],
)
def test_recognise_answers_for_folders_with_an_up_file(
    tmp_path: Path, files: dict[str, str], expected: str | None
) -> None:
    """A folder is recognised only if each of its subfolders has an up.sql."""
    assert expected == recognise(write_folder(tmp_path / "m", files))
