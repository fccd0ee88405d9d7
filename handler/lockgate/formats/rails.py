"""Rails: the history of a Rails project, with its further migrations in plain SQL.

``VERSION_name.sql``, all of it up, in the order of numbers. A Ruby migration is refused: its schema
changes exist only when Rails runs it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lockgate.core.migration import Version
from lockgate.formats.scripts import (
    catalog_by_number,
    list_names,
    make_versioned,
    read_script,
    unusable_file,
    with_stand_in,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lockgate.core.catalog import Catalog

_NAME = re.compile(r"([0-9]+)_(.+)\.sql")
_RUBY = re.compile(r"([0-9]+)_.+\.rb")
_TABLE = "schema_migrations"
_STAND_IN = "CREATE TABLE IF NOT EXISTS schema_migrations (version varchar NOT NULL PRIMARY KEY)"


def recognise(folder: Path) -> str | None:
    """Return that there are Ruby migrations."""
    ruby = [name for name in list_names(folder, (".rb",)) if _RUBY.fullmatch(name)]
    return f"Ruby migrations such as {ruby[0]}" if ruby else None


def read_folder(folder: Path, variables: Mapping[str, str]) -> Catalog:
    """Read every SQL migration of the folder itself.

    A Ruby migration is passed over where an SQL file of its version stands beside it.

    Raises:
        MigrationFileInvalid: a Ruby migration has no such file, a name is no migration's, two files
            share a version, or there is none.
    """
    del variables  # nothing is filled in
    named = {path: _NAME.fullmatch(path) for path in list_names(folder)}
    _refuse_ruby(folder, {int(match[1]) for match in named.values() if match})
    migrations = []
    for path, match in named.items():
        if match is None:
            raise unusable_file(
                path, "is no migration's name", "Name it VERSION_name.sql; VERSION is digits."
            )
        version = Version.parse(match[1])
        migrations.append(make_versioned(version, match[2], read_script(folder, path), None))
    return with_stand_in(catalog_by_number(migrations, folder), _TABLE, _STAND_IN)


def _refuse_ruby(folder: Path, in_sql: set[int]) -> None:
    for name in list_names(folder, (".rb",)):
        ruby = _RUBY.fullmatch(name)
        if ruby is not None and int(ruby[1]) not in in_sql:
            raise unusable_file(
                name,
                "is a Ruby migration, and Lockgate runs no Ruby",
                f"Put what it does beside it as SQL, in {name.removesuffix('.rb')}.sql; or take the"
                " schema as it is for a baseline and move the Ruby files out.",
            )
