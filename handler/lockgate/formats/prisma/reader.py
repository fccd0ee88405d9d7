"""Reads a folder of Prisma Migrate (``docs/formats/prisma.md``), which has a subfolder per migration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.core.migration import Version
from lockgate.core.try_each import try_each
from lockgate.formats.shared.collation import find_undecided, plain_key
from lockgate.formats.shared.folder import has_file, list_folders, read_text, require_folder
from lockgate.formats.shared.scripts import (
    catalog_by_place,
    make_versioned,
    read_script,
    unusable_file,
    with_stub,
)
from lockgate.formats.shared.tool_transaction import outside_where_single

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lockgate.core.catalog import Catalog
    from lockgate.core.migration import Migration

_SCRIPT = "migration.sql"
_LOCK_FILE = "migration_lock.toml"
_PROVIDER = "postgresql"
_TABLE = "_prisma_migrations"
_TABLE_SQL = """\
CREATE TABLE IF NOT EXISTS _prisma_migrations (
    id varchar(36) PRIMARY KEY NOT NULL,
    checksum varchar(64) NOT NULL,
    finished_at timestamptz,
    migration_name varchar(255) NOT NULL,
    logs text,
    rolled_back_at timestamptz,
    started_at timestamptz NOT NULL DEFAULT now(),
    applied_steps_count integer NOT NULL DEFAULT 0
)"""


def recognise(folder: Path) -> str | None:
    """Return the sign that Prisma's lock file is beside folders with a ``migration.sql``."""
    if not has_file(folder, _LOCK_FILE):
        return None
    if any(has_file(folder, f"{name}/{_SCRIPT}") for name in _list_folders(folder)):
        return f"{_LOCK_FILE} is beside folders with a {_SCRIPT}"
    return None


def read_folder(folder: Path, variables: Mapping[str, str]) -> Catalog:
    """Read every migration in ``folder``. Prisma has no variables: ``variables`` are not used.

    Raises:
        MigrationFileInvalid: the folder is missing or empty, belongs to another database, has a folder
            without a ``migration.sql``, or names whose order is undefined.
    """
    del variables
    require_folder(folder)
    _refuse_other_provider(folder)
    names = sorted(_list_folders(folder), key=plain_key)
    _refuse_undecided(names)

    def read(name: str) -> Migration:
        path = f"{name}/{_SCRIPT}"
        if not has_file(folder, path):
            raise unusable_file(
                name,
                f"has no {_SCRIPT}",
                "Restore the file or remove the folder, since Prisma stops here too; or set"
                " LOCKGATE_MIGRATIONS (or --dir) to prisma/migrations itself.",
            )
        script = outside_where_single(read_script(folder, path))
        return make_versioned(Version.stored(name), "", script, None)

    migrations = try_each(names, read)
    return with_stub(catalog_by_place(migrations, folder), _TABLE, _TABLE_SQL)


def _list_folders(folder: Path) -> list[str]:
    """Return the names of the folders, hidden ones included; Prisma ignores links to folders."""
    return list_folders(folder, follow_links=False)


def _refuse_other_provider(folder: Path) -> None:
    """Refuse the migrations of another database; without a lock file, the database is unknown."""
    if not has_file(folder, _LOCK_FILE):
        return
    lines = read_text(folder, _LOCK_FILE).splitlines()
    found = next(((n, t) for n, t in enumerate(lines, start=1) if t.startswith("provider")), None)
    if found is None:
        raise unusable_file(
            _LOCK_FILE, "has no provider", f'Add the line: provider = "{_PROVIDER}"'
        )
    line, text = found
    provider = text.partition("=")[2].strip().strip('"')
    if provider != _PROVIDER:
        raise unusable_file(
            _LOCK_FILE,
            f"has the provider {provider}, and Lockgate only migrates {_PROVIDER}",
            "Set LOCKGATE_MIGRATIONS (or --dir) to the PostgreSQL migrations.",
            line=line,
        )


def _refuse_undecided(names: list[str]) -> None:
    place = find_undecided(map(plain_key, names))
    if place is not None:
        raise unusable_file(
            names[place + 1],
            f"cannot be sorted: whether it comes before or after {names[place]} depends on the"
            " locale in which Prisma runs",
            "Rename one of the two, with ASCII letters and digits.",
        )
