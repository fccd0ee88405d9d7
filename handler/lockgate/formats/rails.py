"""Rails: a project that goes on in the native format, with the history that Rails left.

A Ruby migration is refused: what it changes exists only when Rails runs it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lockgate.formats import lockgate
from lockgate.formats.scripts import list_names, unusable_file, with_stand_in

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lockgate.core.catalog import Catalog

_RUBY = re.compile(r"([0-9]+)_.+\.rb")
_NUMBER = re.compile(r"[0-9]+")
_TABLE = "schema_migrations"
_STAND_IN = "CREATE TABLE IF NOT EXISTS schema_migrations (version varchar NOT NULL PRIMARY KEY)"


def recognise(folder: Path) -> str | None:
    """Return that there are Ruby migrations."""
    ruby = [name for name in list_names(folder, (".rb",)) if _RUBY.fullmatch(name)]
    return f"Ruby migrations such as {ruby[0]}" if ruby else None


def read_folder(folder: Path, variables: Mapping[str, str]) -> Catalog:
    """Read every migration as the native format does.

    A Ruby migration is passed over where an SQL file of its version stands beside it.

    Raises:
        MigrationFileInvalid: a Ruby migration has no such file, or the native format refuses a file.
    """
    numbers = (_NUMBER.match(name) for name in list_names(folder))
    in_sql = {int(number[0]) for number in numbers if number is not None}
    for name in list_names(folder, (".rb",)):
        ruby = _RUBY.fullmatch(name)
        if ruby is not None and int(ruby[1]) not in in_sql:
            raise unusable_file(
                name,
                "is a Ruby migration, and Lockgate runs no Ruby",
                f"Put what it does beside it as SQL, in {name.removesuffix('.rb')}.sql; or take the"
                " schema as it is for a baseline and move the Ruby files out.",
            )
    return with_stand_in(lockgate.read_folder(folder, variables), _TABLE, _STAND_IN)
