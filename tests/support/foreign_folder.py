"""A folder of another tool's files, read in its format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from lockgate.core.analysis import analyse_script
from lockgate.errors import MigrationFileInvalid
from lockgate.formats.registry import find_tool

if TYPE_CHECKING:
    from pathlib import Path

    from lockgate.core.catalog import Catalog
    from lockgate.core.migration import Migration


@dataclass(frozen=True, slots=True)
class ForeignFolder:
    """A folder and the format of its files."""

    path: Path
    format: str

    def write(self, files: dict[str, str]) -> None:
        """Write files, with their folders; a name that begins with ../ is outside the folder."""
        self.path.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            path = self.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())

    def read(self, files: dict[str, str], **variables: str) -> Catalog:
        """Write files and read the folder."""
        self.write(files)
        return find_tool(self.format).read_folder(self.path, variables)

    def read_one(self, files: dict[str, str], **variables: str) -> Migration:
        """Write files and return their only migration."""
        (migration,) = self.read(files, **variables).migrations
        return migration

    def ids(self, files: dict[str, str]) -> list[str]:
        """Write files and return the ids of the migrations, in the order in which they run."""
        return [migration.migration_id for migration in self.read(files).migrations]

    def refuse(self, files: dict[str, str], **variables: str) -> str:
        """Write files and return the message with which they are refused."""
        with pytest.raises(MigrationFileInvalid) as caught:
            self.read(files, **variables)
        return str(caught.value)

    def obstruct(self, files: dict[str, str], **variables: str) -> str:
        """Write files and return the message with which the first invalid script is refused.

        All migrations in the folder are analysed, whether or not they are applied.
        """
        catalog = self.read(files, **variables)
        with pytest.raises(MigrationFileInvalid) as caught:
            _ = [analyse_script(migration.up) for migration in catalog.migrations]
        return str(caught.value)

    def recognise(self, files: dict[str, str]) -> str | None:
        """Write files and return why they are recognised as this tool's."""
        self.write(files)
        return find_tool(self.format).recognise(self.path)
