"""Write folders of another tool's migrations, and show briefly what a format reads from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lockgate.errors import MigrationFileInvalid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from lockgate.core.catalog import Catalog

    ReadFolder = Callable[[Path, Mapping[str, str]], Catalog]


def write_folder(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write files into a folder, created if missing, and return it."""
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def list_versions(catalog: Catalog) -> list[tuple[str, str]]:
    """Return version and name of every migration, in the order in which they run."""
    return [(migration.migration_id, migration.name) for migration in catalog.migrations]


def read_refused(read: ReadFolder, folder: Path, **variables: str) -> str:
    """Return the message and hint with which a folder is refused."""
    with pytest.raises(MigrationFileInvalid) as caught:
        read(folder, variables)
    return f"{caught.value} {caught.value.hint}"
