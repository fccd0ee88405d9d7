"""Read dbmate files in the native format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.formats.dbmate.cases import FILE
from tests.support.folders import write_folder

from lockgate.formats.dbmate.reader import read_folder
from lockgate.formats.native import reader as lockgate

if TYPE_CHECKING:
    from pathlib import Path


def test_file_has_the_checksums_that_the_native_format_gives(tmp_path: Path) -> None:
    """The native format reads a dbmate file with the same checksums, so switching causes no drift."""
    text = f"\ufeff-- about\r\n{FILE}".replace("up\n", "up transaction:false\n")
    folder = write_folder(tmp_path / "m", {"1_a.sql": text})
    assert lockgate.read_folder(folder, {}).migrations == read_folder(folder, {}).migrations
