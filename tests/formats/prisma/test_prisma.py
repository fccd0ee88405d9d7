"""Read a Prisma folder with a symbolic link."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.folders import write_folder

from lockgate.formats.prisma.reader import read_folder

if TYPE_CHECKING:
    from pathlib import Path


def test_link_to_a_folder_is_passed_over(tmp_path: Path) -> None:
    """A symbolic link is not a migration folder, as in Prisma."""
    folder = write_folder(tmp_path / "m", {"1_a/migration.sql": "SELECT 1;\n"})
    (folder / "2_b").symlink_to(write_folder(tmp_path / "else", {}))
    assert ["1_a"] == [one.migration_id for one in read_folder(folder, {}).migrations]
