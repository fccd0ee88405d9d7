"""Read postgres-migrations folders: names, numbers, its comment, and what Lockgate refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.folders import list_versions, read_refused, write_folder

from lockgate.core.analysis import analyse_script
from lockgate.core.transaction_mode import Mode
from lockgate.errors import MigrationFileInvalid
from lockgate.formats.postgres_migrations.reader import read_folder, recognise

if TYPE_CHECKING:
    from pathlib import Path

OUTSIDE = "-- postgres-migrations disable-transaction\n"


def test_names_are_read_as_the_tool_reads_them(tmp_path: Path) -> None:
    """A dash, an underscore or nothing follows the number, and files are ordered by number."""
    files = {"10-j.sql": "", "0002_b-c.SQL": "", "1-a.sql": "", "3c.sql": "", "note.txt": ""}
    files |= {f"{number}-x{number}.sql": "" for number in range(4, 10)}
    catalog = read_folder(write_folder(tmp_path / "m", files), {})
    expected = [("1", "a"), ("0002", "b-c"), ("3", "c"), ("4", "x4")]
    assert expected == list_versions(catalog)[:4]
    assert ("10", "j") == list_versions(catalog)[-1]
    assert {None} == {migration.down for migration in catalog.migrations}


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("SELECT 1;", Mode.SHARED),
        (f"{OUTSIDE}CREATE INDEX CONCURRENTLY i ON t (a);", Mode.STATEMENTS),
        (f"{OUTSIDE}SELECT 1; SELECT 2;", Mode.SHARED),
    ],
)
def test_comment_takes_a_file_out_of_the_transaction(tmp_path: Path, text: str, mode: Mode) -> None:
    """The comment has an effect only if a statement cannot run inside a transaction."""
    (migration,) = read_folder(write_folder(tmp_path / "m", {"1-a.sql": text}), {}).migrations
    assert mode is analyse_script(migration.up).mode


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"1-a.sql": "", "3-c.sql": ""}, "3-c.sql has the number 3, but 2 comes next"),
        ({"2-a.sql": ""}, "2-a.sql has the number 2, but 1 comes next"),
        ({"1-a.sql": "", "01-b.sql": ""}, "Two files have version"),
        ({"a.sql": ""}, "a.sql does not begin with a number, 1 or more"),
        ({"0-a.sql": ""}, "0-a.sql does not begin with a number, 1 or more"),
        ({"-1-a.sql": ""}, "-1-a.sql does not begin with a number, 1 or more"),
        ({"1-a.sql": "", "2_a.sql": ""}, "2_a.sql has the name of 1-a.sql"),
        ({"1-create-migrations-table.sql": ""}, "has the name of the tool's own migration"),
        ({f"1-{'a' * 101}.sql": ""}, "has a name of 101 characters"),
        ({"1-a.sql": "", ".2-b.sql": ""}, ".2-b.sql is not a migration"),
        ({"1-a.sql": "", "__b.JS": ""}, "__b.JS is not a migration"),
        ({"1-a.sql": "", "2-b.sql/note.txt": ""}, "2-b.sql is not a migration"),
        ({}, "contains no migrations"),
    ],
)
def test_what_the_tool_stops_at_is_refused(
    tmp_path: Path, files: dict[str, str], expected: str
) -> None:
    """Numbers start at 1 without gaps and names are unique; `tests/proofs` compares with the tool."""
    assert expected in read_refused(read_folder, write_folder(tmp_path / "m", files))


def test_program_is_known_and_not_run(tmp_path: Path) -> None:
    """A pending program is refused."""
    files = {"1-a.js": "module.exports.generateSql = () => `SELECT 1`"}
    (migration,) = read_folder(write_folder(tmp_path / "m", files), {}).migrations
    with pytest.raises(MigrationFileInvalid, match="is JavaScript or TypeScript"):
        analyse_script(migration.up)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            {"0001-a.sql": "", "0002-b.sql": ""},
            "files numbered from 1 with a dash after the number, such as 0001-a.sql",
        ),
        (
            {"1_a.sql": OUTSIDE},
            "1_a.sql has a comment or function that only postgres-migrations reads",
        ),
        (
            {"1_a.js": "exports.generateSql = 1"},
            "1_a.js has a comment or function that only postgres-migrations reads",
        ),
        ({"1_a.sql": "", "2_b.sql": ""}, None),
        ({"1-a.sql": "", "3-b.sql": ""}, None),
        ({"000001-a.sql": "--! Previous: -\n"}, None),
        ({}, None),
    ],
)
def test_recognise_answers_for_what_no_other_tool_has(
    tmp_path: Path, files: dict[str, str], expected: str | None
) -> None:
    """Names with underscores alone do not identify the tool."""
    assert expected == recognise(write_folder(tmp_path / "m", files))
