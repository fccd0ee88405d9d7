"""Create migration files: their names, versions and contents."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from lockgate.core.catalog import NATIVE_MARKERS
from lockgate.core.unrecognized_marker import find_unrecognized_marker
from lockgate.errors import RequestInvalid
from lockgate.formats.native.new_file import Flavour, make_slug, next_version, write_migration
from lockgate.formats.native.reader import read_folder

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 22, 9, 30, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("add_email", "add_email"),
        ("Add users' e-mail", "add_users_e_mail"),
        ("  Crème  brûlée ", "creme_brulee"),
        ("../../etc/passwd", "etc_passwd"),
        ("a.sql", "a_sql"),
    ],
)
def test_name_becomes_a_slug(name: str, expected: str) -> None:
    """A name becomes lower-case ASCII words joined by underscores and cannot lead to another folder."""
    assert expected == make_slug(name)


@pytest.mark.parametrize("name", ["", "!?", "日本", "a" * 201])
def test_name_without_a_slug_is_refused(name: str) -> None:
    """A name without ASCII letters or digits, or a very long one, is refused."""
    with pytest.raises(RequestInvalid, match="The name needs 1 to 200 ASCII letters or digits"):
        make_slug(name)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ([], "20261122093000"),
        (["0007_a.sql"], "20261122093000"),
        (["20261122093000_a.sql"], "20261122093001"),
        (["sub/30000101000000_a.py", "20261122093000_a.sql"], "30000101000001"),
        (["R__view.sql", "20991231235959_notes.txt"], "20261122093000"),
    ],
)
def test_version_is_the_time_and_above_all_others(
    tmp_path: Path, files: list[str], expected: str
) -> None:
    """A new version is the current UTC time, or one more than the highest version in the folder."""
    for name in files:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()

    assert expected == next_version(tmp_path, NOW)


def test_new_files_are_migrations(tmp_path: Path) -> None:
    """A new file of each flavour can be read at once and has no down script."""
    folder = tmp_path / "new" / "folder"
    for flavour in Flavour:
        write_migration(folder, f"a {flavour}", flavour, NOW)

    found = read_folder(folder, {}).migrations
    expected = ["20261122093000_a_sql.sql", "20261122093001_a_python.py", "R__a_repeatable.sql"]
    assert expected == [migration.path for migration in found]
    assert {None} == {migration.down for migration in found}
    assert {None} == {find_unrecognized_marker(migration, NATIVE_MARKERS) for migration in found}


def test_existing_file_is_left_alone(tmp_path: Path) -> None:
    """An existing repeatable with the same name is not overwritten."""
    path = tmp_path / "R__view.sql"
    path.write_text("mine")

    with pytest.raises(RequestInvalid, match="exists already"):
        write_migration(tmp_path, "View", Flavour.REPEATABLE, NOW)
    assert path.read_text() == "mine"


def test_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    """If a file is in the place of the folder, the request is refused with the cause."""
    (tmp_path / "file").touch()

    with pytest.raises(RequestInvalid, match=r"cannot be written: Not a directory\."):
        write_migration(tmp_path / "file" / "sub", "a", Flavour.SQL, NOW)
