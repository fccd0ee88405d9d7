"""Read sqlx folders: simple and reversible migrations, and what Lockgate refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.folders import list_versions, read_refused, write_folder

from lockgate.formats.sqlx.reader import read_folder, recognise

if TYPE_CHECKING:
    from pathlib import Path


def test_folder_is_read_in_the_order_of_numbers(tmp_path: Path) -> None:
    """Simple and reversible migrations may be mixed, and files without an underscore are ignored."""
    files = {
        "10_c.sql": "c",
        "0009_b.up.sql": "b",
        "9_b.down.sql": "undo",
        "init.sql": "",
        "x_y": "",
    }
    catalog = read_folder(write_folder(tmp_path / "m", files), {})
    first, second = catalog.migrations
    assert [("0009", "b"), ("10", "c")] == list_versions(catalog)
    assert first.down is not None
    assert ("b", "undo", "c", None) == (first.up.text, first.down.text, second.up.text, second.down)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-- no-transaction\nSELECT 1", False),
        ("-- no-transaction, please", False),
        ("\n-- no-transaction\n", None),
        ("--no-transaction\n", None),
    ],
)
def test_transaction_is_left_out_where_the_file_begins_so(
    *, tmp_path: Path, text: str, expected: bool | None
) -> None:
    """The comment counts only as the very first characters of the file."""
    catalog = read_folder(write_folder(tmp_path / "m", {"1_a.sql": text}), {})
    assert expected is catalog.migrations[0].up.options.transaction


def test_directions_have_their_own_transactions(tmp_path: Path) -> None:
    """The comment in one file does not affect the other direction."""
    files = {"1_a.up.sql": "-- no-transaction\n", "1_a.down.sql": "SELECT 1"}
    migration = read_folder(write_folder(tmp_path / "m", files), {}).migrations[0]
    assert migration.down is not None
    assert (False, None) == (
        migration.up.options.transaction,
        migration.down.options.transaction,
    )


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            {"a_b.sql": ""},
            (
                "a_b.sql has no number before its first underscore."
                " Name it VERSION_description.sql, or move it out of the migrations folder."
            ),
        ),
        (
            {"1_a.down.sql": ""},
            (
                "1_a.down.sql has a down script but no up script."
                " Add 1_a.up.sql, or remove 1_a.down.sql."
            ),
        ),
        (
            {"1_a.sql": "", "1_b.up.sql": ""},
            ("Two files have version 1: 1_a.sql and 1_b.up.sql. Give one of them another version."),
        ),
    ],
)
def test_folder_that_sqlx_cannot_read_is_refused(
    tmp_path: Path, files: dict[str, str], expected: str
) -> None:
    """The error names the file and the fix."""
    assert expected == read_refused(read_folder, write_folder(tmp_path / "m", files))


def test_script_that_names_sqlxs_table_gets_it(tmp_path: Path) -> None:
    """A migration that edits sqlx's history finds the table."""
    folder = write_folder(tmp_path / "m", {"1_a.sql": "UPDATE _sqlx_migrations SET checksum = ''"})
    stub = read_folder(folder, {}).stub
    assert stub is not None
    assert "_sqlx_migrations" == stub.table


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"1_a.sql": "SELECT 1"}, "numbered files without markers, such as 1_a.sql"),
        ({"1_a.up.sql": "SELECT 1"}, "numbered files without markers, such as 1_a.up.sql"),
        (
            {"1_a.sql": "-- Add migration script here\n"},
            "comments of sqlx in files such as 1_a.sql",
        ),
        ({"1_a.sql": "-- +goose Up\n"}, None),
        ({"1_a.sql": "-- migrate:up\n"}, None),
        ({"1_a.sql": "", "V2__b.sql": ""}, None),
        ({"1_a.sql": "", "2_b.py": ""}, None),
        ({}, None),
    ],
)
def test_recognise_answers_for_numbers_without_markers(
    tmp_path: Path, files: dict[str, str], expected: str | None
) -> None:
    """A file with another tool's marker or name rules sqlx out."""
    assert expected == recognise(write_folder(tmp_path / "m", files))
